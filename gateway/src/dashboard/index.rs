//! `/`: the organizations.

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use super::{
    labels,
    page::{PageError, page},
    reconciliation::line as reconciliation_line,
};
use crate::{
    app::{Overview, OverviewRequest},
    domain::{
        organization::{LinkState, Organization, Summary},
        organization_filter::{OrganizationFilter, OrganizationOrder, PAGE_SIZE_DEFAULT},
        time_text,
    },
    rest::query::{Query, with_query},
    web::Web,
};

#[derive(Template)]
#[template(path = "organizations.html")]
struct OrganizationsPage<'a> {
    admin_email: &'a str,
    summary: Summary,
    notice: Option<Notice>,
    reporting_available: bool,
    /// What was compared with Stripe, where it is known now.
    reconciliation: Option<String>,
    query: &'a str,
    pending: Table,
    linked: Table,
    as_of: String,
}

struct Notice {
    text: &'static str,
    organization_id: Uuid,
}

struct Table {
    rows: Vec<Row>,
    /// The address of the next page; the other list stays where it is.
    next: Option<String>,
}

struct Row {
    id: Uuid,
    name: String,
    instance_url: String,
    users: String,
    since: String,
    plan: &'static str,
    status: &'static str,
    status_class: &'static str,
    is_linking: bool,
    problem: Option<String>,
}

impl From<Organization> for Row {
    fn from(organization: Organization) -> Self {
        let is_linked = organization.is_linked();
        let operation = organization.link_operation.as_ref();
        let state = operation.map(|operation| operation.state);
        // Of a link that was refused, or cannot go on, the admin is told why; of one that is done
        // there is nothing to tell.
        let link_problem = operation
            .filter(|operation| !is_linked && operation.state != LinkState::Succeeded)
            .and_then(|operation| operation.error.as_ref())
            .map(|error| error.message.clone());
        let reporting = organization.reporting;
        Self {
            id: organization.id,
            name: organization.name,
            instance_url: organization
                .instance_url
                .unwrap_or_else(|| labels::NOTHING.to_owned()),
            users: reporting.map_or_else(
                || labels::NOTHING.to_owned(),
                |reporting| reporting.user_count.to_string(),
            ),
            since: time_text::day(organization.created_at),
            plan: labels::plan(organization.plan_type),
            status: labels::status(organization.subscription_status),
            status_class: labels::status_class(organization.subscription_status),
            is_linking: !is_linked && state == Some(LinkState::Running),
            problem: organization.billing_problem.or(link_problem),
        }
    }
}

/// Both lists.
pub(super) async fn index(
    State(web): State<Web>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let asked = Query::read(query.as_deref());
    let text = |name| asked.get(name).unwrap_or_default();
    let (query, pending_cursor, linked_cursor) =
        (text("q"), text("pending_cursor"), text("linked_cursor"));
    let request = OverviewRequest {
        filter: OrganizationFilter {
            query: query.to_owned(),
            ..OrganizationFilter::default()
        },
        order: OrganizationOrder::default(),
        page_size: PAGE_SIZE_DEFAULT,
        pending_cursor: pending_cursor.to_owned(),
        linked_cursor: linked_cursor.to_owned(),
    };
    let app = web.app();
    let (overview, reconciliation) = tokio::try_join!(
        app.list_overview(&admin, request),
        app.find_reconciliation(&admin)
    )?;
    let Overview {
        summary,
        pending,
        linked,
        reporting_available,
    } = overview;
    let rows =
        |organizations: Vec<Organization>| organizations.into_iter().map(Row::from).collect();
    let shown = OrganizationsPage {
        admin_email: &admin.email,
        summary,
        notice: notice(&asked),
        reporting_available,
        reconciliation: reconciliation.as_ref().map(reconciliation_line),
        query,
        pending: Table {
            rows: rows(pending.organizations),
            next: pending
                .next_page_token
                .map(|next| address(query, &next, linked_cursor)),
        },
        linked: Table {
            rows: rows(linked.organizations),
            next: linked
                .next_page_token
                .map(|next| address(query, pending_cursor, &next)),
        },
        as_of: time_text::minute(web.app().clock().now()),
    };
    Ok(page(StatusCode::OK, &shown))
}

/// What was just done. The address picks one of our own sentences: it cannot bring its own.
fn notice(asked: &Query) -> Option<Notice> {
    let text = match asked.get("notice")? {
        "linked" => "The organization is linked to Stripe.",
        "linking" => "The link goes on in the background.",
        _ => return None,
    };
    let organization_id = asked.get("organization")?.parse().ok()?;
    Some(Notice {
        text,
        organization_id,
    })
}

fn address(query: &str, pending_cursor: &str, linked_cursor: &str) -> String {
    with_query(
        "/",
        &[
            ("q", query),
            ("pending_cursor", pending_cursor),
            ("linked_cursor", linked_cursor),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::organization::{LinkKind, LinkOperation, Reporting, Trouble};
    use billing_proto::common::v1::{DeploymentType, PlanType, SubscriptionStatus};
    use chrono::DateTime;

    const ATTACK: &str = "<img src=x onerror=alert(1)>";

    fn organization(linked: bool) -> Organization {
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
            reporting: Some(Reporting {
                user_count: 45,
                last_report_at: at,
            }),
            watch: crate::domain::reporting::Watch::default(),
        }
    }

    fn html(query: &str) -> String {
        OrganizationsPage {
            admin_email: ATTACK,
            summary: Summary {
                total: 2,
                linked: 1,
                pending: 1,
                by_status: Vec::new(),
                counted_at: DateTime::UNIX_EPOCH,
            },
            notice: notice(&Query::read(Some(
                "notice=linked&organization=00000000-0000-0000-0000-000000000007",
            ))),
            reporting_available: false,
            reconciliation: Some("On 2 days".to_owned()),
            query,
            pending: Table {
                rows: vec![organization(false).into()],
                next: Some(address("a&b", "next", "")),
            },
            linked: Table {
                rows: vec![organization(true).into()],
                next: None,
            },
            as_of: "now".to_owned(),
        }
        .render()
        .unwrap()
    }

    #[test]
    fn names_from_strangers_are_escaped() {
        let html = html(ATTACK);
        assert!(!html.contains("<img"), "{html}");
        assert!(html.contains("&#60;img src=x onerror=alert(1)&#62;"));
    }

    #[test]
    fn the_tables_show_what_the_admin_needs() {
        let html = html("");
        for shown in [
            ">45<",
            "2024-11-01",
            "Self-hosted",
            "Past due",
            "Stripe said no.",
            "/organizations/00000000-0000-0000-0000-000000000007/link",
            "The organization is linked to Stripe.",
            "cannot be shown now",
            "<a href=\"/reconciliation\">On 2 days</a>",
            "/?q=a%26b&#38;pending_cursor=next",
        ] {
            assert!(html.contains(shown), "{shown} in {html}");
        }
    }

    #[test]
    fn an_address_brings_no_sentence_of_its_own() {
        let id = "organization=00000000-0000-0000-0000-000000000007";
        assert!(notice(&Query::read(Some(&format!("notice=Pay+me&{id}")))).is_none());
        assert!(notice(&Query::read(Some("notice=linked&organization=x"))).is_none());
    }
}
