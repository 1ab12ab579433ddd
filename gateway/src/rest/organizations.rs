//! `/api/admin/organizations`.

use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    response::Response,
};
use billing_kit::Fault;
use billing_proto::{
    admin::v1::{LinkOrganizationResponse, OrganizationsSummary},
    common::v1::{ErrorReason, LinkOperationState},
};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    answer::{ApiError, json},
    json::{JustLinkedJson, LinkOperationJson, OrganizationJson, SummaryJson, time},
    openapi::{self, words},
    query::{Query, organization_id},
};
use crate::{
    app::{ListPage, Overview, OverviewRequest},
    domain::{
        fields,
        link_terms::LinkTerms,
        organization_filter::{
            OrganizationFilter, parse_filter, parse_flag, parse_limit, parse_order, parse_silent,
        },
    },
    upstream::rename_field,
    web::{Web, read_body},
};

/// The two lists, a page of each.
#[derive(Serialize, ToSchema)]
#[schema(as = OrganizationLists)]
pub(super) struct ListAnswer {
    summary: SummaryJson,
    organizations: Lists,
    /// Where the next page of pending ones begins; null after the last.
    next_pending_cursor: Option<String>,
    /// Where the next page of linked ones begins; null after the last.
    next_linked_cursor: Option<String>,
    /// Whether user counts are known now.
    reporting_available: bool,
    /// How many organizations are ignored: they are in no other number.
    ignored: i64,
    /// When the summary was counted; of more than 50,000 it may be some seconds old.
    counted_at: String,
    /// How many have their collection paused in Stripe.
    collection_paused_count: i64,
}

/// Pending and linked organizations.
#[derive(Serialize, ToSchema)]
#[schema(as = Organizations)]
struct Lists {
    pending: Vec<OrganizationJson>,
    linked: Vec<OrganizationJson>,
}

