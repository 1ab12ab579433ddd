//! The pages' two languages: one catalogue each, complete by the compiler's word, and what differs
//! between them beside the words: numbers, dates, plurals.
//!
//! Architecture invariant: no sentence for a person stands anywhere else in the dashboard. What comes
//! from Stripe or from the services is shown as it is, and marked as English.

mod en;
mod fr;
mod messages;
mod words;

use std::fmt::Write;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

pub(super) use messages::{ACTIONS, Messages};

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
    French,
}

/// A text with a number in it, `{n}`, for one and for several. French says one of zero, too.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    pub(super) one: &'static str,
    pub(super) other: &'static str,
}

impl Language {
    pub(super) const ALL: [Self; 2] = [Self::French, Self::English];

    /// Its code, as HTML and HTTP have it.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
        }
    }

    /// The language of a code.
    pub(super) fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }

    /// Its name in itself.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::French => "Français",
        }
    }

    /// The one of the two that a browser likes better, by its `Accept-Language`; English where it
    /// likes neither.
    pub(super) fn of_browser(accept_language: &str) -> Self {
        let wish = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let language = parts.next()?.split('-').next()?.to_ascii_lowercase();
            let language = Self::from_code(&language)?;
            // In thousandths, as exact as the header may be.
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            let weight = weight.map_or(Some(1000), thousandths)?;
            (weight > 0).then_some((language, weight))
        };
        let mut best: Option<(Self, u32)> = None;
        for (language, weight) in accept_language.split(',').filter_map(wish) {
            // Of equals the first.
            if best.is_none_or(|(_, least)| weight > least) {
                best = Some((language, weight));
            }
        }
        best.map_or(Self::English, |(language, _)| language)
    }

    /// Its catalogue.
    pub(super) fn messages(self) -> &'static Messages {
        match self {
            Self::English => &en::MESSAGES,
            Self::French => &fr::MESSAGES,
        }
    }

    /// A number as people write it.
    pub(super) fn number(self, number: i64) -> String {
        let separator = match self {
            Self::English => ',',
            Self::French => '\u{202f}',
        };
        let digits = number.unsigned_abs().to_string();
        let mut text = String::new();
        if number < 0 {
            text.push('\u{2212}');
        }
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(separator);
            }
            text.push(digit);
        }
        text
    }

    /// A decimal number that a service wrote, with the language's own sign.
    pub(super) fn decimal(self, text: &str) -> String {
        match self {
            Self::English => text.to_owned(),
            Self::French => text.replace('.', ","),
        }
    }

    /// The text for so many, the number in it.
    pub(super) fn count(self, text: Counted, number: i64) -> String {
        let is_one = match self {
            Self::English => number.abs() == 1,
            Self::French => number.abs() < 2,
        };
        let text = if is_one { text.one } else { text.other };
        text.replace("{n}", &self.number(number))
    }

    /// How long something has lasted, in its largest unit.
    pub(super) fn age(self, seconds: i64) -> String {
        let minutes = seconds / 60;
        let day = match self {
            Self::English => "d",
            Self::French => "j",
        };
        match minutes {
            0..120 => format!("{minutes} min"),
            120..2_880 => format!("{} h", minutes / 60),
            _ => format!("{} {day}", minutes / 1_440),
        }
    }

    /// A day.
    pub(super) fn day(self, time: DateTime<Utc>, zone: Tz) -> String {
        let format = match self {
            Self::English => "%Y-%m-%d",
            Self::French => "%d/%m/%Y",
        };
        time.with_timezone(&zone).format(format).to_string()
    }

    /// Day and minute; where the zone is not known they are UTC's, and say so.
    pub(super) fn minute(self, time: DateTime<Utc>, zone: Option<Tz>) -> String {
        let local = time.with_timezone(&zone.unwrap_or(Tz::UTC));
        let mut text = self.day(time, zone.unwrap_or(Tz::UTC));
        // Writing into a text never fails.
        let _written = write!(text, " {}", local.format("%H:%M"));
        if zone.is_none() {
            text.push_str(" UTC");
        }
        text
    }
}

