//! What an admin's list of organizations is asked for.

use billing_kit::{Violation, text::search_form};
use billing_proto::{
    admin::v1::Organization,
    common::v1::{
        DeploymentType, OrganizationOrder as OrderMessage, PlanType, ReportingState,
        SubscriptionStatus,
    },
};

use super::words;

/// Rows of a page where nothing is said.
pub(crate) const PAGE_SIZE_DEFAULT: i32 = 50;
/// The most rows of a page.
pub(crate) const PAGE_SIZE_MAX: i32 = 500;

/// Which organizations are picked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OrganizationFilter {
    /// Text in the name, URL or e-mail, or at the beginning of the id; empty picks all.
    pub query: String,
    /// The statuses; none picks all.
    pub statuses: Vec<SubscriptionStatus>,
    /// The plans; none picks all.
    pub plans: Vec<PlanType>,
    /// The deployment types; none picks all.
    pub deployments: Vec<DeploymentType>,
    /// Whether they report as they should; `None` picks all.
    pub reporting_state: Option<ReportingState>,
    /// Picks those whose collection is paused.
    pub collection_paused: bool,
    /// The network that their first report came from; empty picks all.
    pub source_network: String,
}

impl OrganizationFilter {
    /// Whether an organization is picked that was got by its id: the text and the words, as org-svc
    /// picks by them.
    pub(crate) fn picks(&self, organization: &Organization) -> bool {
        let Self {
            query,
            statuses,
            plans,
            deployments,
            // Whoever asks by id did so because of it.
            reporting_state: _,
            collection_paused,
            source_network,
        } = self;
        let query = search_form(query);
        let texts = [
            &organization.id,
            &organization.name,
            &organization.instance_url,
            &organization.admin_email,
        ];
        let mut texts = texts.into_iter();
        texts.any(|text| search_form(text).contains(&query))
            && (statuses.is_empty() || statuses.contains(&organization.subscription_status()))
            && (plans.is_empty() || plans.contains(&organization.plan_type()))
            && (deployments.is_empty() || deployments.contains(&organization.deployment_type()))
            && (!collection_paused || organization.collection_pause.is_some())
            && (source_network.is_empty() || organization.source_network == *source_network)
    }
}

/// Whether only silent ones are picked, from the text of `silent`.
pub(crate) fn parse_silent(
    text: Option<&str>,
    violations: &mut Vec<Violation>,
) -> Option<ReportingState> {
    parse_flag(text, "silent", violations).then_some(ReportingState::Silent)
}

/// A flag of a query; false where it is not given.
pub(crate) fn parse_flag(text: Option<&str>, name: &str, violations: &mut Vec<Violation>) -> bool {
    match text.unwrap_or_default() {
        "" | "false" => false,
        "true" => true,
        _ => {
            violations.push(Violation::new(name, "It must be true or false."));
            false
        }
    }
}

/// The order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum OrganizationOrder {
    /// The newest first.
    #[default]
    NewestFirst,
    /// The oldest first.
    OldestFirst,
    /// By name, from A on.
    Name,
    /// By name, from Z on.
    NameDescending,
    /// By status, those first that a person has to act on.
    Status,
}

impl From<OrderMessage> for OrganizationOrder {
    fn from(order: OrderMessage) -> Self {
        match order {
            OrderMessage::Unspecified => Self::NewestFirst,
            OrderMessage::OldestFirst => Self::OldestFirst,
            OrderMessage::Name => Self::Name,
            OrderMessage::NameDescending => Self::NameDescending,
            OrderMessage::Status => Self::Status,
        }
    }
}

impl OrganizationOrder {
    const ALL: [Self; 5] = [
        Self::NewestFirst,
        Self::OldestFirst,
        Self::Name,
        Self::NameDescending,
        Self::Status,
    ];

    /// Its word in an address: the column, with a minus where it runs down.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::NewestFirst => "-created_at",
            Self::OldestFirst => "created_at",
            Self::Name => "name",
            Self::NameDescending => "-name",
            Self::Status => "status",
        }
    }

    /// The order of a word.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.word() == word)
    }
}

/// The order of a word; the newest first where there is none.
pub(crate) fn parse_order(text: &str, violations: &mut Vec<Violation>) -> OrganizationOrder {
    if text.is_empty() {
        return OrganizationOrder::default();
    }
    OrganizationOrder::from_word(text).unwrap_or_else(|| {
        let words = OrganizationOrder::ALL.map(OrganizationOrder::word);
        violations.push(Violation::new(
            "sort",
            format!("It must be one of: {}.", words.join(", ")),
        ));
        OrganizationOrder::default()
    })
}

/// What is picked, by comma-separated lists of words.
pub(crate) fn parse_filter(
    query: &str,
    [statuses, plans, deployments]: [&str; 3],
    violations: &mut Vec<Violation>,
) -> OrganizationFilter {
    OrganizationFilter {
        query: query.to_owned(),
        statuses: parse_words(
            "status",
            statuses,
            words::parse_status,
            &words::statuses(),
            violations,
        ),
        plans: parse_words(
            "plan",
            plans,
            words::parse_plan_type,
            words::PLAN_TYPES,
            violations,
        ),
        deployments: parse_words(
            "deployment",
            deployments,
            words::parse_deployment_type,
            words::DEPLOYMENT_TYPES,
            violations,
        ),
        reporting_state: None,
        collection_paused: false,
        source_network: String::new(),
    }
}

fn parse_words<T>(
    field: &str,
    text: &str,
    parse: fn(&str) -> Option<T>,
    known: &str,
    violations: &mut Vec<Violation>,
) -> Vec<T> {
    let mut parsed = Vec::new();
    let words = text.split(',').map(str::trim);
    for word in words.filter(|word| !word.is_empty()) {
        match parse(word) {
            Some(value) => parsed.push(value),
            None => violations.push(Violation::new(
                field,
                format!("'{}' is not one of: {known}.", word.escape_debug()),
            )),
        }
    }
    parsed
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
    fn an_unknown_word_is_named() {
        let mut violations = Vec::new();
        let filter = parse_filter(
            "acme",
            ["trial, past_due,,gold", "self-hosted", "moon"],
            &mut violations,
        );
        assert_eq!(
            filter,
            OrganizationFilter {
                query: "acme".to_owned(),
                statuses: vec![SubscriptionStatus::Trial, SubscriptionStatus::PastDue],
                plans: vec![PlanType::SelfHosted],
                deployments: Vec::new(),
                reporting_state: None,
                collection_paused: false,
                source_network: String::new(),
            }
        );
        let fields: Vec<_> = violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["status", "deployment"]);
        assert!(violations[0].message.contains("'gold'"), "{violations:?}");
    }

    #[test]
    fn every_order_reads_back() {
        let mut violations = Vec::new();
        for order in OrganizationOrder::ALL {
            assert_eq!(parse_order(order.word(), &mut violations), order);
        }
        assert_eq!(
            parse_order("", &mut violations),
            OrganizationOrder::NewestFirst
        );
        assert!(violations.is_empty());
        parse_order("users", &mut violations);
        assert_eq!(violations[0].field, "sort");
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
