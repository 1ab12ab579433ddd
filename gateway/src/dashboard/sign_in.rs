//! `/sign-in`.

use askama::Template;
use axum::{
    Extension,
    body::Body,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use billing_kit::Fault;
use billing_proto::common::v1::ErrorReason;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::page::{PageError, page};
use crate::{
    app::Credentials,
    domain::sign_in_body::SignInBody,
    rest::{answer::status_of, auth::set_cookies, query::Query},
    web::{Peer, Web, cookie_jar, origin_facts, origin_fault, read_body},
};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    email: &'a str,
    remember: bool,
    error: Option<&'a str>,
}

/// The form.
pub(super) async fn form() -> Response {
    let empty = SignInPage {
        email: "",
        remember: true,
        error: None,
    };
    page(StatusCode::OK, &empty)
}

/// Signs in and goes on to the organizations.
pub(super) async fn sign_in(
    State(web): State<Web>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    web.trusted_origins()
        .check_sign_in(&origin_facts(&headers))
        .map_err(origin_fault)?;
    let form = Query::read_form(&read_body(body).await?);
    let text = |name| form.get(name).unwrap_or_default();
    let remember = form.get("remember").is_some();
    let again = |status, error: &str| {
        let again = SignInPage {
            email: text("email"),
            remember,
            error: Some(error),
        };
        page(status, &again)
    };
    let body = json!({
        "email": text("email").trim(), "password": text("password"), "rememberMe": remember,
    });
    let SignInBody {
        email,
        password,
        remember,
        callback_url: _,
    } = match SignInBody::read(Some(&body)) {
        Ok(body) => body,
        Err(problem) => return Ok(again(StatusCode::BAD_REQUEST, &problem.message)),
    };
    let (ip_address, user_agent) = web.client(peer, &headers);
    let credentials = Credentials {
        email,
        password,
        remember,
        ip_address,
        user_agent,
    };
    let signed_in = match web.app().sign_in(credentials).await {
        Ok(signed_in) => signed_in,
        Err(fault) => return Ok(again(status_of(fault.reason), refusal(&fault))),
    };
    let mut response = Redirect::to("/").into_response();
    let cookies =
        web.cookies()
            .start_session(&signed_in.session.token, remember, &cookie_jar(&headers));
    set_cookies(response.headers_mut(), cookies);
    Ok(response)
}

fn refusal(fault: &Fault) -> &str {
    fault.log();
    if fault.reason == ErrorReason::Unauthenticated {
        "The e-mail address or the password is wrong."
    } else {
        &fault.message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_keeps_the_address_and_says_what_was_wrong() {
        let html = SignInPage {
            email: "a@b.de\"><script>",
            remember: false,
            error: Some("The e-mail address or the password is wrong."),
        }
        .render()
        .unwrap();
        assert!(html.contains("a@b.de&#34;&#62;&#60;script&#62;"), "{html}");
        assert!(html.contains("is wrong."));
        assert!(!html.contains("checked"));
    }
}
