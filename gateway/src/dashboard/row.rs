//! The rows of the two tables, and what stands above their columns.

use billing_proto::{admin::v1::Organization, common::v1::LinkOperationState};

use super::{
    labels,
    ui::{Moment, Ui},
};
use crate::domain::{
    organization::{is_linked, is_running},
    organization_filter::OrganizationOrder,
    words::filled,
};

/// A row of either table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: String,
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
    let is_linked = is_linked(&organization);
    let is_running = is_running(organization.link_operation.as_ref());
    let (plan, status) = (organization.plan_type(), organization.subscription_status());
    // Of a link that was refused, or cannot go on, the admin is told why; of one that is done there
    // is nothing to tell.
    let link_problem = organization
        .link_operation
        .filter(|operation| !is_linked && operation.state() != LinkOperationState::Succeeded)
        .and_then(|operation| filled(operation.error_message));
    let nothing = || ui.t.nothing.to_owned();
    let users = organization.user_count;
    Row {
        id: organization.id,
        link_label: ui.about(ui.t.link_of, &organization.name),
        name: organization.name,
        instance_url: filled(organization.instance_url).unwrap_or_else(nothing),
        users: users.map_or_else(nothing, |count| ui.number(&count)),
        since: ui.promised_day(organization.create_time),
        plan: ui.t.plan_word(plan),
        status: ui.t.status_word(status),
        status_class: labels::status_class(status),
        is_collection_paused: organization.collection_pause.is_some(),
        is_linking: !is_linked && is_running,
        problem: filled(organization.billing_problem).or(link_problem),
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
    use billing_proto::{
        admin::v1::LinkOperation,
        common::v1::{
            CollectionPause, CollectionPauseBehavior, DeploymentType, LinkOperationKind, PlanType,
            SubscriptionStatus,
        },
    };
    use uuid::Uuid;

    use super::*;

    /// What strangers may be called.
    pub(in crate::dashboard) const ATTACK: &str = "<img src=x onerror=alert(1)>";

    /// A time of the contract.
    pub(in crate::dashboard) fn at(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 0 })
    }

    pub(in crate::dashboard) fn organization(linked: bool) -> Organization {
        let at = at(1_730_419_200);
        let if_linked = |text: &str| {
            if linked {
                text.to_owned()
            } else {
                String::new()
            }
        };
        let status = if linked {
            SubscriptionStatus::PastDue
        } else {
            SubscriptionStatus::Pending
        };
        Organization {
            id: Uuid::from_u128(7).to_string(),
            name: ATTACK.to_owned(),
            instance_url: ATTACK.to_owned(),
            stripe_customer_id: if_linked("cus_1"),
            stripe_subscription_id: if_linked("sub_1"),
            deployment_type: DeploymentType::OnPremise.into(),
            plan_type: PlanType::SelfHosted.into(),
            subscription_status: status.into(),
            create_time: at,
            billing_problem: if_linked(ATTACK),
            link_operation: (!linked).then(|| LinkOperation {
                id: Uuid::from_u128(8).to_string(),
                kind: LinkOperationKind::Link.into(),
                state: LinkOperationState::Refused.into(),
                create_time: at,
                error_code: "card_declined".to_owned(),
                error_message: "Stripe said no.".to_owned(),
                ..LinkOperation::default()
            }),
            collection_pause: linked.then_some(CollectionPause {
                behavior: CollectionPauseBehavior::Void.into(),
                first_seen_time: at,
                resume_time: None,
            }),
            user_count: Some(1_245),
            last_report_time: at,
            ..Organization::default()
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
