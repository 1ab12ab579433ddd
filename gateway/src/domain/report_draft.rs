//! The body of a usage report, read field by field.

use billing_kit::{Fault, Violation};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::fields::{self, Fields};

const ORGANIZATION_ID: &str = "organization_id";
const ORGANIZATION_NAME: &str = "organization_name";
const INSTANCE_URL: &str = "instance_url";
const USER_COUNT: &str = "user_count";
const TIMESTAMP: &str = "timestamp";
/// What ingest-svc's contract calls the timestamp.
const REPORT_TIME: &str = "report_time";

const FIELDS: [&str; 5] = [
    ORGANIZATION_ID,
    ORGANIZATION_NAME,
    INSTANCE_URL,
    USER_COUNT,
    TIMESTAMP,
];

/// A report as far as it can be read: a field that is missing or of a wrong type is `None`, and
/// named among the violations. Whether what could be read makes sense is ingest-svc's to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReportDraft {
    /// The organization's UUID, as written.
    pub organization_id: Option<String>,
    /// Its name.
    pub organization_name: Option<String>,
    /// Where its instance lives.
    pub instance_url: Option<String>,
    /// Number of users (seats).
    pub user_count: Option<i64>,
    /// The moment that the count is of.
    pub timestamp: Option<DateTime<Utc>>,
    /// The fields that are missing or of a wrong type.
    pub violations: Vec<Violation>,
}

impl ReportDraft {
    /// Reads a body.
    ///
    /// # Errors
    /// The body is no JSON object; nothing less is an error here.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Fault> {
        let object = fields::object(body)?;
        let mut fields = Fields::of(&object);
        let organization_id = fields.text(ORGANIZATION_ID).map(str::to_owned);
        let organization_name = fields.text(ORGANIZATION_NAME).map(str::to_owned);
        let instance_url = fields.text(INSTANCE_URL).map(str::to_owned);
        let user_count = fields.integer(USER_COUNT);
        let timestamp = fields.time(TIMESTAMP);
        Ok(Self {
            organization_id,
            organization_name,
            instance_url,
            user_count,
            timestamp,
            violations: fields.finish(),
        })
    }

    /// The organization, where its id is one.
    pub(crate) fn organization(&self) -> Option<Uuid> {
        Uuid::try_parse(self.organization_id.as_deref()?).ok()
    }

    /// Every field at fault: those that could not be read, and those of the others that ingest-svc
    /// rejected, in the order of the specification. Of a field that could not be read ingest-svc
    /// can only say that it is missing, so what is said here of it counts.
    pub(crate) fn all_violations(self, rejected: Vec<Violation>) -> Vec<Violation> {
        let mut all = self.violations;
        for mut violation in rejected {
            if violation.field == REPORT_TIME {
                TIMESTAMP.clone_into(&mut violation.field);
            }
            if !all.iter().any(|own| own.field == violation.field) {
                all.push(violation);
            }
        }
        let rank = |violation: &Violation| {
            FIELDS
                .iter()
                .position(|field| *field == violation.field)
                .unwrap_or(FIELDS.len())
        };
        all.sort_by_key(rank);
        all
    }
}

/// The organization of a body that cannot be read as a whole, where its id is legible all the same.
pub(crate) fn legible_organization(body: &[u8]) -> Option<Uuid> {
    const ID_LEN: usize = 36;
    let text = String::from_utf8_lossy(body);
    let (_, rest) = text.split_once("\"organization_id\"")?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start();
    let rest = rest.strip_prefix('"')?;
    Uuid::try_parse(rest.get(..ID_LEN)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_organization_is_legible_in_a_broken_body() {
        let id = "0193a6f0-5f0e-7d2c-8c1b-1f2e3d4c5b6a";
        let found = |body: &str| legible_organization(body.as_bytes()).map(|it| it.to_string());
        let broken = format!("{{\"organization_id\" : \"{id}\", \"user_count\": oops");
        assert_eq!(found(&broken).as_deref(), Some(id));
        let latin = [broken.as_bytes(), b"\xe9"].concat();
        assert!(legible_organization(&latin).is_some());
        for none in [
            "",
            "{",
            "{\"organization_id\": 7",
            "{\"organization_id\": \"é",
        ] {
            assert_eq!(found(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_wrong_does_not_hide_what_is_right() {
        let body = br#"{"organization_id":7,"organization_name":"Acme","instance_url":"a.b","user_count":"many","extra":[]}"#;
        let draft = ReportDraft::read(body).unwrap();
        assert_eq!(draft.organization_name.as_deref(), Some("Acme"));
        let at_fault: Vec<_> = draft.violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(at_fault, ["organization_id", "user_count", "timestamp"]);
    }

    #[test]
    fn both_kinds_of_violations_come_together_and_the_first_word_counts() {
        let body = br#"{"organization_id":"x","organization_name":" ","instance_url":"a.b","user_count":"many"}"#;
        let draft = ReportDraft::read(body).unwrap();
        let all = draft.all_violations(vec![
            Violation::new("report_time", "It is missing from the message."),
            Violation::new("organization_name", "It is empty."),
            Violation::new("user_count", "It is missing from the message."),
            Violation::new("organization_id", "It is no UUID."),
        ]);
        let told: Vec<_> = all
            .iter()
            .map(|v| (v.field.as_str(), v.message.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("organization_id", "It is no UUID."),
                ("organization_name", "It is empty."),
                ("user_count", "It must be a number."),
                ("timestamp", "It is missing."),
            ]
        );
    }
}
