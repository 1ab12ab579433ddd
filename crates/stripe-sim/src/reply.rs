//! Answers on their way out, and the ways in which they do not arrive.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};

use crate::errors::Refusal;
use crate::faults::FaultResponse;
use crate::idempotency::Saved;

/// Lets the first half of a cut body leave before the connection closes.
const CUT_AFTER: Duration = Duration::from_millis(20);

pub(crate) type Body = BoxBody<Bytes, io::Error>;

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped on purpose")]
pub(crate) struct Dropped;

#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    pub(crate) cut: bool,
}

impl Reply {
    pub(crate) fn json(status: u16, value: &Value) -> Self {
        let body = Bytes::from(serde_json::to_vec(value).unwrap_or_default());
        Self {
            status,
            headers: Vec::new(),
            body,
            cut: false,
        }
    }

    pub(crate) fn refusal(refusal: &Refusal, request_id: &str) -> Self {
        let reply = Self::json(refusal.status, &refusal.to_body(request_id));
        match refusal.status {
            401 => reply.with(WWW_AUTHENTICATE.as_str(), "Bearer realm=\"Stripe\""),
            _ => reply,
        }
    }

    pub(crate) fn replayed(saved: &Saved) -> Self {
        let body = Bytes::from(saved.body.clone());
        Self {
            status: saved.status,
            headers: Vec::new(),
            body,
            cut: false,
        }
        .with("idempotent-replayed", "true")
        .with("original-request", &saved.request_id)
    }

    /// A fault's answer.
    pub(crate) fn injected(response: &FaultResponse, request_id: &str) -> Self {
        let usual = match response.status {
            401 => Refusal::unauthorized("Invalid API Key provided."),
            409 => Refusal::key_in_use("simulated"),
            429 => Refusal::rate_limited(),
            status if status >= 500 => Refusal::server_error(status),
            _ => Refusal::refused(None, None, "A refusal was asked for."),
        };
        let body = match &response.error {
            Some(error) => json!({ "error": error }),
            None => usual.to_body(request_id),
        };
        let mut reply = Self::json(response.status, &body);
        if response.status == 429 && response.error.is_none() {
            reply = reply.with("stripe-rate-limited-reason", "global-rate");
        }
        if let Some(seconds) = response.retry_after_s {
            reply = reply.with(RETRY_AFTER.as_str(), &seconds.to_string());
        }
        for (name, value) in &response.headers {
            reply = reply.with(name, value);
        }
        reply
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let length = self.body.len();
        let body = if self.cut {
            let half = self.body.slice(..length / 2);
            let start = stream::once(async { Ok(Frame::data(half)) });
            let end = stream::once(async {
                tokio::time::sleep(CUT_AFTER).await;
                Err(io::Error::other(Dropped))
            });
            BodyExt::boxed(StreamBody::new(start.chain(end)))
        } else {
            BodyExt::boxed(Full::new(self.body).map_err(|never| match never {}))
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or_default();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        for (name, value) in self.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
                headers.insert(name, value);
            }
        }
        response
    }
}
