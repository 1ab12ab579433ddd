//! `/preferences`: the language and the colours of the pages, kept by the browser.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use http::HeaderMap;

use super::{
    form,
    i18n::Language,
    page::{PageError, local_address},
    ui::{LANGUAGE_COOKIE, THEME_COOKIE, Theme},
};
use crate::{rest::auth::set_cookies, web::Web};

/// A choice is kept for a year.
const KEPT_SECONDS: u32 = 365 * 24 * 60 * 60;

/// Keeps a choice, and goes back to the page that it was made on.
pub(super) async fn change(
    State(web): State<Web>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    web.check_change(&headers)?;
    let form = form::read(&web, &headers, body).await?;
    let language = form.get("language").and_then(Language::from_code);
    let theme = form.get("theme").and_then(Theme::from_word);
    let chosen = [
        (LANGUAGE_COOKIE, language.map(Language::code)),
        (THEME_COOKIE, theme.map(Theme::word)),
    ];
    let cookies = chosen.into_iter().filter_map(|(name, word)| {
        let cookie = |word| web.cookies().plain(name, word, Some(KEPT_SECONDS));
        word.map(cookie)
    });
    let back = form.get("return_to").and_then(local_address);
    let mut response = Redirect::to(back.unwrap_or("/")).into_response();
    set_cookies(response.headers_mut(), cookies.collect());
    Ok(response)
}
