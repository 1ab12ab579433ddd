//! The rows of the two tables, and what stands above their columns.

use uuid::Uuid;

use super::{
    labels,
    ui::{Moment, Ui},
};
use crate::domain::{
    organization::{LinkState, Organization},
    organization_filter::OrganizationOrder,
};

/// A row of either table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) instance_url: String,
    pub(super) users: String,
    pub(super) since: Moment,
    pub(super) plan: &'static str,
    pub(super) status: &'static str,
    pub(super) status_class: &'static str,
    /// Whether its collection is paused, which its status does not show.
    pub(super) is_collection_paused: bool,
    pub(super) is_linking: bool,
    pub(super) link_label: String,
    /// What is wrong, as a service or Stripe said it.
    pub(super) problem: Option<String>,
}

/// The rows of these organizations.
pub(super) fn rows(ui: &Ui, organizations: Vec<Organization>) -> Vec<Row> {
    let rows = organizations.into_iter();
    rows.map(|organization| row(ui, organization)).collect()
}

fn row(ui: &Ui, organization: Organization) -> Row {
    let is_linked = organization.is_linked();
    let operation = organization.link_operation.as_ref();
    let state = operation.map(|operation| operation.state);
    // Of a link that was refused, or cannot go on, the admin is told why; of one that is done there
    // is nothing to tell.
    let link_problem = operation
        .filter(|operation| !is_linked && operation.state != LinkState::Succeeded)
        .and_then(|operation| operation.error.as_ref())
        .map(|error| error.message.clone());
    let nothing = ui.t.nothing;
    Row {
        id: organization.id,
        link_label: ui.about(ui.t.link_of, &organization.name),
        name: organization.name,
        instance_url: organization
            .instance_url
            .unwrap_or_else(|| nothing.to_owned()),
        users: organization.reporting.map_or_else(
            || nothing.to_owned(),
            |reporting| ui.number(&reporting.user_count),
        ),
        since: ui.day(organization.created_at),
        plan: ui.t.plan_word(organization.plan_type),
        status: ui.t.status_word(organization.subscription_status),
        status_class: labels::status_class(organization.subscription_status),
        is_collection_paused: organization.collection_pause.is_some(),
        is_linking: !is_linked && state == Some(LinkState::Running),
        problem: organization.billing_problem.or(link_problem),
    }
}

/// The heads of the columns that a list can be ordered by.
#[derive(Debug, Default)]
pub(super) struct Heads {
    pub(super) name: Head,
    pub(super) since: Head,
    pub(super) status: Head,
}

/// The head of a column.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Where the list is in the order of this column; `None` where it has one order only.
    pub(super) href: Option<String>,
    /// How it is ordered by it now, in the word of `aria-sort`.
    pub(super) sorted: Option<&'static str>,
}

impl Head {
    pub(super) fn arrow(&self) -> Option<&'static str> {
        self.sorted
            .map(|sorted| if sorted == "ascending" { "▲" } else { "▼" })
    }
}

impl Heads {
    /// The heads of a list that is ordered like this. `href` is its address in another order.
    pub(super) fn of(order: OrganizationOrder, href: impl Fn(OrganizationOrder) -> String) -> Self {
        let head = |up: OrganizationOrder, down: OrganizationOrder, first: OrganizationOrder| {
            let (next, sorted) = if order == up {
                (down, Some("ascending"))
            } else if order == down {
                (up, Some("descending"))
            } else {
                (first, None)
            };
            Head {
                href: Some(href(next)),
                sorted,
            }
        };
        let (name_up, name_down) = (OrganizationOrder::Name, OrganizationOrder::NameDescending);
        let (oldest, newest) = (
            OrganizationOrder::OldestFirst,
            OrganizationOrder::NewestFirst,
        );
        let is_by_status = order == OrganizationOrder::Status;
        Self {
            name: head(name_up, name_down, name_up),
            since: head(oldest, newest, newest),
            // Nobody looks for those that are in order first.
            status: Head {
                href: Some(href(if is_by_status {
                    newest
                } else {
                    OrganizationOrder::Status
                })),
                sorted: is_by_status.then_some("ascending"),
            },
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use billing_proto::common::v1::{
        CollectionPauseBehavior, DeploymentType, PlanType, SubscriptionStatus,
    };
    use chrono::DateTime;

    use super::*;
    use crate::domain::{
        organization::{CollectionPause, LinkKind, LinkOperation, Reporting, Trouble},
        reporting::Watch,
    };

    /// What strangers may be called.
    pub(in crate::dashboard) const ATTACK: &str = "<img src=x onerror=alert(1)>";

    /// A time of the contract.
    pub(in crate::dashboard) fn at(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 0 })
    }

    pub(in crate::dashboard) fn organization(linked: bool) -> Organization {
        let at = DateTime::from_timestamp(1_730_419_200, 0).unwrap();
        Organization {
            id: Uuid::from_u128(7),
            name: ATTACK.to_owned(),
            instance_url: Some(ATTACK.to_owned()),
            stripe_customer_id: linked.then(|| "cus_1".to_owned()),
            stripe_subscription_id: linked.then(|| "sub_1".to_owned()),
            deployment_type: DeploymentType::OnPremise,
            plan_type: PlanType::SelfHosted,
            subscription_status: if linked {
                SubscriptionStatus::PastDue
            } else {
                SubscriptionStatus::Pending
            },
            trial_end: None,
            admin_email: None,
            created_at: at,
            reported_name: None,
            reported_instance_url: None,
            billing_problem: linked.then(|| ATTACK.to_owned()),
            link_operation: (!linked).then(|| LinkOperation {
                id: Uuid::from_u128(8),
                kind: LinkKind::Link,
                state: LinkState::Refused,
                created_at: at,
                error: Some(Trouble {
                    code: "card_declined".to_owned(),
                    message: "Stripe said no.".to_owned(),
                }),
            }),
            cancel_at: None,
            current_period_start: None,
            current_period_end: None,
            collection_pause: linked.then_some(CollectionPause {
                behavior: CollectionPauseBehavior::Void,
                since: at,
                resumes_at: None,
            }),
            reporting: Some(Reporting {
                user_count: 1_245,
                last_report_at: at,
            }),
            watch: Watch::default(),
            source_network: None,
            ignored_at: None,
        }
    }

    #[test]
    fn a_head_leads_to_the_other_order() {
        let heads = Heads::of(OrganizationOrder::Name, |order| order.word().to_owned());
        assert_eq!(heads.name.href.as_deref(), Some("-name"));
        assert_eq!(
            (heads.name.sorted, heads.name.arrow()),
            (Some("ascending"), Some("▲"))
        );
        assert_eq!(heads.since.href.as_deref(), Some("-created_at"));
        assert_eq!(heads.status.href.as_deref(), Some("status"));
        assert_eq!(heads.status.arrow(), None);
    }
}
