//! What a browser shows to prove that it signed in to an account before, and nothing more.
//!
//! The proof is a signature under the stored hash of the account's password: it is good for that
//! account alone, ends with the password, and needs no row. The gateway signs the cookie around it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::account::UserId;

/// How long a browser is remembered without a new sign-in: as long as browsers keep a cookie.
const REMEMBERED: TimeDelta = TimeDelta::days(400);
/// A clock of another replica may be ahead by so much.
const SKEW: TimeDelta = TimeDelta::minutes(5);
const ID_BYTES: usize = 16;

/// A browser, by a random number of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeviceId([u8; ID_BYTES]);

impl DeviceId {
    pub(crate) fn new(random: [u8; ID_BYTES]) -> Self {
        Self(random)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What this browser shows from now on: `ID.SECONDS.PROOF`.
    pub(crate) fn token(
        self,
        user_id: &UserId,
        stored_hash: &SecretString,
        now: DateTime<Utc>,
    ) -> String {
        let id = URL_SAFE_NO_PAD.encode(self.0);
        let issued = now.timestamp();
        let proof = mac(user_id, stored_hash, &id, issued).finalize();
        let proof = URL_SAFE_NO_PAD.encode(proof.into_bytes());
        format!("{id}.{issued}.{proof}")
    }

    /// The browser that shows a token, where it signed in to this account under this password.
    pub(crate) fn read(
        token: &str,
        user_id: &UserId,
        stored_hash: &SecretString,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let mut parts = token.split('.');
        let (id, issued, proof) = (parts.next()?, parts.next()?, parts.next()?);
        let issued: i64 = issued.parse().ok()?;
        let proof = URL_SAFE_NO_PAD.decode(proof).ok()?;
        mac(user_id, stored_hash, id, issued)
            .verify_slice(&proof)
            .ok()?;
        let age = now - DateTime::from_timestamp(issued, 0)?;
        if age > REMEMBERED || age < -SKEW {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(id).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
fn mac(user_id: &UserId, stored_hash: &SecretString, id: &str, issued: i64) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(stored_hash.expose_secret().as_bytes())
        .expect("a key of any length");
    mac.update(format!("billing device\n{id}\n{issued}\n{}", user_id.0).as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_known_to_one_account_until_its_password_changes_or_it_stays_away() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let user = |id: &str| UserId(id.to_owned());
        let hash = |text: &str| SecretString::from(text);
        let device = DeviceId::new([7; ID_BYTES]);
        let token = device.token(&user("u1"), &hash("salt:key"), now);
        let later = |days| now + TimeDelta::days(days);
        for (shown, who, stored, at, is_known) in [
            (&*token, "u1", "salt:key", now, true),
            (&*token, "u1", "salt:key", later(400), true),
            (&*token, "u1", "salt:key", later(401), false),
            (&*token, "u1", "salt:key", later(-1), false),
            (&*token, "u2", "salt:key", now, false),
            (&*token, "u1", "salt:other", now, false),
            (
                &token.replace(".1800000000.", ".1800000001."),
                "u1",
                "salt:key",
                now,
                false,
            ),
            ("", "u1", "salt:key", now, false),
            ("a.b.c", "u1", "salt:key", now, false),
            ("..", "u1", "salt:key", now, false),
        ] {
            let read = DeviceId::read(shown, &user(who), &hash(stored), at);
            assert_eq!(
                read,
                is_known.then_some(device),
                "{shown} {who} {stored} {at}"
            );
        }
    }
}
