//! Pages of lists that are ordered by a time and an id, the latest first: where the next one goes on.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Datelike, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

const TOKEN_VERSION: u8 = 1;
const CHECK_BYTES: usize = 8;
/// The years of a page's end: the calendars of Rust and PostgreSQL end elsewhere.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=9999;

/// The last row of a page: the next page begins behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keyset {
    pub(crate) at: DateTime<Utc>,
    pub(crate) id: Uuid,
}

impl Keyset {
    /// The token of the next page: opaque to its holder, and good for the same list only. `list`
    /// tells the list and its filters apart from others.
    pub(crate) fn to_token(self, list: &str) -> String {
        let mut body = vec![TOKEN_VERSION];
        body.extend(self.at.timestamp_micros().to_be_bytes());
        body.extend(self.id.as_bytes());
        let check = check(&body, list);
        body.extend(check);
        URL_SAFE_NO_PAD.encode(body)
    }

    /// Reads a token that this list gave out.
    pub(crate) fn from_token(token: &str, list: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "The page token is invalid. Use `next_cursor` from the previous page.";
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| WRONG)?;
        let (body, found) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(WRONG)?;
        if *found != *check(body, list) {
            return Err(WRONG);
        }
        Self::from_body(body).ok_or(WRONG)
    }

    fn from_body(body: &[u8]) -> Option<Self> {
        let (version, rest) = body.split_first()?;
        let (micros, id) = rest.split_first_chunk::<8>()?;
        Some(Self {
            at: DateTime::from_timestamp_micros(i64::from_be_bytes(*micros))?,
            id: Uuid::from_slice(id).ok()?,
        })
        .filter(|end| *version == TOKEN_VERSION && YEARS.contains(&end.at.year()))
    }
}

/// Ties a token to its list. It is no secret: it catches mistakes.
fn check(body: &[u8], list: &str) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(body);
    hash.update(list);
    hash.finalize().into_iter().take(CHECK_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_on_its_own_list_alone() {
        let end = Keyset {
            at: DateTime::from_timestamp_micros(1_800_000_000_123_456).unwrap(),
            id: Uuid::from_u128(7),
        };
        let token = end.to_token("audit");
        assert_eq!(Keyset::from_token(&token, "audit"), Ok(end));
        assert!(Keyset::from_token(&token, "keys").is_err());
        for bad in ["", "x", "AAAA", "????", &token[1..]] {
            assert!(Keyset::from_token(bad, "audit").is_err(), "{bad}");
        }
    }
}
