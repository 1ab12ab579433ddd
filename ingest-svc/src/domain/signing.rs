//! Which key signs an organization's reports, and which reports are held for it.
//!
//! Every key that signs a report is a candidate: whoever has the shared token can sign with a key of
//! their own. What makes a key the organization's is an admin who typed the fingerprint that the
//! customer read out. From then on it is pinned, and reports without its signature are held.

use std::fmt::{self, Display, Write as _};

use chrono::{DateTime, Utc};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::hold::{Hold, HoldReason};

/// The most keys that are kept of an organization.
pub(crate) const KEYS_MAX: i64 = 5;
/// How many bytes of the hash are a fingerprint.
const FINGERPRINT_BYTES: usize = 16;
/// A fingerprint is written in groups of so many digits.
const GROUP_DIGITS: usize = 4;

/// An Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PublicKey([u8; 32]);

impl PublicKey {
    /// `None` for what has not the length of a key.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// As the database has it.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// In hexadecimal digits.
    pub(crate) fn to_hex(self) -> String {
        hex(&self.0)
    }

    /// What a person reads out.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let hash = Sha256::digest(self.0);
        let mut bytes = [0; FINGERPRINT_BYTES];
        for (byte, of_hash) in bytes.iter_mut().zip(hash) {
            *byte = of_hash;
        }
        Fingerprint(bytes)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

/// The first 16 bytes of the SHA-256 of a public key: 128 bits, so that nobody finds another key with
/// the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; FINGERPRINT_BYTES]);

impl Fingerprint {
    /// `None` for what has not the length of a fingerprint.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// As the database has it.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads what a person typed: spaces, dashes, colons and case do not matter.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        const PROBLEM: &str = "It is not a fingerprint: 32 digits from 0 to 9 and a to f.";
        let is_separator = |c: &char| c.is_whitespace() || matches!(c, '-' | ':');
        let digits: Option<Vec<_>> = text
            .chars()
            .filter(|c| !is_separator(c))
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect();
        let digits = digits.ok_or(PROBLEM)?;
        let bytes: Vec<_> = digits
            .chunks_exact(2)
            .filter_map(|pair| Some(pair.first()? << 4 | pair.last()?))
            .collect();
        Self::from_bytes(&bytes)
            .filter(|_| digits.len() == 2 * FINGERPRINT_BYTES)
            .ok_or(PROBLEM)
    }
}

impl Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, digit) in hex(&self.0).chars().enumerate() {
            if n > 0 && n % GROUP_DIGITS == 0 {
                f.write_char('-')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Who signed a report; the gateway has verified it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) key: PublicKey,
    /// The key that signed that `key` takes its place.
    pub(crate) replaces: Option<PublicKey>,
}

/// Which key an organization's reports must be signed with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct KeyRule {
    /// The key that an admin confirmed.
    pub(crate) pinned: Option<PublicKey>,
    /// The fingerprint of a key that an admin confirmed and that signed nothing yet.
    pub(crate) awaited: Option<Fingerprint>,
}

/// Why a key came to be pinned by a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pinning {
    /// An admin had confirmed its fingerprint before.
    Awaited,
    /// The key that was pinned signed that this one takes its place.
    Replaced(PublicKey),
}

impl KeyRule {
    /// The key that a report pins, and why.
    pub(crate) fn pinned_by(&self, signature: &Signature) -> Option<(PublicKey, Pinning)> {
        let key = signature.key;
        if self.awaited == Some(key.fingerprint()) {
            return Some((key, Pinning::Awaited));
        }
        let old = self.pinned.filter(|old| *old != key)?;
        (signature.replaces == Some(old)).then_some((key, Pinning::Replaced(old)))
    }

    /// Why a report is held.
    pub(crate) fn judge(&self, signature: Option<&Signature>) -> Option<Hold> {
        let pinned = self.pinned?;
        match signature {
            Some(signature) if signature.key == pinned => None,
            Some(signature) => Some(Hold {
                reason: HoldReason::OtherKey,
                message: format!(
                    "It is signed with the key {}, not with {}.",
                    signature.key.fingerprint(),
                    pinned.fingerprint()
                ),
                compared_with: json!({ "pinned_fingerprint": pinned.fingerprint().to_string() }),
                cause: signature.key.fingerprint().to_string(),
            }),
            None => Some(Hold {
                reason: HoldReason::Unsigned,
                message: format!("It is not signed with the key {}.", pinned.fingerprint()),
                compared_with: json!({ "pinned_fingerprint": pinned.fingerprint().to_string() }),
                cause: "unsigned".to_owned(),
            }),
        }
    }
}

/// A key that signed reports of an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenKey {
    pub(crate) key: PublicKey,
    pub(crate) first_seen_at: DateTime<Utc>,
    pub(crate) last_seen_at: DateTime<Utc>,
    /// On how many UTC days it signed a report; of a pinned key until it was pinned.
    pub(crate) day_count: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> PublicKey {
        PublicKey([n; 32])
    }

    fn signed(n: u8) -> Signature {
        Signature {
            key: key(n),
            replaces: None,
        }
    }

    #[test]
    fn a_fingerprint_reads_back_however_it_is_typed() {
        let fingerprint = key(7).fingerprint();
        let text = fingerprint.to_string();
        // What `printf '\7%.0s' {1..32} | sha256sum` begins with.
        assert_eq!(text, "4bb0-6f8e-4e3a-7715-d201-d573-d0aa-4237");
        for typed in [
            text.to_uppercase(),
            text.replace('-', " "),
            text.replace('-', ""),
            format!(" {} ", text.replace('-', ":")),
        ] {
            assert_eq!(Fingerprint::parse(&typed), Ok(fingerprint), "{typed}");
        }
        let short = text.get(1..).unwrap_or_default();
        for typed in [
            "",
            "abc",
            short,
            &format!("{text}0"),
            &text.replace('b', "g"),
        ] {
            assert!(Fingerprint::parse(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn only_reports_of_the_pinned_key_count() {
        let reason = |rule: KeyRule, signature: Option<Signature>| {
            rule.judge(signature.as_ref()).map(|hold| hold.reason)
        };
        let none = KeyRule::default();
        assert_eq!(reason(none, None), None);
        assert_eq!(reason(none, Some(signed(1))), None);
        let pinned = KeyRule {
            pinned: Some(key(1)),
            awaited: None,
        };
        assert_eq!(reason(pinned, Some(signed(1))), None);
        assert_eq!(reason(pinned, Some(signed(2))), Some(HoldReason::OtherKey));
        assert_eq!(reason(pinned, None), Some(HoldReason::Unsigned));
    }

    #[test]
    fn a_key_is_pinned_where_an_admin_or_the_old_key_said_so() {
        let replacing = |n, old| Signature {
            replaces: Some(key(old)),
            ..signed(n)
        };
        let awaiting = KeyRule {
            pinned: None,
            awaited: Some(key(3).fingerprint()),
        };
        assert_eq!(awaiting.pinned_by(&signed(2)), None);
        assert_eq!(
            awaiting.pinned_by(&signed(3)),
            Some((key(3), Pinning::Awaited))
        );
        let pinned = KeyRule {
            pinned: Some(key(1)),
            awaited: None,
        };
        for (signature, expected) in [
            (signed(1), None),
            (signed(2), None),
            (replacing(2, 3), None),
            (replacing(1, 1), None),
            (replacing(2, 1), Some((key(2), Pinning::Replaced(key(1))))),
        ] {
            assert_eq!(pinned.pinned_by(&signature), expected, "{signature:?}");
        }
        assert_eq!(KeyRule::default().pinned_by(&replacing(2, 1)), None);
    }
}
