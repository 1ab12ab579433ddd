//! `POST /api/webhooks/stripe`, and what admins see of it.

use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    response::Response,
};
use billing_kit::Fault;
use billing_proto::common::v1::ErrorReason;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    answer::{ApiError, json},
    json::TroubleJson,
    openapi::{self, words},
    query::{Query, page_asked},
};
use crate::{
    app::{MeterErrorPage, WebhookEventPage},
    domain::{
        organization_filter::parse_limit,
        time_text,
        webhook_event::{MeterError, WebhookEvent, parse_state},
    },
    upstream::rename_field,
    web::{Web, read_body_within},
};

/// The largest event that is taken, in bytes. Stripe's are a few KiB, with long invoices as the
/// exception.
const WEBHOOK_BYTES_MAX: usize = 512 * 1024;
const SIGNATURE: &str = "stripe-signature";

/// An event that is stored.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookReceived)]
pub(super) struct Received {
    received: bool,
}

/// Takes an event: 200 once it is stored, and nothing else before. Whom it is from is told by its
/// signature alone, over the body to the letter.
#[utoipa::path(
    post,
    path = "/api/webhooks/stripe",
    operation_id = "receiveWebhook",
    tag = openapi::STRIPE,
    params(("Stripe-Signature" = String, Header, description = "Stripe's signature over the body.")),
    request_body(content = Object, description = "An event, as Stripe sends it; at most 512 KiB."),
    responses((status = 200, description = "It is stored.", body = Received)),
)]
pub(super) async fn receive(
    State(web): State<Web>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let signature = headers.get(SIGNATURE).and_then(|it| it.to_str().ok());
    // Nothing of a body is read that nobody signed.
    let signature = signature.ok_or_else(|| {
        let message = "The header Stripe-Signature is missing, or is no signature.";
        Fault::new(ErrorReason::SignatureInvalid, message)
    })?;
    let payload = read_body_within(body, WEBHOOK_BYTES_MAX).await?;
    web.app()
        .receive_webhook(payload, signature.to_owned())
        .await?;
    Ok(json(StatusCode::OK, &Received { received: true }))
}

/// A page of events, those that came last first.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEvents)]
pub(super) struct EventsAnswer {
    events: Vec<EventJson>,
    next_cursor: Option<String>,
}

/// An event that Stripe sent.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEvent)]
struct EventJson {
    event_id: String,
    event_type: String,
    #[schema(schema_with = words::webhook_event_states)]
    state: &'static str,
    attempt_count: i32,
    #[schema(format = DateTime)]
    received_at: String,
    #[schema(format = DateTime)]
    next_attempt_at: Option<String>,
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    error: Option<TroubleJson>,
}

impl From<WebhookEvent> for EventJson {
    fn from(event: WebhookEvent) -> Self {
        let WebhookEvent {
            id,
            kind,
            state,
            attempt_count,
            received_at,
            next_attempt_at,
            ended_at,
            error,
        } = event;
        Self {
            event_id: id,
            event_type: kind,
            state,
            attempt_count,
            received_at: time_text::short(received_at),
            next_attempt_at: next_attempt_at.map(time_text::short),
            ended_at: ended_at.map(time_text::short),
            error: error.map(Into::into),
        }
    }
}

/// Lists what Stripe sent, and what became of it; those that came last first.
#[utoipa::path(
    get,
    path = "/api/admin/webhook-events",
    operation_id = "listWebhookEvents",
    tag = openapi::ADMINS,
    params(
        ("state" = Option<String>, Query, description = "`queued`, `processed`, `ignored` or `dead`."),
        ("limit" = Option<i32>, Query, description = "Rows of a page.", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, description = "A page of events.", body = EventsAnswer)),
)]
pub(super) async fn list(
    State(web): State<Web>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin(&headers).await?;
    let query = Query::read(query.as_deref());
    let mut violations = Vec::new();
    let state = parse_state(query.get("state").unwrap_or_default(), &mut violations);
    let page_size = parse_limit(query.get("limit"), &mut violations);
    if !violations.is_empty() {
        return Err(Fault::invalid(violations).into());
    }
    let cursor = query.get("cursor").unwrap_or_default().to_owned();
    let WebhookEventPage {
        events,
        next_page_token,
    } = web
        .app()
        .list_webhook_events(&admin, state, page_size, cursor)
        .await
        .map_err(|fault| rename_field(fault, "page_token", "cursor"))?;
    Ok(json(
        StatusCode::OK,
        &EventsAnswer {
            events: events.into_iter().map(Into::into).collect(),
            next_cursor: next_page_token,
        },
    ))
}

/// An event that is queued again.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEventRetried)]
pub(super) struct RetriedAnswer {
    success: bool,
    event: EventJson,
}

/// Has an event processed anew, whatever became of it before.
#[utoipa::path(
    post,
    path = "/api/admin/webhook-events/{id}/retry",
    operation_id = "retryWebhookEvent",
    tag = openapi::ADMINS,
    params(("id" = String, Path, description = "Stripe's id of the event.")),
    responses((status = 200, description = "It is queued.", body = RetriedAnswer)),
)]
pub(super) async fn retry(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin_for_change(&headers).await?;
    let event = web.app().retry_webhook_event(&admin, id).await?;
    Ok(json(
        StatusCode::OK,
        &RetriedAnswer {
            success: true,
            event: event.into(),
        },
    ))
}

/// A page of errors, those that were told last first.
#[derive(Serialize, ToSchema)]
#[schema(as = MeterErrors)]
pub(super) struct MeterErrorsAnswer {
    errors: Vec<MeterErrorJson>,
    next_cursor: Option<String>,
}

/// Usage that Stripe took and then did not count, for one reason.
#[derive(Serialize, ToSchema)]
#[schema(as = MeterError)]
struct MeterErrorJson {
    id: String,
    event_id: String,
    stripe_meter_id: Option<String>,
    error: TroubleJson,
    error_count: i64,
    sample_identifiers: Vec<String>,
    #[schema(format = DateTime)]
    found_at: String,
}

impl From<MeterError> for MeterErrorJson {
    fn from(found: MeterError) -> Self {
        let MeterError {
            id,
            event_id,
            meter_id,
            error,
            count,
            sample_identifiers,
            found_at,
        } = found;
        Self {
            id,
            event_id,
            stripe_meter_id: meter_id,
            error: error.into(),
            error_count: count,
            sample_identifiers,
            found_at: time_text::short(found_at),
        }
    }
}

/// Lists the usage that Stripe took and then did not count.
#[utoipa::path(
    get,
    path = "/api/admin/meter-errors",
    operation_id = "listMeterErrors",
    tag = openapi::ADMINS,
    params(
        ("limit" = Option<i32>, Query, description = "Rows of a page.", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, description = "A page of errors.", body = MeterErrorsAnswer)),
)]
pub(super) async fn meter_errors(
    State(web): State<Web>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin(&headers).await?;
    let (page_size, cursor) = page_asked(query.as_deref())?;
    let MeterErrorPage {
        errors,
        next_page_token,
    } = web
        .app()
        .list_meter_errors(&admin, page_size, cursor)
        .await
        .map_err(|fault| rename_field(fault, "page_token", "cursor"))?;
    Ok(json(
        StatusCode::OK,
        &MeterErrorsAnswer {
            errors: errors.into_iter().map(Into::into).collect(),
            next_cursor: next_page_token,
        },
    ))
}
