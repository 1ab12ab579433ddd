//! What an admin's list of organizations is asked for.

use billing_kit::Violation;
use billing_proto::common::v1::SubscriptionStatus;

use super::{organization::Organization, reporting::ReportingState, words};

/// Rows of a page where nothing is said.
pub(crate) const PAGE_SIZE_DEFAULT: i32 = 50;
/// The most rows of a page.
pub(crate) const PAGE_SIZE_MAX: i32 = 500;

/// Which organizations are picked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OrganizationFilter {
    /// Text in the id, name, URL or e-mail; empty picks all.
    pub query: String,
    /// The statuses; none picks all.
    pub statuses: Vec<SubscriptionStatus>,
    /// Whether they report as they should; `None` picks all.
    pub reporting_state: Option<ReportingState>,
}

impl OrganizationFilter {
    /// Whether an organization is picked that was got by its id: the text and the statuses, as
    /// org-svc picks by them.
    pub(crate) fn picks(&self, organization: &Organization) -> bool {
        let Self {
            query,
            statuses,
            // Whoever asks by id did so because of it.
            reporting_state: _,
        } = self;
        let query = query.to_lowercase();
        let id = organization.id.to_string();
        let texts = [
            Some(id.as_str()),
            Some(organization.name.as_str()),
            organization.instance_url.as_deref(),
            organization.admin_email.as_deref(),
        ];
        let mut texts = texts.into_iter().flatten();
        texts.any(|text| text.to_lowercase().contains(&query))
            && (statuses.is_empty() || statuses.contains(&organization.subscription_status))
    }
}

/// Whether only silent ones are picked, from the text of `silent`.
pub(crate) fn parse_silent(
    text: Option<&str>,
    violations: &mut Vec<Violation>,
) -> Option<ReportingState> {
    match text.unwrap_or_default() {
        "" | "false" => None,
        "true" => Some(ReportingState::Silent),
        _ => {
            violations.push(Violation::new("silent", "It must be true or false."));
            None
        }
    }
}

/// The statuses of a comma-separated list of words.
pub(crate) fn parse_statuses(
    text: &str,
    violations: &mut Vec<Violation>,
) -> Vec<SubscriptionStatus> {
    let mut statuses = Vec::new();
    for word in text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        match words::parse_status(word) {
            Some(status) => statuses.push(status),
            None => violations.push(Violation::new(
                "status",
                format!(
                    "'{}' is not one of: {}.",
                    word.escape_debug(),
                    words::statuses()
                ),
            )),
        }
    }
    statuses
}

/// The rows of a page, from the text of `limit`; the default where there is none.
pub(crate) fn parse_limit(text: Option<&str>, violations: &mut Vec<Violation>) -> i32 {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return PAGE_SIZE_DEFAULT;
    };
    let limit = text.parse().ok();
    limit
        .filter(|limit| (1..=PAGE_SIZE_MAX).contains(limit))
        .unwrap_or_else(|| {
            violations.push(Violation::new("limit", "It must be 1 to 500."));
            PAGE_SIZE_DEFAULT
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_status_is_named() {
        let mut violations = Vec::new();
        let statuses = parse_statuses("trial, past_due,,gold", &mut violations);
        assert_eq!(
            statuses,
            [SubscriptionStatus::Trial, SubscriptionStatus::PastDue]
        );
        assert!(violations[0].message.contains("'gold'"), "{violations:?}");
        assert_eq!(violations[0].field, "status");
    }

    #[test]
    fn a_limit_is_one_to_five_hundred() {
        for (text, limit) in [
            (None, Some(50)),
            (Some("1"), Some(1)),
            (Some("500"), Some(500)),
            (Some("0"), None),
            (Some("501"), None),
            (Some("-1"), None),
            (Some("many"), None),
        ] {
            let mut violations = Vec::new();
            let read = parse_limit(text, &mut violations);
            assert_eq!(violations.is_empty().then_some(read), limit, "{text:?}");
        }
    }
}
