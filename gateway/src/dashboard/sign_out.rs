//! `/sign-out`.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use http::HeaderMap;

use super::{
    form,
    page::{PageError, SIGN_IN},
};
use crate::{
    rest::auth::set_cookies,
    web::{Web, cookie_jar},
};

/// Ends the session and goes back to the sign-in.
pub(super) async fn sign_out(
    State(web): State<Web>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    web.check_change(&headers)?;
    form::read(&web, &headers, body).await?;
    let jar = cookie_jar(&headers);
    for token in web.cookies().session_tokens(&jar) {
        web.app().sign_out(&token).await?;
    }
    let mut response = Redirect::to(SIGN_IN).into_response();
    set_cookies(response.headers_mut(), web.cookies().end_session(&jar));
    Ok(response)
}
