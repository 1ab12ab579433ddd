//! API keys as admins see them.

use billing_proto::common::v1::ApiKeyAccess;

/// What the secret of every API key begins with; no session token has an underscore there.
const SECRET_PREFIX: &str = "vbk_";

/// Whether a bearer token is an API key, and not the token of a session.
pub(crate) fn is_api_key(token: &str) -> bool {
    token.starts_with(SECRET_PREFIX)
}

/// The word of what a key may do; `None` while it is not known.
pub(crate) fn access_word(access: ApiKeyAccess) -> Option<&'static str> {
    match access {
        ApiKeyAccess::Unspecified => None,
        ApiKeyAccess::ReadOnly => Some("read_only"),
        ApiKeyAccess::Full => Some("full"),
    }
}

/// What a key may do, by its word.
pub(crate) fn parse_access(word: &str) -> Option<ApiKeyAccess> {
    [ApiKeyAccess::ReadOnly, ApiKeyAccess::Full]
        .into_iter()
        .find(|access| access_word(*access) == Some(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back() {
        for word in ["read_only", "full"] {
            assert_eq!(parse_access(word).and_then(access_word), Some(word));
        }
        assert_eq!(parse_access(""), None);
    }
}
