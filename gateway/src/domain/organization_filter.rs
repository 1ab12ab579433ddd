//! What an admin's list of organizations is asked for.

use billing_kit::Violation;
use billing_proto::common::v1::SubscriptionStatus;

use super::words;

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