/// Lists organizations, pending and linked, the newest first.
#[utoipa::path(
    get,
    path = "/api/admin/organizations",
    operation_id = "listOrganizations",
    tag = openapi::ADMINS,
    params(
        ("q" = Option<String>, Query, description = "Text in the name, URL or e-mail, or at the beginning of the id, in any case; one or two characters are looked for at the beginning of the name or URL."),
        ("status" = Option<String>, Query, description = "Statuses, divided by commas."),
        ("silent" = Option<bool>, Query, description = "Whether only those are listed that are expected to report and have been silent for more than two days, the longest first, whatever `sort` says. A page may then hold fewer than `limit` though there is a next one."),
        ("collection_paused" = Option<bool>, Query, description = "Whether only those are listed whose collection is paused in Stripe."),
        ("plan" = Option<String>, Query, description = "Plans, divided by commas."),
        ("deployment" = Option<String>, Query, description = "Deployment types, divided by commas."),
        ("sort" = Option<String>, Query, description = "The order: `-created_at` (the newest first, the default), `created_at`, `name`, `-name`, or `status` (problems first)."),
        ("limit" = Option<i32>, Query, description = "Rows of a page.", minimum = 1, maximum = 500),
        ("network" = Option<String>, Query, description = "The network that their first report came from, for example `203.0.113.0/24`."),
        ("ignored" = Option<bool>, Query, description = "Whether the ignored ones are listed in the place of the pending ones."),
        ("pending_cursor" = Option<String>, Query, description = "`next_pending_cursor` of the page before."),
        ("linked_cursor" = Option<String>, Query, description = "`next_linked_cursor` of the page before."),
    ),
    responses((status = 200, description = "A page of each list.", body = ListAnswer, example = json!({
        "summary": {"total": 2, "linked": 1, "pending": 1},
        "organizations": {
            "pending": [{
                "id": "0192f0c1-7c8e-7b1a-9d2b-3c3f0f3a9a10", "name": "Acme Corp", "instance_url": "acme.vaultai.eu",
                "subscription_status": "pending", "created_at": "2024-11-01T10:00:00Z",
                "user_count": 45, "last_report_at": "2024-11-03T03:00:00Z",
            }],
            "linked": [{
                "id": "0192f0c1-7c8e-7b1a-9d2b-3c3f0f3a9a11", "name": "Client Existant", "instance_url": "client.vaultai.eu",
                "stripe_customer_id": "cus_ABC123", "stripe_subscription_id": "sub_XYZ456",
                "deployment_type": "on-premise", "plan_type": "managed-cloud", "subscription_status": "active",
                "admin_email": "billing@client.com", "created_at": "2024-10-01T09:00:00Z", "trial_end": null,
                "user_count": 120, "last_report_at": "2024-11-03T03:00:00Z",
            }],
        },
        "next_pending_cursor": null, "next_linked_cursor": null, "reporting_available": true,
        "ignored": 0, "counted_at": "2024-11-03T09:00:00Z", "collection_paused_count": 0,
    }))),
)]
pub(super) async fn list(
    State(web): State<Web>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin(&headers).await?;
    let request = overview_request(&Query::read(query.as_deref()))?;
    let Overview {
        summary,
        pending,
        linked,
        reporting_available,
    } = web
        .app()
        .list_overview(&admin, request)
        .await
        .map_err(|fault| rename_field(fault, "query", "q"))
        .map_err(|fault| rename_field(fault, "source_network", "network"))?;
    let list = |page: ListPage| {
        let rows = page.organizations.into_iter().map(TryInto::try_into);
        Ok::<_, Fault>((rows.collect::<Result<_, _>>()?, page.next_page_token))
    };
    let (pending, next_pending_cursor) = list(pending)?;
    let (linked, next_linked_cursor) = list(linked)?;
    let summary = OrganizationsSummary::from(summary);
    Ok(json(
        StatusCode::OK,
        &ListAnswer {
            summary: SummaryJson::from(&summary),
            ignored: summary.ignored_count,
            counted_at: time(summary.count_time).unwrap_or_default(),
            collection_paused_count: summary.collection_paused_count,
            organizations: Lists { pending, linked },
            next_pending_cursor,
            next_linked_cursor,
            reporting_available,
        },
    ))
}

/// The filter by a pause of collection.
const COLLECTION_PAUSED: &str = "collection_paused";

fn overview_request(query: &Query) -> Result<OverviewRequest, Fault> {
    let mut violations = Vec::new();
    let text = |name| query.get(name).unwrap_or_default();
    let request = OverviewRequest {
        filter: OrganizationFilter {
            reporting_state: parse_silent(query.get("silent"), &mut violations),
            collection_paused: parse_flag(
                query.get(COLLECTION_PAUSED),
                COLLECTION_PAUSED,
                &mut violations,
            ),
            source_network: text("network").to_owned(),
            ..parse_filter(
                text("q"),
                [text("status"), text("plan"), text("deployment")],
                &mut violations,
            )
        },
        order: parse_order(text("sort"), &mut violations),
        page_size: parse_limit(query.get("limit"), &mut violations),
        pending_cursor: text("pending_cursor").to_owned(),
        linked_cursor: text("linked_cursor").to_owned(),
        ignored: parse_flag(query.get("ignored"), "ignored", &mut violations),
        except_networks: Vec::new(),
    };
    if violations.is_empty() {
        Ok(request)
    } else {
        Err(Fault::invalid(violations))
    }
}

/// The terms of a link, which the admin sets and the instance never knows.
#[derive(ToSchema)]
#[schema(as = LinkTerms)]
#[expect(
    dead_code,
    reason = "it describes the body, which is read field by field"
)]
pub(super) struct LinkBody {
    /// The address that invoices go to.
    admin_email: String,
    #[schema(schema_with = words::deployment_types)]
    deployment_type: String,
    #[schema(schema_with = words::plan_types)]
    plan_type: String,
    /// Length of the trial in days; 0 is none.
    #[schema(minimum = 0, maximum = 730)]
    trial_days: i32,
    /// The customer in Stripe to use in place of a new one, for example `cus_NEW123`: of those that the
    /// preview shows as similar, one without a subscription. A preview does not look at it.
    #[schema(min_length = 1, max_length = 255, pattern = "^[A-Za-z0-9_]+$")]
    adopt_customer_id: Option<String>,
}

