//! API keys: what they are called, what they may do, how long they last, and what their secret is.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::account::UserId;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// What every key begins with: a person, and a scanner for leaked secrets, knows it by this. No
/// session's token has an underscore.
pub(crate) const SECRET_PREFIX: &str = "vbk_";
/// Random bytes of a secret.
pub(crate) const SECRET_BYTES: usize = 32;
/// Characters of a secret that are kept to recognize it: 36 of its 256 bits.
const SHOWN_CHARS: usize = SECRET_PREFIX.len() + 6;
const NAME_CHARS_MAX: usize = 100;
const LIFETIME_DAYS_DEFAULT: u16 = 90;
const LIFETIME_DAYS_MAX: u16 = 365;
/// A key's last use is written again once it is this long ago.
pub(crate) const LAST_USE_COARSENESS: TimeDelta = TimeDelta::minutes(10);

/// Its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ApiKeyId(pub(crate) Uuid);

impl ApiKeyId {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        Uuid::try_parse(text)
            .map(Self)
            .map_err(|_| "It is no UUID.")
    }
}

/// What a key is called: 1 to 100 characters, no control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiKeyName(String);

impl ApiKeyName {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let name = text.trim();
        if name.is_empty() {
            Err("It is missing or empty.")
        } else if name.chars().count() > NAME_CHARS_MAX {
            Err("It is longer than 100 characters.")
        } else if name.chars().any(char::is_control) {
            Err("It has control characters.")
        } else {
            Ok(Self(name.to_owned()))
        }
    }

    /// A name as it was stored.
    pub(crate) fn stored(name: String) -> Self {
        Self(name)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    ReadOnly,
    Full,
}

impl Access {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read_only",
            Self::Full => "full",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::ReadOnly, Self::Full]
            .into_iter()
            .find(|access| access.as_str() == word)
    }
}

/// How long a key lasts: 1 to 365 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime(u16);

impl Lifetime {
    /// 0 is the default.
    pub(crate) fn parse(days: i32) -> Result<Self, &'static str> {
        match u16::try_from(days) {
            Ok(0) => Ok(Self(LIFETIME_DAYS_DEFAULT)),
            Ok(days @ 1..=LIFETIME_DAYS_MAX) => Ok(Self(days)),
            Ok(_) | Err(_) => Err("It must be 1 to 365 days."),
        }
    }

    pub(crate) fn end(self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + TimeDelta::days(self.0.into())
    }
}

/// The secret that stands for a key. It is told once and stored as its hash alone.
#[derive(Clone)]
pub(crate) struct Secret(SecretString);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// The secret of these random bytes.
    pub(crate) fn of(random: [u8; SECRET_BYTES]) -> Self {
        let text = format!("{SECRET_PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        Self(text.into())
    }

    /// What somebody showed, where it has a key's form.
    pub(crate) fn read(shown: &str) -> Option<Self> {
        let digits = shown.strip_prefix(SECRET_PREFIX)?;
        let bytes = URL_SAFE_NO_PAD.decode(digits).ok()?;
        (bytes.len() == SECRET_BYTES).then(|| Self(shown.to_owned().into()))
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Its first characters.
    pub(crate) fn shown(&self) -> String {
        self.expose().chars().take(SHOWN_CHARS).collect()
    }

    /// Its SHA-256. Of 256 random bits there is nothing to guess, so the hash need not be slow.
    pub(crate) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.expose()).into()
    }
}

/// A key, without its secret.
#[derive(Debug, Clone)]
pub(crate) struct ApiKey {
    pub(crate) id: ApiKeyId,
    pub(crate) name: ApiKeyName,
    pub(crate) secret_prefix: String,
    pub(crate) access: Access,
    pub(crate) admin_user_id: UserId,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) last_used_at: Option<DateTime<Utc>>,
    pub(crate) revoked_at: Option<DateTime<Utc>>,
}

impl ApiKey {
    /// Whether it opens anything now.
    pub(crate) fn is_good(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }

    /// Whether its last use is to be written, used now.
    pub(crate) fn is_use_news(&self, now: DateTime<Utc>) -> bool {
        self.last_used_at
            .is_none_or(|last| last + LAST_USE_COARSENESS <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_and_its_form_is_known() {
        let secret = Secret::of([7; SECRET_BYTES]);
        assert_eq!(secret.expose().len(), 47);
        let read = Secret::read(secret.expose()).unwrap();
        assert_eq!(read.hash(), secret.hash());
        assert_eq!(secret.shown(), "vbk_BwcHBw");
        assert_eq!(format!("{secret:?}"), "Secret");
        for other in ["", "vbk_", "vbk_short", "TBvqGphHtbTZqKDLdpR4zoxwlvntl32B"] {
            assert!(Secret::read(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_lifetime_is_a_year_at_most() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for (days, lasts) in [(0, 90), (1, 1), (365, 365)] {
            let end = Lifetime::parse(days).unwrap().end(now);
            assert_eq!((end - now).num_days(), lasts);
        }
        for days in [-1, 366, 70_000] {
            assert!(Lifetime::parse(days).is_err(), "{days}");
        }
    }

    #[test]
    fn a_key_is_good_until_it_ends_or_is_revoked() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let key = ApiKey {
            id: ApiKeyId(Uuid::from_u128(1)),
            name: ApiKeyName::parse(" nightly ").unwrap(),
            secret_prefix: "vbk_BwcHBw".to_owned(),
            access: Access::Full,
            admin_user_id: UserId("u1".to_owned()),
            created_at: now,
            expires_at: now + TimeDelta::days(1),
            last_used_at: None,
            revoked_at: None,
        };
        assert_eq!(key.name.as_str(), "nightly");
        assert!(key.is_good(now) && key.is_use_news(now));
        assert!(!key.is_good(key.expires_at));
        let used = ApiKey {
            last_used_at: Some(now),
            ..key.clone()
        };
        assert!(!used.is_use_news(now + TimeDelta::minutes(9)));
        assert!(used.is_use_news(now + TimeDelta::minutes(10)));
        let revoked = ApiKey {
            revoked_at: Some(now),
            ..key
        };
        assert!(!revoked.is_good(now));
    }
}
