//! Who can sign in: users and their sessions, in Better Auth's terms.

use std::fmt;

use chrono::{DateTime, SubsecRound, Utc};
use secrecy::{ExposeSecret, SecretString};

/// Ids and tokens have this many characters of `[a-zA-Z0-9]`: about 190 bits.
pub(crate) const ID_CHARS: usize = 32;
/// The `providerId` of an account with a password.
pub(crate) const CREDENTIAL_PROVIDER: &str = "credential";

const NAME_CHARS_MAX: usize = 200;

/// A user's id; opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserId(pub(crate) String);

/// What a user is called: 1 to 200 characters, no control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserName(String);

impl UserName {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let name = text.trim();
        if name.is_empty() {
            Err("The name is empty.")
        } else if name.chars().count() > NAME_CHARS_MAX {
            Err("The name is longer than 200 characters.")
        } else if name.chars().any(char::is_control) {
            Err("The name has control characters.")
        } else {
            Ok(Self(name.to_owned()))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The secret that stands for a session. It is stored in plain, and must never be logged.
#[derive(Clone)]
pub(crate) struct SessionToken(SecretString);

impl SessionToken {
    pub(crate) fn new(token: String) -> Self {
        Self(token.into())
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken")
    }
}

/// A person who can sign in.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) name: String,
    /// In lower case.
    pub(crate) email: String,
    pub(crate) email_verified: bool,
    pub(crate) image: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

/// A sign-in that lasts.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) token: SessionToken,
    pub(crate) user_id: UserId,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) ip_address: Option<String>,
    pub(crate) user_agent: Option<String>,
}

/// Times as Better Auth keeps them: JavaScript knows no more than milliseconds.
pub(crate) fn to_millis(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(3)
}
