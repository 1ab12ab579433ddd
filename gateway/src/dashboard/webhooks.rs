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
use billing_proto::stripe::v1::WebhookEventState;
use http::{HeaderMap, StatusCode};

use super::{
    form,
    page::{PageError, page},
    ui::{Choice, Frame, Moment, Section, Ui},
};
use crate::{
    app::{MeterErrorPage, WebhookEventPage},
    domain::{
        organization::Trouble,
        organization_filter::PAGE_SIZE_DEFAULT,
        webhook_event::{MeterError, WebhookEvent, parse_state, state_word},
    },
    rest::query::{Query, with_query},
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
    let state = parse_state(state, &mut Vec::new());
    let state_class = match state {
        WebhookEventState::Processed => "good",
        WebhookEventState::Queued => "wait",
        WebhookEventState::Dead => "bad",
        WebhookEventState::Ignored | WebhookEventState::Unspecified => "",
    };
    Row {
        id,
        kind,
        state: ui.t.webhook_word(state),
        state_class,
        attempts: ui.number(&i64::from(attempt_count)),
        received: ui.minute(received_at),
        then: next_attempt_at.or(ended_at).map(|at| ui.minute(at)),
        error: error.map(said),
        can_retry: state == WebhookEventState::Dead,
    }
}

fn said(error: Trouble) -> String {
    let Trouble { code, message } = error;
    format!("{message} ({code})")
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
    let WebhookEventPage {
        events,
        next_page_token,
    } = web
        .app()
        .list_webhook_events(&admin, state, PAGE_SIZE_DEFAULT, cursor)
        .await?;
    let shown = WebhooksPage {
        ui: ui.frame(&admin.email, Section::Webhooks),
        notice: (query.get("notice") == Some("retried")).then_some(ui.t.notice_retried),
        states: states(&ui, state),
        state: state_word(state),
        rows: events.into_iter().map(|event| row(&ui, event)).collect(),
        first,
        next: next_page_token.map(|next| address(&next)),
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
    let event = text(EVENT).to_owned();
    web.app().retry_webhook_event(&admin, event).await?;
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
        meter_id,
        error,
        count,
        sample_identifiers,
        found_at,
    } = found;
    ErrorRow {
        found: ui.minute(found_at),
        error: said(error),
        count: ui.number(&count),
        meter: meter_id.unwrap_or_else(|| ui.t.nothing.to_owned()),
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
    let MeterErrorPage {
        errors,
        next_page_token,
    } = web
        .app()
        .list_meter_errors(&admin, PAGE_SIZE_DEFAULT, cursor)
        .await?;
    let shown = MeterErrorsPage {
        ui: ui.frame(&admin.email, Section::Webhooks),
        rows: errors.into_iter().map(|it| error_row(&ui, it)).collect(),
        next: next_page_token.map(|next| with_query(METER_ERRORS, &[("cursor", &next)])),
    };
    Ok(page(StatusCode::OK, &shown))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::dashboard::{row::tests::ATTACK, ui::tests::readers};

    fn trouble() -> Trouble {
        Trouble {
            code: "no_such_customer".to_owned(),
            message: ATTACK.to_owned(),
        }
    }

    fn event(state: &'static str) -> WebhookEvent {
        let at = DateTime::from_timestamp(1_730_602_800, 0).unwrap();
        WebhookEvent {
            id: "evt_\"1".to_owned(),
            kind: ATTACK.to_owned(),
            state,
            attempt_count: 12,
            received_at: at,
            next_attempt_at: None,
            ended_at: Some(at),
            error: Some(trouble()),
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
                rows: vec![row(&ui, event("dead")), row(&ui, event("processed"))],
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
                id: "1".to_owned(),
                event_id: "evt_1".to_owned(),
                meter_id: None,
                error: trouble(),
                count: 1_200,
                sample_identifiers: vec![ATTACK.to_owned()],
                found_at: DateTime::from_timestamp(1_730_602_800, 0).unwrap(),
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
