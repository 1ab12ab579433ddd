//! `/audit`: every change, with who made it, when, from where, and what was before and is since.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    extract::{RawQuery, State},
    response::Response,
};
use billing_kit::{Fault, Violation, proto_time};
use billing_proto::common::v1::{AuditEvent, ListAuditEventsRequest, ListAuditEventsResponse};
use chrono::{Days, NaiveDate};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    file::{self, Source},
    i18n::{ACTIONS, Language},
    page::{PageError, page},
    ui::{Choice, Frame, Moment, Section, Ui},
};
use crate::{
    app::Admin,
    domain::{organization_filter::PAGE_SIZE_DEFAULT, time_text, words::filled},
    grpc::answered,
    rest::query::{Query, with_query},
    web::Web,
};

/// Where the page is.
pub(super) const PATH: &str = "/audit";
/// Where its file is.
pub(super) const FILE: &str = "/audit.csv";
/// So many of the latest changes stand on an organization's own page.
const OF_ORGANIZATION: i32 = 10;
/// What is only asked for changes nothing yet.
const REQUESTED: &str = "_requested";
/// What is done to held reports without an admin is done by the configuration.
const ON_HELD_REPORTS: &str = "held_reports.";
/// What is done to an admin is recorded with that admin, and not with who did it.
const ON_ADMINS: &str = "admin.";
/// So is an attempt at a password that failed, where there is such an account.
const FAILED: &str = ".failed";

/// What an address asks for.
#[derive(Debug)]
struct Asked {
    /// Which changes; its page is set when it is asked for.
    filter: ListAuditEventsRequest,
    /// The days as they were written.
    since: String,
    until: String,
    cursor: String,
}

impl Asked {
    /// Reads an address. Days are the reader's, the last one included.
    fn read(ui: &Ui, query: &Query) -> Result<Self, Fault> {
        let text = |name| query.get(name).unwrap_or_default().trim().to_owned();
        let (since, until) = (text("since"), text("until"));
        let mut violations = Vec::new();
        let first = day(&since, "since", &mut violations);
        let last = day(&until, "until", &mut violations);
        if !violations.is_empty() {
            return Err(Fault::invalid(violations));
        }
        let behind = last.and_then(|last| last.checked_add_days(Days::new(1)));
        let start = |day| proto_time::to_proto(ui.start_of(day));
        let filter = ListAuditEventsRequest {
            organization_id: text("organization"),
            actor: text("actor"),
            action: text("action"),
            since_time: first.map(start),
            until_time: behind.map(start),
            ..ListAuditEventsRequest::default()
        };
        let cursor = text("cursor");
        Ok(Self {
            filter,
            since,
            until,
            cursor,
        })
    }

    fn is_filtered(&self) -> bool {
        self.filter != ListAuditEventsRequest::default()
    }

    /// The same under another path, or at another page.
    fn address(&self, path: &str, cursor: &str) -> String {
        with_query(
            path,
            &[
                ("organization", &self.filter.organization_id),
                ("actor", &self.filter.actor),
                ("action", &self.filter.action),
                ("since", &self.since),
                ("until", &self.until),
                ("cursor", cursor),
            ],
        )
    }
}

fn day(text: &str, name: &str, violations: &mut Vec<Violation>) -> Option<NaiveDate> {
    if text.is_empty() {
        return None;
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d");
    let day = day.map_err(|_| {
        let problem = "It must be a day, for example 2024-11-03.";
        violations.push(Violation::new(name, problem));
    });
    day.ok()
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPageShown<'a> {
    ui: Frame<'a>,
    asked: &'a Asked,
    actions: Vec<Choice>,
    is_filtered: bool,
    rows: Vec<Row>,
    export: String,
    first: Option<String>,
    next: Option<String>,
}

/// A change.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) at: Moment,
    /// What was done, in the reader's words where there are some.
    pub(super) what: String,
    /// The organization that it was done to, and what it is called.
    pub(super) organization: Option<(String, String)>,
    /// Whom it was done to, where that is an admin.
    pub(super) subject: Option<String>,
    pub(super) who: String,
    /// The API key that it was done with.
    pub(super) key: Option<String>,
    pub(super) from: String,
    pub(super) request_id: Option<String>,
    pub(super) changes: Vec<Changed>,
}

/// A field that is not what it was.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) field: String,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

