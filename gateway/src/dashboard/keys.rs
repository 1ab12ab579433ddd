//! `/keys`: the API keys for scripts, made and ended here.
//!
//! A key's secret is on one page, once: it is never in an address of ours, and no page shows it
//! again. A reload of that page would make another key, which the list shows and which can be ended.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    body::Body,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Redirect, Response},
};
use billing_kit::{Fault, Violation};
use billing_proto::common::v1::{
    ApiKey, ApiKeyAccess, CreateApiKeyRequest, CreateApiKeyResponse, ErrorReason,
    ListApiKeysRequest, ListApiKeysResponse, RevokeApiKeyRequest,
};
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};

use super::{
    form,
    page::{PageError, Refusal, page},
    ui::{Choice, Frame, Moment, Section, Ui},
};
use crate::{
    app::Admin,
    domain::{
        api_key::{access_word, parse_access},
        organization_filter::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX},
        time_text,
    },
    grpc::answered,
    rest::query::{Query, next_page, with_query},
    web::Web,
};

/// Where the page is.
pub(super) const PATH: &str = "/keys";
/// The form's fields, as org-svc names them too.
const NAME: &str = "name";
const ACCESS: &str = "access";
const LIFETIME_DAYS: &str = "lifetime_days";
/// How long a key lasts where nobody says otherwise, in days.
const LIFETIME_DAYS_DEFAULT: &str = "90";

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage<'a> {
    ui: Frame<'a>,
    notice: Option<&'static str>,
    error: Option<Refusal>,
    form: Form,
    accesses: Vec<Choice>,
    rows: Vec<Row>,
    next: Option<String>,
}

/// What was filled in, and what is wrong with it.
#[derive(Debug)]
struct Form {
    name: String,
    access: String,
    lifetime_days: String,
    violations: Vec<Violation>,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            name: String::new(),
            // Who wants a key that may change something says so.
            access: access_word(ApiKeyAccess::ReadOnly)
                .unwrap_or_default()
                .to_owned(),
            lifetime_days: LIFETIME_DAYS_DEFAULT.to_owned(),
            violations: Vec::new(),
        }
    }
}

impl Form {
    fn read(form: &Query) -> Self {
        let text = |name| form.get(name).unwrap_or_default().trim().to_owned();
        Self {
            name: text(NAME),
            access: text(ACCESS),
            lifetime_days: text(LIFETIME_DAYS),
            violations: Vec::new(),
        }
    }

    /// What may be done and for how many days; whether these are too many is org-svc's to say.
    fn terms(&self) -> Result<(ApiKeyAccess, i32), Vec<Violation>> {
        let days = self.lifetime_days.parse().ok().filter(|days| *days != 0);
        match (parse_access(&self.access), days) {
            (Some(access), Some(days)) => Ok((access, days)),
            (access, days) => {
                let access = access
                    .is_none()
                    .then(|| Violation::new(ACCESS, "Choose one."));
                let days = days
                    .is_none()
                    .then(|| Violation::new(LIFETIME_DAYS, "It must be 1 to 365 days."));
                Err(access.into_iter().chain(days).collect())
            }
        }
    }

    fn is_wrong(&self, field: &str) -> bool {
        self.violations.iter().any(|v| v.field == field)
    }
}

/// A key.
struct Row {
    id: String,
    name: String,
    prefix: String,
    access: &'static str,
    access_class: &'static str,
    state: &'static str,
    state_class: &'static str,
    is_good: bool,
    created: Moment,
    expires: Moment,
    used: Option<Moment>,
    /// Whose it is.
    admin: String,
}

fn row(ui: &Ui, key: ApiKey, now: DateTime<Utc>) -> Row {
    let access = key.access();
    let ApiKey {
        id,
        name,
        secret_prefix,
        access: _,
        admin_user_id,
        create_time,
        expire_time,
        last_use_time,
        revoke_time,
    } = key;
    let t = ui.t;
    let is_over = time_text::known(expire_time).is_none_or(|end| end <= now);
    let is_good = revoke_time.is_none() && !is_over;
    let (state, state_class) = if revoke_time.is_some() {
        (t.key_revoked, "idle")
    } else if is_good {
        (t.key_good, "good")
    } else {
        (t.key_expired, "idle")
    };
    Row {
        id,
        name,
        prefix: secret_prefix,
        access: t.access_word(access),
        access_class: match access {
            ApiKeyAccess::Full => "wait",
            ApiKeyAccess::ReadOnly | ApiKeyAccess::Unspecified => "",
        },
        state,
        state_class,
        is_good,
        created: ui.promised_day(create_time),
        expires: ui.promised_day(expire_time),
        used: ui.minute_of(last_use_time),
        admin: admin_user_id,
    }
}

