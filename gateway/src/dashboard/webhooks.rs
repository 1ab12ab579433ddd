//! `/webhooks`: what Stripe sent and what became of it; and `/webhooks/meter-errors`: the usage that
//! Stripe took and then did not count.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse, Redirect, Response},
};
use billing_kit::Fault;
use billing_proto::common::v1::{
    ListMeterErrorsRequest, ListMeterErrorsResponse, ListWebhookEventsRequest,
    ListWebhookEventsResponse, MeterError, RetryWebhookEventRequest, WebhookEvent,
    WebhookEventState,
};
use http::{HeaderMap, StatusCode};

use super::{
    form,
    page::{PageError, page},
    ui::{Choice, Frame, Moment, Section, Ui},
};
use crate::{
    domain::{
        organization_filter::PAGE_SIZE_DEFAULT,
        webhook_event::{parse_state, state_word},
        words::filled,
    },
    grpc::answered,
    rest::query::{Query, next_page, with_query},
    web::Web,
};

/// Where the events are.
pub(super) const PATH: &str = "/webhooks";
/// Where those are that were given up.
pub(super) const DEAD: &str = "/webhooks?state=dead";
/// Where the usage is that was not counted.
pub(super) const METER_ERRORS: &str = "/webhooks/meter-errors";
/// Where a form goes that has an event processed anew.
pub(super) const RETRY: &str = "/webhooks/retry";
/// The form's fields.
const EVENT: &str = "event_id";
const STATE: &str = "state";

#[derive(Template)]
#[template(path = "webhooks.html")]
struct WebhooksPage<'a> {
    ui: Frame<'a>,
    notice: Option<&'static str>,
    states: Vec<Choice>,
    state: &'static str,
    rows: Vec<Row>,
    first: Option<String>,
    next: Option<String>,
}

struct Row {
    id: String,
    kind: String,
    state: &'static str,
    state_class: &'static str,
    attempts: String,
    received: Moment,
    /// When it is tried next, or when it ended.
    then: Option<Moment>,
    error: Option<String>,
    /// Whether processing it anew may help.
    can_retry: bool,
}

fn row(ui: &Ui, event: WebhookEvent) -> Row {
    let state = event.state();
    let WebhookEvent {
        event_id,
        event_type,
        state: _,
        attempt_count,
        receive_time,
        next_attempt_time,
        end_time,
        error_code,
        error_message,
    } = event;
    let state_class = match state {
        WebhookEventState::Processed => "good",
        WebhookEventState::Queued => "wait",
        WebhookEventState::Dead => "bad",
        WebhookEventState::Ignored | WebhookEventState::Unspecified => "",
    };
    Row {
        id: event_id,
        kind: event_type,
        state: ui.t.webhook_word(state),
        state_class,
        attempts: ui.number(&i64::from(attempt_count)),
        received: ui.promised_minute(receive_time),
        then: ui.minute_of(next_attempt_time.or(end_time)),
        error: said(&error_code, &error_message),
        can_retry: state == WebhookEventState::Dead,
    }
}

/// What went wrong; `None` where nothing did.
pub(super) fn said(code: &str, message: &str) -> Option<String> {
    let is_said = !code.is_empty() || !message.is_empty();
    is_said.then(|| format!("{message} ({code})"))
}

fn states(ui: &Ui, chosen: WebhookEventState) -> Vec<Choice> {
    let all = [
        WebhookEventState::Unspecified,
        WebhookEventState::Dead,
        WebhookEventState::Queued,
        WebhookEventState::Processed,
        WebhookEventState::Ignored,
    ];
    let choice = |state| Choice {
        value: state_word(state),
        label: ui.t.webhook_word(state),
        selected: state == chosen,
    };
    all.map(choice).into()
}

/// The inbox.
pub(super) async fn webhooks(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let query = Query::read(query.as_deref());
    let mut violations = Vec::new();
    let state = parse_state(query.get(STATE).unwrap_or_default(), &mut violations);
    if !violations.is_empty() {
        return Err(Fault::invalid(violations).into());
    }
    let cursor = query.get("cursor").unwrap_or_default().to_owned();
    let address =
        |cursor: &str| with_query(PATH, &[(STATE, state_word(state)), ("cursor", cursor)]);
    let first = (!cursor.is_empty()).then(|| address(""));
    let request = ListWebhookEventsRequest {
        state: state.into(),
        page_size: PAGE_SIZE_DEFAULT,
        page_token: cursor,
    };
    let ListWebhookEventsResponse {
        events,
        next_page_token,
    } = answered(
        web.admin_client()
            .list_webhook_events(admin.asks(request))
            .await,
    )?;
    let shown = WebhooksPage {
        ui: ui.frame(&admin.email, Section::Webhooks),
        notice: (query.get("notice") == Some("retried")).then_some(ui.t.notice_retried),
        states: states(&ui, state),
        state: state_word(state),
        rows: events.into_iter().map(|event| row(&ui, event)).collect(),
        first,
        next: filled(next_page_token).map(|next| address(&next)),
    };
    Ok(page(StatusCode::OK, &shown))
}

