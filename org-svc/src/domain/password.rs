//! Passwords, in Better Auth's format: `<salt>:<key>`, both in lower-case hexadecimal digits.
//!
//! The key is scrypt over the NFKC form of the password. The salt that scrypt gets is the 32
//! characters of its text, not the 16 bytes that they stand for.

use scrypt::Params;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;

/// Bytes of randomness in a salt.
pub(crate) const SALT_BYTES: usize = 16;
const SALT_CHARS: usize = 32;
const KEY_BYTES: usize = 64;
const KEY_CHARS: usize = 128;

const LENGTH_MIN: usize = 8;
const LENGTH_MAX: usize = 128;

/// N = 2^14.
const LOG_N: u8 = 14;
const R: u32 = 16;
const P: u32 = 1;

/// The length of a password as Better Auth counts it: in UTF-16 units.
fn length(password: &SecretString) -> usize {
    password.expose_secret().encode_utf16().count()
}

/// Whether it is longer than any password that can have been set.
pub(crate) fn is_too_long(password: &SecretString) -> bool {
    length(password) > LENGTH_MAX
}

/// What is wrong with a password that is about to be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NewPasswordFault {
    #[error("The password is shorter than 8 characters.")]
    TooShort,
    #[error("The password is longer than 128 characters.")]
    TooLong,
}

/// Checks a password that is about to be set.
pub(crate) fn check_new(password: &SecretString) -> Result<(), NewPasswordFault> {
    match length(password) {
        LENGTH_MIN..=LENGTH_MAX => Ok(()),
        0..LENGTH_MIN => Err(NewPasswordFault::TooShort),
        _ => Err(NewPasswordFault::TooLong),
    }
}

/// Hashes a password. It takes about 32 MiB and a tenth of a second.
pub(crate) fn hash(password: &SecretString, salt: [u8; SALT_BYTES]) -> String {
    let salt = hex(&salt);
    let key = derive(password, &salt);
    format!("{salt}:{}", hex(&key))
}

/// A stored hash in the one format that we know.
#[derive(Clone)]
pub(crate) struct StoredHash {
    salt: String,
    key: String,
}

impl StoredHash {
    /// `None` for what another scheme made.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_hex = |part: &str, len| {
            part.len() == len
                && part
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let (salt, key) = text.split_once(':')?;
        (is_hex(salt, SALT_CHARS) && is_hex(key, KEY_CHARS)).then(|| Self {
            salt: salt.to_owned(),
            key: key.to_owned(),
        })
    }

    /// A hash that no password has: checking against it costs what checking any other costs.
    pub(crate) fn of_nobody() -> Self {
        Self {
            salt: "0".repeat(SALT_CHARS),
            key: "0".repeat(KEY_CHARS),
        }
    }

    /// Whether this is the password. Costs what [`hash`] costs.
    pub(crate) fn verify(&self, password: &SecretString) -> bool {
        let key = hex(&derive(password, &self.salt));
        key.as_bytes().ct_eq(self.key.as_bytes()).into()
    }
}

fn derive(password: &SecretString, salt: &str) -> [u8; KEY_BYTES] {
    let normalized: String = password.expose_secret().nfkc().collect();
    let mut key = [0; KEY_BYTES];
    #[expect(
        clippy::expect_used,
        reason = "both fail for constants alone, and these are good"
    )]
    {
        let params = Params::new(LOG_N, R, P).expect("constant parameters");
        scrypt::scrypt(normalized.as_bytes(), salt.as_bytes(), &params, &mut key)
            .expect("a constant length");
    }
    key
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "7a5aa362f66c12e2c612b1e557eac03e:d4d5a578c01557cf93eaa6066a8951d43356dc066870ccd6cc2d334716642f2ac556d03de15178dbedfcd66e83d0a3181c776961bebaa653737e599071a618cc";
    const COMPOSED: &str = "a118024ccb07e84a3616a5a5206b41ca:fb167832089ec485806a48b05a624558a0059b0e9acbb27f7417d2e653a481b3a5c678219f673a8b93f83602013532f8a6747552f830d454d96e3e029e0dbb3f";

    fn verifies(stored: &str, password: &str) -> bool {
        StoredHash::parse(stored).unwrap().verify(&password.into())
    }

    #[test]
    fn hashes_that_better_auth_made_verify() {
        assert!(verifies(PLAIN, "correct horse battery staple"));
        assert!(verifies(COMPOSED, "pässwörd ①ﬁ Å long"));
        // Both spellings have the same compatibility form.
        assert!(verifies(
            COMPOSED,
            "pa\u{308}sswo\u{308}rd 1fi \u{212b} long"
        ));
        assert!(!verifies(PLAIN, "correct horse battery stapl"));
        assert!(!verifies(COMPOSED, "password ①ﬁ Å long"));
    }

    #[test]
    fn a_hash_is_made_to_the_letter() {
        let salt = [
            0x7a, 0x5a, 0xa3, 0x62, 0xf6, 0x6c, 0x12, 0xe2, 0xc6, 0x12, 0xb1, 0xe5, 0x57, 0xea,
            0xc0, 0x3e,
        ];
        assert_eq!(hash(&"correct horse battery staple".into(), salt), PLAIN);
    }

    #[test]
    fn only_our_own_format_is_read() {
        let upper = PLAIN.to_uppercase();
        for foreign in ["", ":", "$argon2id$v=19$x", &PLAIN[1..], &upper, "a:b"] {
            assert!(StoredHash::parse(foreign).is_none(), "{foreign}");
        }
        assert!(!StoredHash::of_nobody().verify(&"".into()));
    }

    #[test]
    fn a_length_is_counted_in_utf_16_units() {
        for (password, good) in [
            ("1234567".to_owned(), false),
            ("12345678".to_owned(), true),
            ("😀".repeat(4), true),
            ("😀".repeat(64), true),
            ("😀".repeat(64) + "x", false),
            ("x".repeat(129), false),
        ] {
            assert_eq!(check_new(&password.clone().into()).is_ok(), good);
        }
    }
}