fn accesses(ui: &Ui, chosen: &str) -> Vec<Choice> {
    let choice = |access| {
        let value = access_word(access).unwrap_or_default();
        Choice {
            value,
            label: ui.t.access_word(access),
            selected: value == chosen,
        }
    };
    [ApiKeyAccess::ReadOnly, ApiKeyAccess::Full]
        .map(choice)
        .into()
}

/// The keys of all admins, and the form that makes one.
pub(super) async fn keys(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let query = Query::read(query.as_deref());
    let cursor = query.get("cursor").unwrap_or_default().to_owned();
    let mut shown = shown(&web, &ui, &admin, Form::default(), cursor).await?;
    shown.notice = (query.get("notice") == Some("revoked")).then_some(ui.t.notice_revoked);
    Ok(page(StatusCode::OK, &shown))
}

async fn shown<'a>(
    web: &Web,
    ui: &'a Ui,
    admin: &'a Admin,
    form: Form,
    cursor: String,
) -> Result<KeysPage<'a>, Fault> {
    let ListApiKeysResponse {
        api_keys,
        next_page_token,
    } = listed(web, admin, PAGE_SIZE_DEFAULT, cursor).await?;
    let now = web.app().clock().now();
    Ok(KeysPage {
        ui: ui.frame(&admin.email, Section::Keys),
        notice: None,
        error: None,
        accesses: accesses(ui, &form.access),
        form,
        rows: api_keys.into_iter().map(|key| row(ui, key, now)).collect(),
        next: next_page(PATH, &next_page_token),
    })
}

async fn listed(
    web: &Web,
    admin: &Admin,
    page_size: i32,
    page_token: String,
) -> Result<ListApiKeysResponse, Fault> {
    let request = ListApiKeysRequest {
        page_size,
        page_token,
    };
    answered(web.admin_client().list_api_keys(admin.asks(request)).await)
}

#[derive(Template)]
#[template(path = "key_created.html")]
struct CreatedPage<'a> {
    ui: Frame<'a>,
    title: String,
    secret: &'a str,
}

/// Makes a key and shows its secret; or shows the form again, with what is wrong.
pub(super) async fn create(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    let admin = web.admin_for_change(&headers).await?;
    let mut form = Form::read(&form::read(&web, &headers, body).await?);
    let made = match form.terms() {
        Ok((access, lifetime_days)) => {
            let request = CreateApiKeyRequest {
                name: form.name.clone(),
                access: access.into(),
                lifetime_days,
            };
            answered(web.admin_client().create_api_key(admin.asks(request)).await)
        }
        Err(violations) => Err(Fault::invalid(violations)),
    };
    let fault = match made {
        Ok(CreateApiKeyResponse { api_key, secret }) => {
            let created = CreatedPage {
                ui: ui.frame(&admin.email, Section::Keys),
                title: ui.about(ui.t.key_created, &api_key.unwrap_or_default().name),
                secret: &secret,
            };
            return Ok(page(StatusCode::OK, &created));
        }
        Err(fault) => fault,
    };
    fault.log();
    let (status, refusal) = Refusal::of(&ui, &fault);
    form.violations = fault.violations;
    let mut again = shown(&web, &ui, &admin, form, String::new()).await?;
    again.error = Some(refusal);
    Ok(page(status, &again))
}

#[derive(Template)]
#[template(path = "key_revoke.html")]
struct RevokePage<'a> {
    ui: Frame<'a>,
    id: String,
    title: String,
}

