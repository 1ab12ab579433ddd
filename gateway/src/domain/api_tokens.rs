//! The tokens that instances report with.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The token that the specification compiles into every instance. `BILLING_API_TOKENS` replaces it.
pub(crate) const UNIVERSAL_TOKEN: &str =
    "vaultai_universal_billing_api_2024_production_key_XyZ9mP2nQ7wK";

/// The tokens that are good now: more than one while a token is being replaced by another.
#[derive(Clone)]
pub struct ApiTokens(Vec<[u8; 32]>);

impl fmt::Debug for ApiTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiTokens({})", self.0.len())
    }
}

impl ApiTokens {
    /// Exactly these tokens.
    pub fn new(tokens: &[SecretString]) -> Self {
        Self(
            tokens
                .iter()
                .map(|token| digest(token.expose_secret()))
                .collect(),
        )
    }

    /// The specification's token alone.
    pub fn universal() -> Self {
        Self::new(&[UNIVERSAL_TOKEN.into()])
    }

    /// Whether the token is one of these. Digests are compared, and all of them, so that the time it
    /// takes tells neither how much of a token was right, nor its length, nor which one it was.
    pub fn admit(&self, token: &str) -> bool {
        let shown = digest(token);
        let found = self.0.iter().fold(subtle::Choice::from(0), |found, known| {
            found | known.ct_eq(&shown)
        });
        found.into()
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_list_is_good_and_nothing_else() {
        let tokens = ApiTokens::new(&["old".into(), "new".into()]);
        for (token, good) in [
            ("old", true),
            ("new", true),
            ("ol", false),
            ("", false),
            (UNIVERSAL_TOKEN, false),
        ] {
            assert_eq!(tokens.admit(token), good, "{token}");
        }
        assert!(ApiTokens::universal().admit(UNIVERSAL_TOKEN));
    }

    #[test]
    fn no_token_shows_in_debug() {
        assert!(!format!("{:?}", ApiTokens::universal()).contains("vaultai"));
    }
}