/// Has an event processed anew. Processing fetches what the event is about again, so that once more
/// does no harm.
pub(super) async fn retry(
    State(web): State<Web>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    let admin = web.admin_for_change(&headers).await?;
    let form = form::read(&web, &headers, body).await?;
    let text = |name| form.get(name).unwrap_or_default();
    let state = parse_state(text(STATE), &mut Vec::new());
    let request = RetryWebhookEventRequest {
        event_id: text(EVENT).to_owned(),
    };
    answered(
        web.admin_client()
            .retry_webhook_event(admin.asks(request))
            .await,
    )?;
    let back = with_query(PATH, &[(STATE, state_word(state)), ("notice", "retried")]);
    Ok(Redirect::to(&back).into_response())
}

#[derive(Template)]
#[template(path = "meter_errors.html")]
struct MeterErrorsPage<'a> {
    ui: Frame<'a>,
    rows: Vec<ErrorRow>,
    next: Option<String>,
}

struct ErrorRow {
    found: Moment,
    error: String,
    count: String,
    meter: String,
    samples: Vec<String>,
}

fn error_row(ui: &Ui, found: MeterError) -> ErrorRow {
    let MeterError {
        id: _,
        event_id: _,
        stripe_meter_id,
        error_code,
        error_message,
        error_count,
        sample_identifiers,
        find_time,
        validation_start_time: _,
        validation_end_time: _,
    } = found;
    let nothing = || ui.t.nothing.to_owned();
    ErrorRow {
        found: ui.promised_minute(find_time),
        error: said(&error_code, &error_message).unwrap_or_else(nothing),
        count: ui.number(&error_count),
        meter: filled(stripe_meter_id).unwrap_or_else(nothing),
        samples: sample_identifiers,
    }
}

/// The usage that Stripe took and then did not count.
pub(super) async fn meter_errors(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let query = Query::read(query.as_deref());
    let cursor = query.get("cursor").unwrap_or_default().to_owned();
    let request = ListMeterErrorsRequest {
        page_size: PAGE_SIZE_DEFAULT,
        page_token: cursor,
    };
    let ListMeterErrorsResponse {
        errors,
        next_page_token,
    } = answered(
        web.admin_client()
            .list_meter_errors(admin.asks(request))
            .await,
    )?;
    let shown = MeterErrorsPage {
        ui: ui.frame(&admin.email, Section::Webhooks),
        rows: errors.into_iter().map(|it| error_row(&ui, it)).collect(),
        next: next_page(METER_ERRORS, &next_page_token),
    };
    Ok(page(StatusCode::OK, &shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::{
        row::tests::{ATTACK, at},
        ui::tests::readers,
    };

    const NO_CUSTOMER: &str = "no_such_customer";

    fn event(state: WebhookEventState) -> WebhookEvent {
        WebhookEvent {
            event_id: "evt_\"1".to_owned(),
            event_type: ATTACK.to_owned(),
            state: state.into(),
            attempt_count: 12,
            receive_time: at(1_730_602_800),
            next_attempt_time: None,
            end_time: at(1_730_602_800),
            error_code: NO_CUSTOMER.to_owned(),
            error_message: ATTACK.to_owned(),
        }
    }

    #[test]
    fn only_what_was_given_up_is_offered_to_be_tried_again() {
        for ui in readers() {
            let shown = WebhooksPage {
                ui: ui.frame(ATTACK, Section::Webhooks),
                notice: Some(ui.t.notice_retried),
                states: states(&ui, WebhookEventState::Dead),
                state: "dead",
                rows: [WebhookEventState::Dead, WebhookEventState::Processed]
                    .map(|state| row(&ui, event(state)))
                    .into(),
                first: None,
                next: Some("/webhooks?cursor=a".to_owned()),
            };
            let html = shown.render().unwrap();
            assert!(!html.contains("<img"), "{html}");
            let retry = "name=\"event_id\" value=\"evt_&#34;1\"";
            assert_eq!(html.matches(retry).count(), 1, "{html}");
            for part in [
                ui.t.webhook_word(WebhookEventState::Dead),
                ui.t.webhook_word(WebhookEventState::Processed),
                "<option value=\"dead\" selected>",
                "no_such_customer",
                ">12<",
            ] {
                assert!(html.contains(part), "{part} in {html}");
            }
            let none = WebhooksPage {
                rows: Vec::new(),
                ..shown
            };
            assert!(none.render().unwrap().contains(ui.t.no_event));
        }
    }

    #[test]
    fn uncounted_usage_is_told_with_its_reason_and_samples() {
        for ui in readers() {
            let found = MeterError {
                error_code: NO_CUSTOMER.to_owned(),
                error_message: ATTACK.to_owned(),
                error_count: 1_200,
                sample_identifiers: vec![ATTACK.to_owned()],
                find_time: at(1_730_602_800),
                ..MeterError::default()
            };
            let shown = MeterErrorsPage {
                ui: ui.frame("a@b.de", Section::Webhooks),
                rows: vec![error_row(&ui, found)],
                next: None,
            };
            let html = shown.render().unwrap();
            assert!(!html.contains("<img"), "{html}");
            assert!(html.contains(&format!(">{}<", ui.number(&1_200))), "{html}");
            assert!(html.contains("no_such_customer"), "{html}");
            let none = MeterErrorsPage {
                rows: Vec::new(),
                ..shown
            };
            assert!(none.render().unwrap().contains(ui.t.no_meter_error));
        }
    }
}
