//! A usage report, parsed at the door: inside the service a value of these types is valid.

use std::net::IpAddr;

use billing_kit::{Violation, text::visible_line};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::signing::Signature;

/// The most users that an organization can report.
pub(crate) const USER_COUNT_MAX: i32 = 10_000_000;
/// The longest organization name, in characters.
pub(crate) const NAME_CHARS_MAX: usize = 200;
/// The longest instance URL, in characters.
pub(crate) const URL_CHARS_MAX: usize = 255;
/// How far ahead of our clock a report may be.
pub(crate) const AHEAD_MAX: TimeDelta = TimeDelta::minutes(5);
/// What is at fault where the body could not be read as a whole.
const BODY: &str = "body";
/// Where PostgreSQL's and everybody's calendars agree; nothing was reported before.
const EARLIEST_YEAR: i32 = 2000;

/// A report as it came, each field perhaps missing or wrong.
#[derive(Debug, Clone)]
pub(crate) struct RawReport {
    pub(crate) organization_id: String,
    pub(crate) organization_name: String,
    pub(crate) instance_url: String,
    pub(crate) user_count: Option<i64>,
    pub(crate) reported_at: Option<DateTime<Utc>>,
    /// The IP address that it came from; empty where that is not known.
    pub(crate) source_address: String,
    /// What the gateway could not read, field by field.
    pub(crate) unreadable_fields: Vec<Violation>,
    /// Why the gateway could not read the body as a whole; empty where it could.
    pub(crate) unreadable_body: String,
    pub(crate) signature: Option<Signature>,
}

/// A valid report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) organization_id: Uuid,
    pub(crate) content: Content,
    /// The moment that the count is of, to the microsecond.
    pub(crate) reported_at: DateTime<Utc>,
    /// The address that it came from, where that is known.
    pub(crate) source: Option<IpAddr>,
    /// Who signed it.
    pub(crate) signature: Option<Signature>,
}

/// What a report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) organization_name: String,
    pub(crate) instance_url: String,
    /// Number of users (seats), 0 to [`USER_COUNT_MAX`].
    pub(crate) user_count: i32,
}

impl Content {
    /// Whether a second report with the same organization and timestamp repeats this one: it does where
    /// its count is the same. A name or URL that was corrected meanwhile is not worth a refusal; the
    /// first ones stay.
    pub(crate) fn is_repeated_by(&self, other: &Self) -> bool {
        self.user_count == other.user_count
    }
}

impl Report {
    /// Parses a report, or names every field at fault.
    pub(crate) fn parse(raw: &RawReport, now: DateTime<Utc>) -> Result<Self, Vec<Violation>> {
        if !raw.unreadable_body.is_empty() {
            return Err(vec![Violation::new(BODY, &raw.unreadable_body)]);
        }
        let mut violations = raw.unreadable_fields.clone();
        let mut check = |field: &str, result: Result<(), String>| {
            let is_named = violations.iter().any(|it| it.field == field);
            if let Err(message) = result
                && !is_named
            {
                violations.push(Violation::new(field, message));
            }
        };
        let organization_id = parse_organization_id(&raw.organization_id);
        check("organization_id", problem_of(&organization_id));
        let organization_name = parse_line(&raw.organization_name, NAME_CHARS_MAX);
        check("organization_name", problem_of(&organization_name));
        let instance_url = parse_line(&raw.instance_url, URL_CHARS_MAX);
        check("instance_url", problem_of(&instance_url));
        let user_count = parse_user_count(raw.user_count);
        check("user_count", problem_of(&user_count));
        let reported_at = parse_time(raw.reported_at, now);
        check("timestamp", problem_of(&reported_at));
        let content = (organization_name, instance_url, user_count);
        match (organization_id, content, reported_at) {
            (
                Ok(organization_id),
                (Ok(organization_name), Ok(instance_url), Ok(user_count)),
                Ok(reported_at),
            ) if violations.is_empty() => Ok(Self {
                organization_id,
                content: Content {
                    organization_name,
                    instance_url,
                    user_count,
                },
                reported_at,
                source: source_address(&raw.source_address),
                signature: raw.signature,
            }),
            _ => Err(violations),
        }
    }
}

