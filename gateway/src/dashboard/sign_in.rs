//! `/sign-in`.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse, Redirect, Response},
};
use billing_kit::Fault;
use billing_proto::common::v1::ErrorReason;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use super::{
    form,
    page::{PageError, local_address, page},
    ui::{Frame, Ui},
};
use crate::{
    app::{Credentials, SignedIn},
    domain::sign_in_body::SignInBody,
    rest::{answer::status_of, auth::set_cookies, query::Query},
    web::{Peer, Web, origin_facts, origin_fault},
};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    ui: Frame<'a>,
    email: &'a str,
    remember: bool,
    error: Option<&'a str>,
    /// Where to go on.
    next: Option<&'a str>,
}

/// The form.
pub(super) async fn form(Extension(ui): Extension<Arc<Ui>>, RawQuery(query): RawQuery) -> Response {
    let query = Query::read(query.as_deref());
    let empty = SignInPage {
        ui: ui.outside(),
        email: "",
        remember: true,
        error: None,
        next: query.get("next").and_then(local_address),
    };
    page(StatusCode::OK, &empty)
}

/// Signs in and goes on to where one wanted to go.
pub(super) async fn sign_in(
    State(web): State<Web>,
    Extension(peer): Extension<Peer>,
    Extension(ui): Extension<Arc<Ui>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    web.trusted_origins()
        .check_sign_in(&origin_facts(&headers))
        .map_err(origin_fault)?;
    let form = form::read(&web, &headers, body).await?;
    let text = |name| form.get(name).unwrap_or_default();
    let remember = form.get("remember").is_some();
    let next = form.get("next").and_then(local_address);
    let again = |status, error: &str| {
        let again = SignInPage {
            ui: ui.outside(),
            email: text("email"),
            remember,
            error: Some(error),
            next,
        };
        page(status, &again)
    };
    let body = json!({
        "email": text("email").trim(), "password": text("password"), "rememberMe": remember,
    });
    let Ok(SignInBody {
        email,
        password,
        remember,
        callback_url: _,
    }) = SignInBody::read(Some(&body))
    else {
        return Ok(again(StatusCode::BAD_REQUEST, ui.t.invalid_email));
    };
    let credentials = Credentials {
        email,
        password,
        remember,
        client: web.client(peer, &headers),
    };
    let SignedIn {
        session,
        user: _,
        device_token,
    } = match web.app().sign_in(credentials).await {
        Ok(signed_in) => signed_in,
        Err(fault) => {
            let mut response = again(status_of(fault.reason), &refusal(&ui, &fault));
            if let Some(wait) = fault.retry_after {
                let wait = HeaderValue::from(wait.as_secs());
                response.headers_mut().insert(header::RETRY_AFTER, wait);
            }
            return Ok(response);
        }
    };
    let mut response = Redirect::to(next.unwrap_or("/")).into_response();
    let cookies = web.start_session(&session.token, remember, &device_token, &headers);
    set_cookies(response.headers_mut(), cookies);
    Ok(response)
}

fn refusal(ui: &Ui, fault: &Fault) -> String {
    fault.log();
    match (fault.reason, fault.retry_after) {
        (ErrorReason::Unauthenticated, _) => ui.t.wrong_credentials.to_owned(),
        (ErrorReason::RateLimited, Some(wait)) => {
            let minutes = i64::try_from(wait.as_secs().div_ceil(60)).unwrap_or(i64::MAX);
            ui.count(&ui.t.sign_in_throttled, &minutes)
        }
        (reason, _) => {
            let (_, text) = ui.t.fault(reason);
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::ui::tests::readers;

    #[test]
    fn the_form_keeps_the_address_and_says_what_was_wrong() {
        for ui in readers() {
            let html = SignInPage {
                ui: ui.outside(),
                email: "a@b.de\"><script>",
                remember: false,
                error: Some(ui.t.wrong_credentials),
                next: Some("/billed?q=<a>"),
            }
            .render()
            .unwrap();
            for shown in [
                "a@b.de&#34;&#62;&#60;script&#62;",
                ui.t.wrong_credentials,
                ui.t.password,
                "value=\"/billed?q=&#60;a&#62;\"",
            ] {
                assert!(html.contains(shown), "{shown} in {html}");
            }
            assert!(!html.contains(" checked"));
        }
    }
}
