//! Forms: each carries a token that only a page of ours can have put into it.
//!
//! The token is a signature over a random number that the browser keeps in a cookie, and over the
//! session where there is one. Another site can have a browser send a form, cookies and all, and can
//! not know the token.

use axum::body::Body;
use billing_kit::Ids;
use http::HeaderMap;

use super::page::PageError;
use crate::{
    domain::session_cookie::CookieJar,
    rest::query::Query,
    web::{Web, cookie_jar, read_body},
};

/// The form's field.
const FIELD: &str = "form_token";
/// The cookie of the random number.
const COOKIE: &str = "billing.form";
/// Two of our ids, without hyphens: 148 random bits.
const NUMBER_CHARS: usize = 64;

/// The browser's random number.
#[derive(Debug)]
pub(super) struct Number {
    text: String,
    is_new: bool,
}

impl Number {
    /// The one that the browser has, or a new one.
    pub(super) fn of(jar: &CookieJar<'_>, ids: &Ids) -> Self {
        match kept(jar) {
            Some(text) => Self {
                text: text.to_owned(),
                is_new: false,
            },
            None => Self {
                text: format!("{}{}", ids.next().simple(), ids.next().simple()),
                is_new: true,
            },
        }
    }

    /// The cookie to set, where the browser has none.
    pub(super) fn cookie(&self, web: &Web) -> Option<String> {
        self.is_new
            .then(|| web.cookies().plain(COOKIE, &self.text, None))
    }

    /// The token for this browser's forms. Of several sessions it is bound to the first.
    pub(super) fn token(&self, web: &Web, headers: &HeaderMap) -> String {
        let sessions = web.cookies().session_tokens(&cookie_jar(headers));
        web.cookies().form_token(&self.text, sessions.first())
    }
}

fn kept<'a>(jar: &CookieJar<'a>) -> Option<&'a str> {
    jar.get(COOKIE).filter(|text| {
        text.len() == NUMBER_CHARS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Reads a form that a page of ours sent.
///
/// # Errors
/// The body cannot be read, or its token is not ours.
pub(super) async fn read(web: &Web, headers: &HeaderMap, body: Body) -> Result<Query, PageError> {
    let form = Query::read_form(&read_body(body).await?);
    let jar = cookie_jar(headers);
    let sessions = web.cookies().session_tokens(&jar);
    let shown = form.get(FIELD).unwrap_or_default();
    let is_ours = kept(&jar)
        .is_some_and(|number| web.cookies().is_form_token(shown, number, sessions.first()));
    if is_ours {
        Ok(form)
    } else {
        Err(PageError::StaleForm)
    }
}
