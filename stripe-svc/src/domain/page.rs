//! Pages of lists whose newest entry comes first.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};

const SIZE_DEFAULT: i64 = 50;
const SIZE_MAX: i64 = 500;
/// Characters of an id of Stripe's, or of ours.
const ID_CHARS_MAX: usize = 255;

/// How many entries a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageSize(i64);

impl PageSize {
    /// 0 is the default; what is too large is the most.
    pub(crate) fn parse(size: i32) -> Result<Self, &'static str> {
        match i64::from(size) {
            ..0 => Err("It is negative."),
            0 => Ok(Self(SIZE_DEFAULT)),
            size => Ok(Self(size.min(SIZE_MAX))),
        }
    }

    pub(crate) fn get(self) -> i64 {
        self.0
    }

    /// Where the next page begins; none behind a page that is not full.
    pub(crate) fn next<T>(self, page: &[T], place: impl Fn(&T) -> Position) -> Option<Position> {
        let is_full = i64::try_from(page.len()).is_ok_and(|count| count >= self.0);
        page.last().filter(|_| is_full).map(place)
    }
}

/// The last entry of a page: its time and its id. The next page is what comes behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) at: DateTime<Utc>,
    pub(crate) id: String,
}

impl Position {
    /// The token of the next page: opaque to its holder.
    pub(crate) fn to_token(&self) -> String {
        let text = format!("{}.{}", self.at.timestamp_micros(), self.id);
        URL_SAFE_NO_PAD.encode(text)
    }

    /// Reads a token; an empty one is the first page's.
    pub(crate) fn from_token(token: &str) -> Result<Option<Self>, &'static str> {
        if token.is_empty() {
            return Ok(None);
        }
        Self::read(token)
            .map(Some)
            .ok_or("The page token is invalid. Use `next_cursor` from the previous page.")
    }

    fn read(token: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        let (micros, id) = text.split_once('.')?;
        let is_id = (1..=ID_CHARS_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_graphic());
        Some(Self {
            at: DateTime::from_timestamp_micros(micros.parse().ok()?)?,
            id: id.to_owned(),
        })
        .filter(|_| is_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_nothing_else_does() {
        let position = Position {
            at: DateTime::from_timestamp_micros(1_800_000_000_123_456).unwrap(),
            id: "evt_1".to_owned(),
        };
        assert_eq!(
            Position::from_token(&position.to_token()),
            Ok(Some(position))
        );
        assert_eq!(Position::from_token(""), Ok(None));
        for bad in ["x", "AAAA", "????", &URL_SAFE_NO_PAD.encode("1.\0")] {
            assert!(Position::from_token(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_has_a_size() {
        for (asked, given) in [(0, 50), (1, 1), (500, 500), (i32::MAX, 500)] {
            assert_eq!(PageSize::parse(asked).map(PageSize::get), Ok(given));
        }
        assert!(PageSize::parse(-1).is_err());
    }
}
