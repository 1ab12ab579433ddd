//! Bodies as Better Auth reads them: JSON or a form, and nothing else.

use axum::body::Body;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::answer::AuthError;
use crate::web::read_body;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// Reads a body; `None` is no body at all.
///
/// # Errors
/// Another content type (which is looked at before anything else), or JSON that is broken.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Option<Value>, AuthError> {
    let bytes = read_body(body).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(FORM) {
        let pairs = form_urlencoded::parse(&bytes).into_owned();
        let object: Map<_, _> = pairs
            .map(|(name, text)| (name, Value::String(text)))
            .collect();
        return Ok(Some(Value::Object(object)));
    }
    if !essence.eq_ignore_ascii_case(JSON) {
        return Err(unsupported(kind));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|_| {
        AuthError::new(
            StatusCode::BAD_REQUEST,
            "Invalid JSON in request body",
            "BAD_REQUEST",
        )
    })
}

fn unsupported(kind: &str) -> AuthError {
    let problem = if kind.is_empty() {
        "Content-Type is required".to_owned()
    } else {
        format!("Content-Type \"{kind}\" is not allowed")
    };
    AuthError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        &format!("{problem}. Allowed types: {FORM}, {JSON}"),
        "UNSUPPORTED_MEDIA_TYPE",
    )
}