/// Parses the hyphenated text form of a UUID; the other forms that a UUID can be written in are more
/// likely a mistake than an organization.
pub(crate) fn parse_organization_id(text: &str) -> Result<Uuid, String> {
    const TEXT_FORM_LEN: usize = 36;
    if text.is_empty() {
        return Err("It is missing.".to_owned());
    }
    Uuid::try_parse(text)
        .ok()
        .filter(|_| text.len() == TEXT_FORM_LEN)
        .ok_or_else(|| "It is not a UUID such as 0193a6f0-5f0e-7d2c-8c1b-1f2e3d4c5b6a.".to_owned())
}

/// An address as the gateway tells it, where it does.
pub(super) fn source_address(text: &str) -> Option<IpAddr> {
    text.parse()
        .ok()
        .map(|address: IpAddr| address.to_canonical())
}

/// One line, as a person sees it.
fn parse_line(text: &str, chars_max: usize) -> Result<String, String> {
    let line = visible_line(text)?;
    if line.is_empty() {
        return Err("It is missing or empty.".to_owned());
    }
    let chars = line.chars().count();
    if chars > chars_max {
        return Err(format!(
            "It has {chars} characters; the maximum is {chars_max}."
        ));
    }
    Ok(line.into_owned())
}

fn problem_of<T>(parsed: &Result<T, String>) -> Result<(), String> {
    parsed.as_ref().map(|_| ()).map_err(Clone::clone)
}

fn parse_user_count(count: Option<i64>) -> Result<i32, String> {
    let count = count.ok_or("It is missing.")?;
    i32::try_from(count)
        .ok()
        .filter(|count| (0..=USER_COUNT_MAX).contains(count))
        .ok_or_else(|| format!("It is {count}; it must be from 0 to {USER_COUNT_MAX}."))
}