/// Asks whether a key is to be ended. A key that has ended needs no question.
pub(super) async fn revoke_form(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let mut cursor = String::new();
    // Page by page: the keys of a few admins.
    loop {
        let ListApiKeysResponse {
            api_keys,
            next_page_token,
        } = listed(&web, &admin, PAGE_SIZE_MAX, cursor).await?;
        let mut found = api_keys.into_iter();
        if let Some(key) = found.find(|key| key.id == id) {
            if key.revoke_time.is_some() {
                return Ok(Redirect::to(PATH).into_response());
            }
            let asked = RevokePage {
                ui: ui.frame(&admin.email, Section::Keys),
                id: key.id,
                title: ui.about(ui.t.revoke_title, &key.name),
            };
            return Ok(page(StatusCode::OK, &asked));
        }
        if next_page_token.is_empty() {
            let fault = Fault::new(ErrorReason::ApiKeyNotFound, "There is no such key.");
            return Err(fault.into());
        }
        cursor = next_page_token;
    }
}

/// Ends a key.
pub(super) async fn revoke(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    let admin = web.admin_for_change(&headers).await?;
    form::read(&web, &headers, body).await?;
    let request = RevokeApiKeyRequest { api_key_id: id };
    answered(web.admin_client().revoke_api_key(admin.asks(request)).await)?;
    Ok(Redirect::to(&with_query(PATH, &[("notice", "revoked")])).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::{
        row::tests::{ATTACK, at},
        ui::tests::readers,
    };

    const KEY: &str = "00000000-0000-0000-0000-00000000000a";

    fn key(revoked: bool, expires: i64) -> ApiKey {
        ApiKey {
            id: KEY.to_owned(),
            name: ATTACK.to_owned(),
            secret_prefix: "vbk_abcd".to_owned(),
            access: ApiKeyAccess::Full.into(),
            admin_user_id: "u1".to_owned(),
            create_time: at(1_730_419_200),
            expire_time: at(expires),
            last_use_time: at(1_730_602_800),
            revoke_time: at(1_730_602_800).filter(|_| revoked),
        }
    }

    #[test]
    fn the_list_tells_good_keys_from_those_that_have_ended() {
        let now = DateTime::from_timestamp(1_730_700_000, 0).unwrap();
        for ui in readers() {
            let mut form = Form::read(&Query::read_form(b"access=all&lifetime_days=0&name=%3Cimg"));
            form.violations = form.terms().unwrap_err();
            assert!(form.is_wrong(ACCESS) && form.is_wrong(LIFETIME_DAYS));
            let keys = [key(false, 1_740_000_000), key(true, 1_740_000_000)];
            let expired = key(false, 1_730_600_000);
            let rows = keys.into_iter().chain([expired]);
            let html = KeysPage {
                ui: ui.frame(ATTACK, Section::Keys),
                notice: Some(ui.t.notice_revoked),
                error: Some(Refusal {
                    text: ui.t.form_again,
                    details: None,
                }),
                accesses: accesses(&ui, &form.access),
                form,
                rows: rows.map(|key| row(&ui, key, now)).collect(),
                next: Some("/keys?cursor=a".to_owned()),
            }
            .render()
            .unwrap();
            assert!(!html.contains("<img"), "{html}");
            for part in [
                ui.t.key_good,
                ui.t.key_revoked,
                ui.t.key_expired,
                ui.t.access_word(ApiKeyAccess::Full),
                ui.t.choice_wrong,
                ui.t.lifetime_wrong,
                "vbk_abcd",
                "value=\"&#60;img\"",
            ] {
                assert!(html.contains(part), "{part} in {html}");
            }
            let revoke = "/keys/00000000-0000-0000-0000-00000000000a/revoke";
            assert_eq!(html.matches(revoke).count(), 1, "only the good one");
        }
    }

    #[test]
    fn the_secret_is_shown_to_be_copied_and_the_end_is_asked() {
        for ui in readers() {
            let created = CreatedPage {
                ui: ui.frame("a@b.de", Section::Keys),
                title: ui.about(ui.t.key_created, ATTACK),
                secret: "vbk_\"x",
            };
            let html = created.render().unwrap();
            assert!(
                html.contains("vbk_&#34;x") && !html.contains("<img"),
                "{html}"
            );
            assert!(html.contains(ui.t.key_created_intro), "{html}");
            let asked = RevokePage {
                ui: ui.frame("a@b.de", Section::Keys),
                id: KEY.to_owned(),
                title: ui.about(ui.t.revoke_title, ATTACK),
            };
            let html = asked.render().unwrap();
            assert!(html.contains(ui.t.cannot_undo) && html.contains("name=\"form_token\""));
            assert!(!html.contains("<img"), "{html}");
        }
    }
}
