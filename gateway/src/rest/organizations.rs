//! `/api/admin/organizations`.

use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    response::Response,
};
use billing_kit::Fault;
use billing_proto::common::v1::ErrorReason;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use uuid::Uuid;

use super::{
    answer::{ApiError, json},
    json::{JustLinkedJson, LinkOperationJson, OrganizationJson, SummaryJson, UsageReportJson},
    query::{Query, organization_id},
};
use crate::{
    app::{Change, Link, ListPage, Overview, OverviewRequest, UsageReportPage},
    domain::{
        fields::{self, Fields},
        link_terms::LinkTerms,
        organization::LinkState,
        organization_filter::{OrganizationFilter, parse_limit, parse_statuses},
        subscription_change::{SubscriptionUpdate, read_cancel_mode},
    },
    upstream::rename_field,
    web::{Web, read_body},
};

#[derive(Serialize)]
struct ListAnswer {
    summary: SummaryJson,
    organizations: Lists,
    next_pending_cursor: Option<String>,
    next_linked_cursor: Option<String>,
    reporting_available: bool,
}

#[derive(Serialize)]
struct Lists {
    pending: Vec<OrganizationJson>,
    linked: Vec<OrganizationJson>,
}

/// `GET /api/admin/organizations`.
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
        .map_err(|fault| rename_field(fault, "query", "q"))?;
    let list = |page: ListPage| {
        let rows = page.organizations.into_iter().map(Into::into).collect();
        (rows, page.next_page_token)
    };
    let (pending, next_pending_cursor) = list(pending);
    let (linked, next_linked_cursor) = list(linked);
    Ok(json(
        StatusCode::OK,
        &ListAnswer {
            summary: summary.into(),
            organizations: Lists { pending, linked },
            next_pending_cursor,
            next_linked_cursor,
            reporting_available,
        },
    ))
}

fn overview_request(query: &Query) -> Result<OverviewRequest, Fault> {
    let mut violations = Vec::new();
    let text = |name| query.get(name).unwrap_or_default();
    let request = OverviewRequest {
        filter: OrganizationFilter {
            query: text("q").to_owned(),
            statuses: parse_statuses(text("status"), &mut violations),
        },
        page_size: parse_limit(query.get("limit"), &mut violations),
        pending_cursor: text("pending_cursor").to_owned(),
        linked_cursor: text("linked_cursor").to_owned(),
    };
    if violations.is_empty() {
        Ok(request)
    } else {
        Err(Fault::invalid(violations))
    }
}

#[derive(Serialize)]
struct GetAnswer {
    organization: OrganizationJson,
}

/// `GET /api/admin/organizations/{id}`.
pub(super) async fn get(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin(&headers).await?;
    let id = organization_id(&id)?;
    let organization = web.app().get_organization(&admin, id).await?;
    Ok(json(
        StatusCode::OK,
        &GetAnswer {
            organization: organization.into(),
        },
    ))
}

#[derive(Serialize)]
struct UsageAnswer {
    organization_id: Uuid,
    reports: Vec<UsageReportJson>,
    next_cursor: Option<String>,
}

/// `GET /api/admin/organizations/{id}/usage`.
pub(super) async fn usage(
    State(web): State<Web>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin(&headers).await?;
    let id = organization_id(&id)?;
    let query = Query::read(query.as_deref());
    let mut violations = Vec::new();
    let page_size = parse_limit(query.get("limit"), &mut violations);
    if !violations.is_empty() {
        return Err(Fault::invalid(violations).into());
    }
    let cursor = query.get("cursor").unwrap_or_default().to_owned();
    let UsageReportPage {
        reports,
        next_page_token,
    } = web
        .app()
        .list_usage_reports(&admin, id, page_size, cursor)
        .await
        .map_err(|fault| rename_field(fault, "page_token", "cursor"))?;
    Ok(json(
        StatusCode::OK,
        &UsageAnswer {
            organization_id: id,
            reports: reports.into_iter().map(Into::into).collect(),
            next_cursor: next_page_token,
        },
    ))
}

#[derive(Serialize)]
struct LinkAnswer {
    success: bool,
    message: &'static str,
    organization: JustLinkedJson,
}

