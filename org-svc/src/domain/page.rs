//! Pages of the list of organizations: how long they are, and where the next one goes on.

use std::ops::RangeInclusive;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Datelike, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::organization::{OrganizationId, SubscriptionStatus};

const PAGE_SIZE_DEFAULT: u16 = 50;
const PAGE_SIZE_MAX: u16 = 500;
const QUERY_CHARS_MAX: usize = 255;
const TOKEN_VERSION: u8 = 1;
const CHECK_BYTES: usize = 8;
/// The years of a page's end: the calendars of Rust and PostgreSQL end elsewhere.
const YEARS: RangeInclusive<i32> = 1970..=9999;

/// How many organizations a page holds at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageSize(u16);

impl PageSize {
    pub(crate) fn parse(size: i32) -> Result<Self, &'static str> {
        match u32::try_from(size) {
            Err(_) => Err("It is negative."),
            Ok(0) => Ok(Self(PAGE_SIZE_DEFAULT)),
            Ok(size) => Ok(Self(
                u16::try_from(size).map_or(PAGE_SIZE_MAX, |size| size.min(PAGE_SIZE_MAX)),
            )),
        }
    }

    pub(crate) fn get(self) -> u16 {
        self.0
    }
}

/// A text to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query(String);

impl Query {
    /// `None` for the empty text, which picks all.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, &'static str> {
        if text.chars().count() > QUERY_CHARS_MAX {
            Err("It is longer than 255 characters.")
        } else if text.contains('\0') {
            Err("It has control characters.")
        } else {
            Ok((!text.is_empty()).then(|| Self(text.to_owned())))
        }
    }

    /// The pattern of SQL's `LIKE` (escape character `\`) for any text that contains this one.
    pub(crate) fn like_pattern(&self) -> String {
        let mut pattern = String::from("%");
        for c in self.0.chars() {
            if matches!(c, '\\' | '%' | '_') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('%');
        pattern
    }
}

/// Whether organizations without a Stripe customer are picked, or those with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkFilter {
    Pending,
    Linked,
}

/// Which organizations a list shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) query: Option<Query>,
    pub(crate) link: Option<LinkFilter>,
    /// None picks all.
    pub(crate) statuses: Vec<SubscriptionStatus>,
}

/// The last organization of a page: the next page begins behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) id: OrganizationId,
}

impl Position {
    /// The token of the next page: opaque to its holder, and good for the same list only.
    pub(crate) fn to_token(self, filter: &Filter) -> String {
        let body = self.body();
        let check = check(&body, filter);
        URL_SAFE_NO_PAD.encode([body.as_slice(), check.as_slice()].concat())
    }

    /// Reads a token that this list gave out.
    pub(crate) fn from_token(token: &str, filter: &Filter) -> Result<Self, &'static str> {
        const WRONG: &str = "It is no page token of this list.";
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| WRONG)?;
        let (body, found) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(WRONG)?;
        if *found != *check(body, filter) {
            return Err(WRONG);
        }
        Self::from_body(body).ok_or(WRONG)
    }

    fn body(self) -> Vec<u8> {
        let mut body = vec![TOKEN_VERSION];
        body.extend(self.created_at.timestamp_micros().to_be_bytes());
        body.extend(self.id.0.as_bytes());
        body
    }

    fn from_body(body: &[u8]) -> Option<Self> {
        let (version, rest) = body.split_first()?;
        let (micros, id) = rest.split_first_chunk::<8>()?;
        Some(Self {
            created_at: DateTime::from_timestamp_micros(i64::from_be_bytes(*micros))?,
            id: OrganizationId(Uuid::from_slice(id).ok()?),
        })
        .filter(|end| *version == TOKEN_VERSION && YEARS.contains(&end.created_at.year()))
    }
}

/// Ties a token to the filters that it was made under. It is no secret: it catches mistakes.
fn check(body: &[u8], filter: &Filter) -> Vec<u8> {
    let Filter {
        query,
        link,
        statuses,
    } = filter;
    let link = match link {
        None => "",
        Some(LinkFilter::Pending) => "pending",
        Some(LinkFilter::Linked) => "linked",
    };
    let mut statuses: Vec<_> = statuses.iter().map(|status| status.as_str()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let query = query.as_ref().map_or("", |query| &query.0);
    let mut hash = Sha256::new();
    hash.update(body);
    for part in [link, &statuses.join(","), query] {
        hash.update(part);
        hash.update([0]);
    }
    hash.finalize().into_iter().take(CHECK_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(query: &str) -> Filter {
        Filter {
            query: Query::parse(query).unwrap(),
            link: Some(LinkFilter::Pending),
            statuses: vec![SubscriptionStatus::Trial, SubscriptionStatus::Active],
        }
    }

    #[test]
    fn a_token_reads_back_on_its_own_list_alone() {
        let position = Position {
            created_at: DateTime::from_timestamp_micros(1_800_000_000_123_456).unwrap(),
            id: OrganizationId(Uuid::from_u128(7)),
        };
        let token = position.to_token(&filter("acme"));
        assert_eq!(Position::from_token(&token, &filter("acme")), Ok(position));
        assert!(Position::from_token(&token, &filter("beta")).is_err());

        let swapped = Filter {
            statuses: vec![SubscriptionStatus::Active, SubscriptionStatus::Trial],
            ..filter("acme")
        };
        assert_eq!(Position::from_token(&token, &swapped), Ok(position));

        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let bent = String::from_utf8(bytes).unwrap();
            assert!(
                Position::from_token(&bent, &filter("acme")).is_err(),
                "{bent}"
            );
        }
        for bad in ["x", "AAAA", "????", &token[1..]] {
            assert!(Position::from_token(bad, &filter("acme")).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_has_a_size() {
        for (asked, given) in [(0, 50), (1, 1), (500, 500), (501, 500), (i32::MAX, 500)] {
            assert_eq!(PageSize::parse(asked).map(PageSize::get), Ok(given));
        }
        assert!(PageSize::parse(-1).is_err());
    }

    #[test]
    fn what_like_would_read_as_a_pattern_is_escaped() {
        let query = Query::parse(r"50%_\x").unwrap().unwrap();
        assert_eq!(query.like_pattern(), r"%50\%\_\\x%");
        assert_eq!(Query::parse(""), Ok(None));
    }
}
