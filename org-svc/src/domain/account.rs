//! Who can sign in: users and their sessions, in Better Auth's terms.

use std::fmt;

use billing_kit::text::visible_line;
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

/// What a user is called: one line of 1 to 200 characters that can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserName(String);

impl UserName {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let name = visible_line(text)?;
        if name.is_empty() {
            Err("It is empty.")
        } else if name.chars().count() > NAME_CHARS_MAX {
            Err("It is longer than 200 characters.")
        } else {
            Ok(Self(name.into_owned()))
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

/// A user as one is stored first, before there is an id.
#[derive(Debug, Clone)]
pub(crate) struct NewUser {
    pub(crate) name: String,
    /// In lower case.
    pub(crate) email: String,
    pub(crate) created_at: DateTime<Utc>,
}

/// A session as one is stored first, before there is an id.
#[derive(Debug, Clone)]
pub(crate) struct NewSession {
    pub(crate) token: SessionToken,
    pub(crate) user_id: UserId,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) ip_address: String,
    pub(crate) user_agent: String,
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

/// What the plugins of a Better Auth deployment say against a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Restrictions {
    /// By the plugin `admin`.
    pub(crate) banned: bool,
    /// When the ban ends; one without an end does not.
    pub(crate) ban_expires_at: Option<DateTime<Utc>>,
    /// By the plugin `twoFactor`: the password alone is not enough.
    pub(crate) second_factor: bool,
}

impl Restrictions {
    /// Whether the user is banned now. A ban that has ended is none; Better Auth clears it when the
    /// user next signs in there.
    pub(crate) fn is_banned(&self, now: DateTime<Utc>) -> bool {
        self.banned && self.ban_expires_at.is_none_or(|end| end >= now)
    }
}

/// Times as Better Auth keeps them: JavaScript knows no more than milliseconds.
pub(crate) fn to_millis(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(3)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_ban_may_have_an_end() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let second = TimeDelta::seconds(1);
        for (banned, ban_expires_at, is_banned) in [
            (false, None, false),
            (true, None, true),
            (true, Some(now + second), true),
            (true, Some(now - second), false),
            (false, Some(now + second), false),
        ] {
            let restrictions = Restrictions {
                banned,
                ban_expires_at,
                second_factor: false,
            };
            assert_eq!(restrictions.is_banned(now), is_banned, "{restrictions:?}");
        }
    }
}
