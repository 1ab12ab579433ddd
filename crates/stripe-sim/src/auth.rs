//! Who may call: the account's secret key, as a bearer token or as the user name of Basic.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret as _, SecretString};

use crate::errors::Refusal;

/// Characters of a wrong key that its error shows, at either end.
const SHOWN_CHARS: usize = 4;

pub(crate) fn check(headers: &HeaderMap, secret_key: &SecretString) -> Result<(), Refusal> {
    let key = sent_key(headers).filter(|key| !key.is_empty()).ok_or_else(|| {
        Refusal::unauthorized(
            "You did not provide an API key. You need to provide your API key in the Authorization \
             header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
        )
    })?;
    if key == secret_key.expose_secret() {
        Ok(())
    } else {
        Err(Refusal::unauthorized(format!(
            "Invalid API Key provided: {}",
            masked(&key)
        )))
    }
}

fn sent_key(headers: &HeaderMap) -> Option<String> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(credentials.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(credentials.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split(':').next().map(str::to_owned)
}

fn masked(key: &str) -> String {
    let length = key.chars().count();
    let hidden = length.saturating_sub(SHOWN_CHARS);
    let shown: String = key.chars().skip(hidden).collect();
    if length <= SHOWN_CHARS * 2 {
        "*".repeat(length)
    } else {
        format!("{}{shown}", "*".repeat(hidden))
    }
}