/// The changes that an address asks for.
pub(super) async fn audit(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let asked = Asked::read(&ui, &Query::read(query.as_deref()))?;
    let request = ListAuditEventsRequest {
        page_size: PAGE_SIZE_DEFAULT,
        page_token: asked.cursor.clone(),
        ..asked.filter.clone()
    };
    let (rows, next) = rows(&web, &admin, &ui, request).await?;
    let shown = AuditPageShown {
        ui: ui.frame(&admin.email, Section::Audit),
        actions: actions(&ui, &asked.filter.action),
        is_filtered: asked.is_filtered(),
        rows,
        export: asked.address(FILE, ""),
        first: (!asked.cursor.is_empty()).then(|| asked.address(PATH, "")),
        next: next.map(|next| asked.address(PATH, &next)),
        asked: &asked,
    };
    Ok(page(StatusCode::OK, &shown))
}

/// The latest changes of an organization.
pub(super) async fn latest_of(
    web: &Web,
    admin: &Admin,
    ui: &Ui,
    organization: Uuid,
) -> Result<Vec<Row>, Fault> {
    let request = ListAuditEventsRequest {
        organization_id: organization.to_string(),
        page_size: OF_ORGANIZATION,
        ..ListAuditEventsRequest::default()
    };
    let listed = rows(web, admin, ui, request).await;
    listed.map(|(rows, _next)| rows)
}

async fn rows(
    web: &Web,
    admin: &Admin,
    ui: &Ui,
    request: ListAuditEventsRequest,
) -> Result<(Vec<Row>, Option<String>), Fault> {
    let ListAuditEventsResponse {
        events,
        next_page_token,
    } = answered(
        web.admin_client()
            .list_audit_events(admin.asks(request))
            .await,
    )?;
    let ids = events.iter().map(|event| event.organization_id.clone());
    let ids = ids.filter(|id| !id.is_empty());
    let names = web.app().organization_names(admin, ids).await?;
    let name = |id: &str| names.get(id).cloned().unwrap_or_else(|| id.to_owned());
    let rows = events.into_iter().map(|event| row(ui, event, name));
    Ok((rows.collect(), filled(next_page_token)))
}

fn row(ui: &Ui, event: AuditEvent, name: impl Fn(&str) -> String) -> Row {
    let AuditEvent {
        id: _,
        occur_time,
        action,
        organization_id,
        admin_user_id,
        admin_email,
        api_key_id,
        client_address,
        request_id,
        before_json,
        after_json,
    } = event;
    let admin = filled(admin_email).or(filled(admin_user_id));
    let (who, subject) = if action.starts_with(ON_ADMINS) {
        (ui.t.nothing.to_owned(), admin)
    } else if action.ends_with(FAILED) {
        let account = admin.unwrap_or_else(|| ui.t.unknown_account.to_owned());
        (ui.t.nothing.to_owned(), Some(account))
    } else {
        // Of held reports Stripe knows nothing: a rule was switched off.
        let by_rule = action.starts_with(ON_HELD_REPORTS);
        let nobody = if by_rule {
            ui.t.by_configuration
        } else {
            "Stripe"
        };
        (admin.unwrap_or_else(|| nobody.to_owned()), None)
    };
    let (before, after) = (object(&before_json), object(&after_json));
    let is_asked = action.ends_with(REQUESTED);
    Row {
        at: ui.promised_minute(occur_time),
        what: ui.t.action_word(&action).map_or(action, str::to_owned),
        organization: filled(organization_id).map(|id| {
            let name = name(&id);
            (id, name)
        }),
        subject,
        who,
        key: filled(api_key_id),
        from: filled(client_address).unwrap_or_else(|| ui.t.nothing.to_owned()),
        request_id: filled(request_id),
        changes: changes(ui, &before, &after, is_asked),
    }
}

fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

/// What differs between two objects, in the order of the fields as they are since. Of what is only asked
/// for, what is not named stays as it is.
fn changes(
    ui: &Ui,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    is_asked: bool,
) -> Vec<Changed> {
    let gone = before
        .keys()
        .filter(|field| !is_asked && !after.contains_key(*field));
    let fields = after.keys().chain(gone);
    // What was not there and what was null is the same to a reader.
    let known = |object: &Map<String, Value>, field: &String| {
        let value = object.get(field).filter(|value| !value.is_null());
        value.cloned()
    };
    let differs = fields.filter(|field| known(before, field) != known(after, field));
    let text = |value: &Value| value_text(ui, value);
    let changed = |field: &String| Changed {
        field: field.clone(),
        before: known(before, field).as_ref().map(text),
        after: after.get(field).map(text),
    };
    differs.map(changed).collect()
}

