//! Bodies as Better Auth reads them: JSON, in some places a form, and nothing else.

use axum::body::Body;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::answer::AuthError;
use crate::web::read_body;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// What an endpoint takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinds {
    /// JSON alone.
    Json,
    /// A form too: sign-in works from a page without scripts.
    JsonAndForm,
}

impl Kinds {
    fn words(self) -> String {
        match self {
            Self::Json => JSON.to_owned(),
            Self::JsonAndForm => format!("{FORM}, {JSON}"),
        }
    }
}

/// Reads a body; `None` is no body at all.
///
/// # Errors
/// Another content type (which is looked at before anything else), or JSON that is broken.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    kinds: Kinds,
) -> Result<Option<Value>, AuthError> {
    let bytes = read_body(body).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if kinds == Kinds::JsonAndForm && essence.eq_ignore_ascii_case(FORM) {
        let pairs = form_urlencoded::parse(&bytes).into_owned();
        let object: Map<_, _> = pairs
            .map(|(name, text)| (name, Value::String(text)))
            .collect();
        return Ok(Some(Value::Object(object)));
    }
    if !essence.eq_ignore_ascii_case(JSON) {
        return Err(unsupported(kind, kinds));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|_| {
        AuthError::new(
            StatusCode::BAD_REQUEST,
            "Invalid JSON in request body",
            "BAD_REQUEST",
        )
    })
}

fn unsupported(kind: &str, kinds: Kinds) -> AuthError {
    let problem = if kind.is_empty() {
        "Content-Type is required".to_owned()
    } else {
        format!("Content-Type \"{kind}\" is not allowed")
    };
    AuthError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        &format!("{problem}. Allowed types: {}", kinds.words()),
        "UNSUPPORTED_MEDIA_TYPE",
    )
}