/// `0.8` as 800; three decimals at most.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let whole: u32 = whole.parse().ok().filter(|whole| *whole <= 1)?;
    let rest = rest.get(..3).unwrap_or(rest);
    let rest: u32 = format!("{rest:0<3}").parse().ok()?;
    Some((whole * 1000 + rest).min(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browsers_wish_is_heard() {
        for (header, language) in [
            ("", Language::English),
            ("de-DE, de;q=0.9", Language::English),
            ("fr", Language::French),
            ("fr-CH, fr;q=0.9, en;q=0.8, *;q=0.5", Language::French),
            ("de, en;q=0.7, fr;q=0.75", Language::French),
            ("en-GB,en;q=0.9,fr;q=0.9", Language::English),
            ("FR;q=0, en;q=0.1", Language::English),
            ("fr;q=nonsense, en;q=0.001", Language::English),
        ] {
            assert_eq!(Language::of_browser(header), language, "{header}");
        }
    }

    #[test]
    fn numbers_are_grouped_as_each_language_does() {
        for (number, english, french) in [
            (0, "0", "0"),
            (999, "999", "999"),
            (1_000, "1,000", "1\u{202f}000"),
            (
                -1_234_567,
                "\u{2212}1,234,567",
                "\u{2212}1\u{202f}234\u{202f}567",
            ),
        ] {
            assert_eq!(Language::English.number(number), english);
            assert_eq!(Language::French.number(number), french);
        }
        assert_eq!(Language::French.decimal("46.5"), "46,5");
    }

    #[test]
    fn french_says_one_of_nothing() {
        let text = Counted {
            one: "{n} day",
            other: "{n} days",
        };
        for (number, english, french) in [(0, "0 days", "0 day"), (1, "1 day", "1 day")] {
            assert_eq!(Language::English.count(text, number), english);
            assert_eq!(Language::French.count(text, number), french);
        }
        assert_eq!(Language::French.count(text, 2_000), "2\u{202f}000 days");
    }

    /// Every text with a number has a place for it, in both forms, where more than one is said.
    #[test]
    fn a_counted_text_has_a_place_for_its_number() {
        for language in Language::ALL {
            let t = language.messages();
            for text in [
                t.all_pending,
                t.all_billed,
                t.pending_now,
                t.skipped,
                t.chart_summary,
                t.decide_count,
            ] {
                assert!(text.other.contains("{n}"), "{text:?}");
            }
            assert!(t.link_title.contains("{x}") && t.link_of.contains("{x}"));
            for about in [
                t.unlink_title,
                t.change_title,
                t.end_title,
                t.portal_title,
                t.invoices_of,
                t.held_of,
                t.release_title,
                t.discard_title,
                t.key_created,
                t.revoke_title,
            ] {
                assert!(about.contains("{x}"), "{about}");
            }
        }
    }

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        for (minutes, english, french) in [
            (0, "0 min", "0 min"),
            (119, "119 min", "119 min"),
            (120, "2 h", "2 h"),
            (2_880, "2 d", "2 j"),
        ] {
            let age = 60 * minutes;
            assert_eq!(Language::English.age(age), english);
            assert_eq!(Language::French.age(age), french);
        }
    }

    #[test]
    fn times_are_the_admins_own_where_the_zone_is_known() {
        let time = DateTime::from_timestamp(1_730_602_800, 0).unwrap();
        let (paris, french, english) = (Tz::Europe__Paris, Language::French, Language::English);
        assert_eq!(french.minute(time, Some(paris)), "03/11/2024 04:00");
        assert_eq!(english.minute(time, None), "2024-11-03 03:00 UTC");
        let summer = DateTime::from_timestamp(1_719_784_800, 0).unwrap();
        assert_eq!(french.day(summer, paris), "01/07/2024");
        assert_eq!(french.day(summer, Tz::UTC), "30/06/2024");
    }
}
