//! API keys as admins see them.

use billing_proto::org::v1::ApiKeyAccess;
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// What the secret of every API key begins with; no session token has an underscore there.
const SECRET_PREFIX: &str = "vbk_";

/// Whether a bearer token is an API key, and not the token of a session.
pub(crate) fn is_api_key(token: &str) -> bool {
    token.starts_with(SECRET_PREFIX)
}

/// An API key, without its secret.
#[derive(Debug, Clone)]
pub(crate) struct ApiKey {
    /// Its id.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// The first characters of its secret.
    pub secret_prefix: String,
    /// What it may do.
    pub access: ApiKeyAccess,
    /// The user id of the admin who made it.
    pub admin_user_id: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// When it was last used, to ten minutes.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
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