fn parse_time(time: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    use chrono::Datelike;
    let time = time.ok_or("It is missing.")?;
    if time.year() < EARLIEST_YEAR {
        return Err(format!("It is before the year {EARLIEST_YEAR}."));
    }
    if time > now + AHEAD_MAX {
        return Err(format!(
            "It is more than {} minutes ahead of our clock.",
            AHEAD_MAX.num_minutes()
        ));
    }
    // As exact as the database keeps it, and without a leap second, which it does not know: the same
    // instant twice must compare as the same.
    DateTime::from_timestamp_micros(time.timestamp_micros())
        .ok_or_else(|| "It is not a valid time.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-01-31T03:00:00Z".parse().unwrap()
    }

    fn good() -> RawReport {
        RawReport {
            organization_id: "0193a6f0-5f0e-7d2c-8c1b-1f2e3d4c5b6a".to_owned(),
            organization_name: " Acme Corp ".to_owned(),
            instance_url: "acme.vaultai.eu".to_owned(),
            user_count: Some(45),
            reported_at: Some(now()),
            source_address: String::new(),
            unreadable_fields: Vec::new(),
            unreadable_body: String::new(),
            signature: None,
        }
    }

    fn fields_at_fault(change: impl FnOnce(&mut RawReport)) -> Vec<String> {
        let mut raw = good();
        change(&mut raw);
        match Report::parse(&raw, now()) {
            Ok(_) => Vec::new(),
            Err(violations) => violations.into_iter().map(|v| v.field).collect(),
        }
    }

    /// A name that was pasted with a character that nobody sees is still that name.
    #[test]
    fn what_cannot_be_seen_is_no_part_of_a_name() {
        let mut raw = good();
        raw.organization_name = "\u{feff}Ac\u{200b}me Corp\u{202e}".to_owned();
        let report = Report::parse(&raw, now()).unwrap();
        assert_eq!(report.content.organization_name, "Acme Corp");
        let empty = |raw: &mut RawReport| raw.organization_name = "\u{200b}\u{2060}".to_owned();
        assert_eq!(fields_at_fault(empty), ["organization_name"]);
        let two_lines = |raw: &mut RawReport| raw.organization_name = "a\u{2028}b".to_owned();
        assert_eq!(fields_at_fault(two_lines), ["organization_name"]);
    }

    #[test]
    fn a_good_report_is_taken_and_trimmed() {
        let report = Report::parse(&good(), now()).unwrap();
        assert_eq!(report.content.organization_name, "Acme Corp");
    }

    /// What the gateway says of a field is more than that it is missing.
    #[test]
    fn what_could_not_be_read_is_named_once_and_with_the_others() {
        let mut raw = good();
        raw.user_count = None;
        raw.instance_url.clear();
        raw.unreadable_fields = vec![Violation::new("user_count", "It must be a number.")];
        let violations = Report::parse(&raw, now()).unwrap_err();
        let told: Vec<_> = violations
            .iter()
            .map(|it| (it.field.as_str(), it.message.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("user_count", "It must be a number."),
                ("instance_url", "It is missing or empty.")
            ]
        );
        let mut raw = good();
        raw.unreadable_fields = vec![Violation::new("user_count", "It is ill-formed.")];
        assert!(Report::parse(&raw, now()).is_err());
        let mut raw = good();
        raw.unreadable_body = "The body is not JSON.".to_owned();
        assert_eq!(Report::parse(&raw, now()).unwrap_err().len(), 1);
    }

    #[test]
    fn a_source_is_an_address_or_not_known() {
        for (text, source) in [
            ("203.0.113.7", Some("203.0.113.7")),
            ("::ffff:203.0.113.7", Some("203.0.113.7")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("", None),
            ("unknown", None),
        ] {
            let mut raw = good();
            raw.source_address = text.to_owned();
            let report = Report::parse(&raw, now()).unwrap();
            assert_eq!(
                report.source,
                source.map(|it| it.parse().unwrap()),
                "{text}"
            );
        }
    }

    #[test]
    fn each_field_has_its_limits() {
        type Change = fn(&mut RawReport);
        let cases: [(&str, Change); 14] = [
            ("organization_id", |r| r.organization_id.clear()),
            ("organization_id", |r| {
                r.organization_id = "abc-123-def-456".to_owned()
            }),
            ("organization_id", |r| {
                r.organization_id = r.organization_id.replace('-', "")
            }),
            ("organization_name", |r| {
                r.organization_name = " ".to_owned()
            }),
            ("organization_name", |r| {
                r.organization_name = "é".repeat(NAME_CHARS_MAX + 1)
            }),
            ("organization_name", |r| {
                r.organization_name = "a\u{0}b".to_owned()
            }),
            ("instance_url", |r| r.instance_url.clear()),
            ("instance_url", |r| {
                r.instance_url = "u".repeat(URL_CHARS_MAX + 1)
            }),
            ("user_count", |r| r.user_count = None),
            ("user_count", |r| r.user_count = Some(-1)),
            ("user_count", |r| {
                r.user_count = Some(i64::from(USER_COUNT_MAX) + 1)
            }),
            ("timestamp", |r| r.reported_at = None),
            ("timestamp", |r| {
                r.reported_at = Some(now() + AHEAD_MAX + TimeDelta::seconds(1))
            }),
            ("timestamp", |r| {
                r.reported_at = Some("1999-12-31T23:59:59Z".parse().unwrap())
            }),
        ];
        for (field, change) in cases {
            assert_eq!(fields_at_fault(change), [field]);
        }
    }

    #[test]
    fn the_limits_themselves_are_within() {
        assert!(fields_at_fault(|r| r.user_count = Some(0)).is_empty());
        assert!(fields_at_fault(|r| r.user_count = Some(i64::from(USER_COUNT_MAX))).is_empty());
        assert!(fields_at_fault(|r| r.reported_at = Some(now() + AHEAD_MAX)).is_empty());
        assert!(fields_at_fault(|r| r.organization_name = "é".repeat(NAME_CHARS_MAX)).is_empty());
    }

    #[test]
    fn a_leap_second_is_the_next_minute_as_in_the_database() {
        let mut raw = good();
        raw.reported_at = Some("2026-01-30T03:00:60.5Z".parse().unwrap());
        let report = Report::parse(&raw, now()).unwrap();
        assert_eq!(
            report.reported_at,
            "2026-01-30T03:01:00.5Z".parse::<DateTime<Utc>>().unwrap()
        );
    }

    #[test]
    fn every_field_at_fault_is_named_at_once() {
        let fields = fields_at_fault(|r| {
            r.organization_id.clear();
            r.organization_name.clear();
            r.instance_url.clear();
            r.user_count = Some(-1);
            r.reported_at = None;
        });
        assert_eq!(
            fields,
            [
                "organization_id",
                "organization_name",
                "instance_url",
                "user_count",
                "timestamp"
            ]
        );
    }
}
