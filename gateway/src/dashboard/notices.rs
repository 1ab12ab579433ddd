//! `/webhooks/notices`: what the operator's own channel was not told yet, or not at all, and why.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    extract::{RawQuery, State},
    response::Response,
};
use billing_kit::Fault;
use billing_proto::common::v1::{ListNoticesRequest, ListNoticesResponse, Notice, NoticeState};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use super::{
    audit::value_text,
    page::{PageError, page},
    ui::{Choice, Frame, Moment, Section, Ui},
};
use crate::{
    domain::{
        notice::{notice_state_word, parse_notice_state},
        organization_filter::PAGE_SIZE_DEFAULT,
        words::filled,
    },
    grpc::answered,
    rest::query::{Query, with_query},
    web::Web,
};

/// Where the page is.
pub(super) const PATH: &str = "/webhooks/notices";
const STATE: &str = "state";

#[derive(Template)]
#[template(path = "notices.html")]
struct NoticesPage<'a> {
    ui: Frame<'a>,
    states: Vec<Choice>,
    rows: Vec<Row>,
    first: Option<String>,
    next: Option<String>,
}

struct Row {
    /// What it tells of, in the reader's words where there are some.
    what: String,
    id: String,
    occurred: Moment,
    attempts: String,
    state: &'static str,
    state_class: &'static str,
    error: Option<String>,
    /// When it is tried next, or when it was given up.
    then: Option<Moment>,
    facts: Vec<(String, String)>,
}

fn row(ui: &Ui, notice: Notice) -> Row {
    let state = notice.state();
    let Notice {
        id,
        r#type: kind,
        occur_time,
        state: _,
        attempt_count,
        next_attempt_time,
        end_time,
        error_message,
        data_json,
    } = notice;
    let facts: Map<String, Value> = serde_json::from_str(&data_json).unwrap_or_default();
    let facts = facts.iter().map(|(name, value)| {
        let value = value_text(ui, value);
        (name.clone(), value)
    });
    Row {
        what: ui.t.notice_kind_word(&kind).map_or(kind, str::to_owned),
        id,
        occurred: ui.promised_minute(occur_time),
        attempts: ui.number(&i64::from(attempt_count)),
        state: ui.t.notice_state_word(state),
        state_class: match state {
            NoticeState::Queued => "wait",
            NoticeState::GivenUp => "bad",
            NoticeState::Unspecified => "",
        },
        error: filled(error_message),
        then: ui.minute_of(next_attempt_time.or(end_time)),
        facts: facts.collect(),
    }
}

fn states(ui: &Ui, chosen: NoticeState) -> Vec<Choice> {
    let all = [
        NoticeState::Unspecified,
        NoticeState::GivenUp,
        NoticeState::Queued,
    ];
    let choice = |state| Choice {
        value: notice_state_word(state),
        label: ui.t.notice_state_word(state),
        selected: state == chosen,
    };
    all.map(choice).into()
}

/// The notices that are not sent.
pub(super) async fn notices(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let query = Query::read(query.as_deref());
    let mut violations = Vec::new();
    let state = parse_notice_state(query.get(STATE).unwrap_or_default(), &mut violations);
    if !violations.is_empty() {
        return Err(Fault::invalid(violations).into());
    }
    let cursor = query.get("cursor").unwrap_or_default().to_owned();
    let address = |cursor: &str| {
        let parts = [(STATE, notice_state_word(state)), ("cursor", cursor)];
        with_query(PATH, &parts)
    };
    let first = (!cursor.is_empty()).then(|| address(""));
    let request = ListNoticesRequest {
        state: state.into(),
        page_size: PAGE_SIZE_DEFAULT,
        page_token: cursor,
    };
    let ListNoticesResponse {
        notices,
        next_page_token,
    } = answered(web.admin_client().list_notices(admin.asks(request)).await)?;
    let shown = NoticesPage {
        ui: ui.frame(&admin.email, Section::Webhooks),
        states: states(&ui, state),
        rows: notices.into_iter().map(|notice| row(&ui, notice)).collect(),
        first,
        next: filled(next_page_token).map(|next| address(&next)),
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

    fn notice(kind: &str, state: NoticeState) -> Notice {
        Notice {
            id: "1".to_owned(),
            r#type: kind.to_owned(),
            occur_time: at(1_730_419_200),
            state: state.into(),
            attempt_count: 1_200,
            next_attempt_time: None,
            end_time: None,
            error_message: ATTACK.to_owned(),
            data_json: format!(r#"{{"organization_name": "{ATTACK}", "user_count": 45}}"#),
        }
    }

    #[test]
    fn each_notice_says_what_it_tells_of_and_why_it_was_not_told() {
        for ui in readers() {
            let known = notice("report.held", NoticeState::GivenUp);
            let newer = notice("<b>newer</b>", NoticeState::Queued);
            let shown = NoticesPage {
                ui: ui.frame("a@b.de", Section::Webhooks),
                states: states(&ui, NoticeState::GivenUp),
                rows: [known, newer].map(|it| row(&ui, it)).into(),
                first: None,
                next: Some("/webhooks/notices?cursor=a".to_owned()),
            };
            let html = shown.render().unwrap();
            assert!(!html.contains("<img") && !html.contains("<b>"), "{html}");
            for part in [
                ui.t.notice_kind_word("report.held").unwrap(),
                ui.t.notice_given_up,
                ui.t.notices_intro,
                &ui.number(&1_200),
                "user_count",
                "value=\"given_up\" selected",
            ] {
                assert!(html.contains(part), "{part} in {html}");
            }
            let none = NoticesPage {
                rows: Vec::new(),
                next: None,
                ..shown
            };
            assert!(none.render().unwrap().contains(ui.t.no_notice));
        }
    }
}