/// A value of a JSON object, as people read it.
pub(super) fn value_text(ui: &Ui, value: &Value) -> String {
    match value {
        Value::Null => ui.t.nothing.to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn actions(ui: &Ui, chosen: &str) -> Vec<Choice> {
    let any = Choice {
        value: "",
        label: ui.t.any,
        selected: false,
    };
    let known = ACTIONS.into_iter().map(|action| Choice {
        value: action,
        label: ui.t.action_word(action).unwrap_or(action),
        selected: action == chosen,
    });
    std::iter::once(any).chain(known).collect()
}

/// The same as a file, as a program would read it: the contract's words, and times of UTC.
pub(super) async fn export(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let Asked {
        filter,
        since: _,
        until: _,
        cursor,
    } = Asked::read(&ui, &Query::read(query.as_deref()))?;
    let language = ui.language;
    let changes = Changes { filter, language };
    file::send(&web, &headers, "audit", head(&ui), &cursor, changes).await
}

/// The changes that a filter picks.
struct Changes {
    filter: ListAuditEventsRequest,
    language: Language,
}

impl Source for Changes {
    async fn rows(
        &self,
        web: &Web,
        admin: &Admin,
        cursor: String,
    ) -> Result<(String, Option<String>), Fault> {
        let request = ListAuditEventsRequest {
            page_size: file::PAGE_ROWS,
            page_token: cursor,
            ..self.filter.clone()
        };
        let ListAuditEventsResponse {
            events,
            next_page_token,
        } = answered(
            web.admin_client()
                .list_audit_events(admin.asks(request))
                .await,
        )?;
        let rows = events.iter().map(|event| file_row(self.language, event));
        Ok((rows.collect(), filled(next_page_token)))
    }
}

fn head(ui: &Ui) -> String {
    let t = ui.t;
    let titles = [
        t.when,
        t.what,
        t.organization,
        t.user_id,
        t.who,
        t.api_key,
        t.from_where,
        t.request,
        t.before,
        t.after,
        t.id,
    ];
    file::row(ui.language, titles)
}

fn file_row(language: Language, event: &AuditEvent) -> String {
    let AuditEvent {
        id,
        occur_time,
        action,
        organization_id,
        admin_user_id,
        admin_email,
        api_key_id,
        client_address,
        request_id,
        before_json,
        after_json,
    } = event;
    let at = time_text::known(*occur_time).map(time_text::short);
    let at = at.unwrap_or_default();
    let cells = [
        &at,
        action,
        organization_id,
        admin_user_id,
        admin_email,
        api_key_id,
        client_address,
        request_id,
        before_json,
        after_json,
        id,
    ];
    file::row(language, cells.map(String::as_str))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::dashboard::{
        row::tests::{ATTACK, at},
        ui::tests::readers,
    };

    fn event(action: &str) -> AuditEvent {
        let text = str::to_owned;
        AuditEvent {
            id: Uuid::from_u128(9).to_string(),
            occur_time: at(1_730_602_800),
            action: action.to_owned(),
            organization_id: text("00000000-0000-0000-0000-000000000007"),
            admin_user_id: text("u1"),
            admin_email: text("a@b.de"),
            api_key_id: text("00000000-0000-0000-0000-00000000000a"),
            client_address: text("203.0.113.7"),
            request_id: text("r1"),
            before_json: text("{\"status\":\"pending\",\"name\":\"same\",\"gone\":null}"),
            after_json: text("{\"status\":\"<img>\",\"name\":\"same\",\"trial_days\":4}"),
        }
    }

    pub(in crate::dashboard) fn change(ui: &Ui) -> Row {
        row(ui, event("organization.linked"), |_| ATTACK.to_owned())
    }

    #[test]
    fn what_is_asked_for_takes_nothing_away() {
        let text = |text: &str| Some(text.to_owned());
        for ui in readers() {
            let fields = |action| {
                let event = AuditEvent {
                    before_json: "{\"plan_type\":\"a\",\"stripe_customer_id\":\"cus_1\"}"
                        .to_owned(),
                    after_json: "{\"plan_type\":\"b\"}".to_owned(),
                    ..event(action)
                };
                let row = row(&ui, event, |_| String::new());
                let fields = row.changes.into_iter().map(|it| (it.field, it.after));
                fields.collect::<Vec<_>>()
            };
            let plan = || ("plan_type".to_owned(), text("b"));
            assert_eq!(fields("subscription.update_requested"), [plan()]);
            let gone = ("stripe_customer_id".to_owned(), None);
            assert_eq!(fields("organization.unlinked"), [plan(), gone]);
        }
    }

    #[test]
    fn the_page_shows_what_was_and_what_is_in_both_languages() {
        for ui in readers() {
            let query = Query::read(Some(
                "action=organization.linked&since=2024-11-03&actor=a%26b",
            ));
            let asked = Asked::read(&ui, &query).unwrap();
            let shown = AuditPageShown {
                ui: ui.frame(ATTACK, Section::Audit),
                actions: actions(&ui, &asked.filter.action),
                is_filtered: asked.is_filtered(),
                rows: vec![change(&ui)],
                export: asked.address(FILE, ""),
                first: None,
                next: Some(asked.address(PATH, "next")),
                asked: &asked,
            };
            let html = shown.render().unwrap();
            assert!(!html.contains("<img"), "{html}");
            for part in [
                ui.t.action_word("organization.linked").unwrap(),
                "a@b.de",
                "203.0.113.7",
                "<del>pending</del>",
                "<ins>&#60;img&#62;</ins>",
                "trial_days",
                "href=\"/organizations/00000000-0000-0000-0000-000000000007\"",
                "title=\"2024-11-03 03:00:00 UTC\"",
                "value=\"2024-11-03\"",
                "<option value=\"organization.linked\" selected>",
                "/audit.csv?actor=a%26b&#38;action=organization.linked&#38;since=2024-11-03\"",
            ] {
                assert!(html.contains(part), "{part} in {html}");
            }
            assert!(!html.contains(">same<"), "{html}");
            let nothing = AuditPageShown {
                rows: Vec::new(),
                ..shown
            };
            assert!(nothing.render().unwrap().contains(ui.t.none_match));
        }
    }

    #[test]
    fn a_day_is_the_readers() {
        let [paris, elsewhere] = readers();
        let query = Query::read(Some("since=2024-11-03&until=2024-11-03"));
        for (ui, first, behind) in [
            (paris, "2024-11-02T23:00:00Z", "2024-11-03T23:00:00Z"),
            (elsewhere, "2024-11-03T00:00:00Z", "2024-11-04T00:00:00Z"),
        ] {
            let filter = Asked::read(&ui, &query).unwrap().filter;
            let text = |time| time_text::known(time).map(time_text::short);
            assert_eq!(text(filter.since_time).as_deref(), Some(first));
            assert_eq!(text(filter.until_time).as_deref(), Some(behind));
            let wrong = Query::read(Some("since=yesterday&until=2024-13-01"));
            let fields = Asked::read(&ui, &wrong).unwrap_err().violations;
            assert_eq!(fields.len(), 2);
        }
    }

    #[test]
    fn what_is_done_to_an_admin_is_not_done_by_that_admin() {
        for ui in readers() {
            let done = row(&ui, event("admin.disabled"), str::to_owned);
            assert_eq!(done.subject.as_deref(), Some("a@b.de"));
            assert_eq!(done.who, ui.t.nothing);
            let by_stripe = AuditEvent {
                admin_user_id: String::new(),
                admin_email: String::new(),
                ..event("subscription.changed")
            };
            assert_eq!(row(&ui, by_stripe, str::to_owned).who, "Stripe");
            let newer = row(&ui, event("moon.landed"), str::to_owned);
            assert_eq!(newer.what, "moon.landed");
        }
    }

    #[test]
    fn a_row_of_the_file_has_a_cell_for_each_title() {
        for ui in readers() {
            let row = file_row(ui.language, &event("organization.linked"));
            let quotes = |text: &str| text.replace("\"\"", "").matches('"').count();
            assert_eq!(quotes(&head(&ui)), 22);
            assert_eq!(quotes(&row), 22, "{row}");
            assert!(row.starts_with("\"2024-11-03T03:00:00Z\""), "{row}");
        }
    }
}