#[derive(Serialize)]
struct LinkRunningAnswer {
    success: bool,
    message: &'static str,
    operation: LinkOperationJson,
}

/// `POST /api/admin/organizations/{id}/link`.
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
    let Link {
        organization,
        operation,
    } = web
        .app()
        .link_organization(&admin, id, &terms)
        .await
        .map_err(terms_fault)?;
    Ok(match operation.state {
        LinkState::Succeeded => json(
            StatusCode::OK,
            &LinkAnswer {
                success: true,
                message: "Organization linked to Stripe successfully",
                organization: organization.into(),
            },
        ),
        LinkState::Running => json(
            StatusCode::ACCEPTED,
            &LinkRunningAnswer {
                success: true,
                message: "The link goes on in the background",
                operation: operation.into(),
            },
        ),
        // Refusals come as errors.
        LinkState::Refused => {
            let fault = Fault::internal("org-svc answered a link with a refused operation");
            return Err(fault.into());
        }
    })
}

#[derive(Serialize)]
struct UnlinkAnswer {
    success: bool,
    message: &'static str,
    organization: OrganizationJson,
}

/// `POST /api/admin/organizations/{id}/unlink`.
pub(super) async fn unlink(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    const REASON: &str = "reason";
    let admin = web.admin_for_change(&headers).await?;
    let id = organization_id(&id)?;
    let body = fields::object(&read_body(body).await?)?;
    let mut fields = Fields::of(&body);
    let reason = fields.text(REASON).unwrap_or_default().to_owned();
    let violations = fields.finish();
    if !violations.is_empty() {
        return Err(terms_fault(Fault::invalid(violations)));
    }
    let organization = web
        .app()
        .unlink_organization(&admin, id, reason)
        .await
        .map_err(terms_fault)?;
    Ok(json(
        StatusCode::OK,
        &UnlinkAnswer {
            success: true,
            message: "Organization unlinked from Stripe",
            organization: organization.into(),
        },
    ))
}

#[derive(Serialize)]
struct ChangeAnswer {
    success: bool,
    message: &'static str,
    organization: OrganizationJson,
}

/// `PATCH /api/admin/organizations/{id}/subscription`.
pub(super) async fn update(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let admin = web.admin_for_change(&headers).await?;
    let id = organization_id(&id)?;
    let body = fields::object(&read_body(body).await?)?;
    let update = SubscriptionUpdate::read(&body)
        .map_err(|violations| terms_fault(Fault::invalid(violations)))?;
    let change = web
        .app()
        .update_subscription(&admin, id, &update)
        .await
        .map_err(terms_fault)?;
    change_answer(
        change,
        "Subscription updated",
        "The update goes on in the background",
    )
}

/// `POST /api/admin/organizations/{id}/cancel`.
pub(super) async fn cancel(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let admin = web.admin_for_change(&headers).await?;
    let id = organization_id(&id)?;
    let body = fields::object(&read_body(body).await?)?;
    let mode =
        read_cancel_mode(&body).map_err(|violations| terms_fault(Fault::invalid(violations)))?;
    let change = web
        .app()
        .cancel_subscription(&admin, id, mode)
        .await
        .map_err(terms_fault)?;
    change_answer(
        change,
        "Subscription canceled",
        "The cancellation goes on in the background",
    )
}

/// The answer to a change: the organization as it stands since, or the operation that goes on.
fn change_answer(
    change: Change,
    done: &'static str,
    running: &'static str,
) -> Result<Response, ApiError> {
    let Change {
        organization,
        operation,
    } = change;
    let state = operation.as_ref().map(|operation| operation.state);
    match (state, operation) {
        (Some(LinkState::Running), Some(operation)) => Ok(json(
            StatusCode::ACCEPTED,
            &LinkRunningAnswer {
                success: true,
                message: running,
                operation: operation.into(),
            },
        )),
        // Refusals come as errors.
        (Some(LinkState::Refused), _) => {
            Err(Fault::internal("org-svc answered a change with a refused operation").into())
        }
        (Some(LinkState::Running | LinkState::Succeeded) | None, _) => Ok(json(
            StatusCode::OK,
            &ChangeAnswer {
                success: true,
                message: done,
                organization: organization.into(),
            },
        )),
    }
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