/// A link that is made.
#[derive(Serialize, ToSchema)]
#[schema(as = LinkAnswer)]
pub(super) struct LinkAnswer {
    success: bool,
    message: &'static str,
    organization: JustLinkedJson,
}

/// A link that goes on in the background.
#[derive(Serialize, ToSchema)]
pub(super) struct LinkRunningAnswer {
    success: bool,
    message: &'static str,
    operation: LinkOperationJson,
}

/// Links an organization to Stripe: creates its customer, or adopts one that is there, and its
/// subscription.
///
/// Idempotent on the same terms.
#[utoipa::path(
    post,
    path = "/api/admin/organizations/{id}/link",
    operation_id = "linkOrganization",
    tag = openapi::ADMINS,
    params(("id" = Uuid, Path, description = "The organization.")),
    request_body(content = LinkBody, example = json!({
        "admin_email": "billing@acme.com", "deployment_type": "on-premise", "plan_type": "managed-cloud", "trial_days": 4,
    })),
    responses(
        (status = 200, description = "It is linked.", body = LinkAnswer, example = json!({
            "success": true,
            "message": "Organization linked to Stripe successfully",
            "organization": {
                "id": "0192f0c1-7c8e-7b1a-9d2b-3c3f0f3a9a10", "name": "Acme Corp",
                "stripe_customer_id": "cus_NEW123", "stripe_subscription_id": "sub_NEW789",
                "subscription_status": "trial", "trial_end": "2024-11-07T03:00:00Z",
            },
        })),
        (status = 202, description = "It goes on in the background.", body = LinkRunningAnswer),
        (status = 404, description = "There is no such organization.", body = openapi::ErrorAnswer),
        (status = 409, description = "It is linked, or being linked, on other terms.", body = openapi::ErrorAnswer),
        (status = 422, description = "Terms that are wrong, each named; or Stripe's refusal with its reason.", body = openapi::ErrorAnswer),
    ),
)]
pub(super) async fn link(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let admin = web.admin_for_change(&headers).await?;
    let id = organization_id(&id)?;
    let body = fields::object(&read_body(body).await?)?;
    let terms =
        LinkTerms::read(&body).map_err(|violations| terms_fault(Fault::invalid(violations)))?;
    let LinkOrganizationResponse {
        organization,
        operation,
    } = web
        .app()
        .link_organization(&admin, id, &terms)
        .await
        .map_err(terms_fault)?;
    let (organization, operation) = (
        organization.unwrap_or_default(),
        operation.unwrap_or_default(),
    );
    Ok(match operation.state() {
        LinkOperationState::Succeeded => json(
            StatusCode::OK,
            &LinkAnswer {
                success: true,
                message: "Organization linked to Stripe successfully",
                organization: organization.into(),
            },
        ),
        LinkOperationState::Running => json(
            StatusCode::ACCEPTED,
            &LinkRunningAnswer {
                success: true,
                message: "The link goes on in the background",
                operation: operation.try_into()?,
            },
        ),
        // Refusals come as errors.
        LinkOperationState::Refused | LinkOperationState::Unspecified => {
            let fault = Fault::internal("org-svc answered a link that neither is made nor goes on");
            return Err(fault.into());
        }
    })
}

/// Terms that are wrong are understood and not accepted, which is 422.
fn terms_fault(fault: Fault) -> ApiError {
    let about_terms = fault.reason == ErrorReason::InvalidArgument;
    let error = ApiError::from(fault);
    if about_terms {
        error.with_status(StatusCode::UNPROCESSABLE_ENTITY)
    } else {
        error
    }
}
