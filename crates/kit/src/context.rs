//! What travels with a request through every service: its id, its trace and its deadline.
//!
//! The server stack reads it from the headers and keeps it for the length of the call; the client
//! stack writes it to whatever is called meanwhile. A spawned task carries it on with
//! [`RequestContext::scope`].

use std::{
    future::Future,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::HeaderMap;
use rand::RngExt;
use tokio::time::Instant;
use uuid::Uuid;

/// The header and metadata key of the request id.
pub const REQUEST_ID: &str = "x-request-id";
/// The header and metadata key of the W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// The metadata key of the address that the request came from. The gateway writes it, over whatever a
/// client sent; between services it is believed like everything else that a service says.
pub const CLIENT_ADDRESS: &str = "x-client-address";

const REQUEST_ID_LEN_MAX: usize = 64;

tokio::task_local! {
    static CURRENT: RequestContext;
}

/// The id, trace and deadline of a request.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// Names the request in every log line and in its answer.
    pub request_id: String,
    /// The trace: 32 hexadecimal digits.
    pub trace_id: String,
    /// Whether the caller records the trace.
    sampled: bool,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// Where the request came from, before it reached the first of our services.
    pub client_address: Option<IpAddr>,
    /// The API key that a verified admin assertion names.
    api_key_id: Arc<OnceLock<Uuid>>,
}

impl RequestContext {
    /// A new context, for work that no request asked for.
    pub fn fresh() -> Self {
        let trace_id = hex128();
        Self {
            request_id: trace_id.clone(),
            trace_id,
            sampled: false,
            deadline: None,
            client_address: None,
            api_key_id: Arc::new(OnceLock::new()),
        }
    }

    /// The context that the headers carry; what is missing or malformed is made new.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut context = Self::fresh();
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some((trace_id, sampled)) = text(TRACEPARENT).and_then(parse_traceparent) {
            trace_id.clone_into(&mut context.trace_id);
            trace_id.clone_into(&mut context.request_id);
            context.sampled = sampled;
        }
        if let Some(id) = Self::caller_request_id(headers) {
            id.clone_into(&mut context.request_id);
        }
        if let Some(timeout) = text("grpc-timeout").and_then(parse_grpc_timeout) {
            context.deadline = Instant::now().checked_add(timeout);
        }
        context.client_address = text(CLIENT_ADDRESS).and_then(|address| address.parse().ok());
        context
    }

    /// The context of a request from outside. Its id is ours: whoever chose it could pass one request
    /// off as another in the log and in the audit trail. The trace is taken, as W3C has it.
    pub fn from_public_headers(headers: &HeaderMap) -> Self {
        let request_id = Self::fresh().request_id;
        Self {
            request_id,
            ..Self::from_headers(headers)
        }
    }

    /// The id that the caller gave the request, if it is in a form that may stand in a log.
    pub fn caller_request_id(headers: &HeaderMap) -> Option<&str> {
        headers
            .get(REQUEST_ID)
            .and_then(|value| value.to_str().ok())
            .filter(|id| is_request_id(id))
    }

    /// The context of the request that is being served, or a fresh one outside of any.
    pub fn current() -> Self {
        CURRENT
            .try_with(Clone::clone)
            .unwrap_or_else(|_| Self::fresh())
    }

    /// The API key on whose behalf the request is served; known once its assertion was verified.
    pub fn api_key_id(&self) -> Option<Uuid> {
        self.api_key_id.get().copied()
    }

    /// Notes the API key that the request's assertion names, for the audit trail.
    pub(crate) fn note_api_key(&self, id: Uuid) {
        // A request has one assertion, however often it is verified.
        let _noted_before = self.api_key_id.set(id);
    }

    /// Runs a future within this context.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// The `traceparent` of a call made from here: the same trace, a new parent.
    pub fn traceparent(&self) -> String {
        let parent = rand::rng().random_range(1..=u64::MAX);
        format!(
            "00-{}-{parent:016x}-{:02x}",
            self.trace_id,
            u8::from(self.sampled)
        )
    }

    /// The time that is left, at most `limit`.
    pub fn time_left(&self, limit: Duration) -> Duration {
        match self.deadline {
            Some(deadline) => deadline
                .saturating_duration_since(Instant::now())
                .min(limit),
            None => limit,
        }
    }
}

fn hex128() -> String {
    format!("{:032x}", rand::rng().random_range(1..=u128::MAX))
}

fn is_request_id(text: &str) -> bool {
    (1..=REQUEST_ID_LEN_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn parse_traceparent(text: &str) -> Option<(&str, bool)> {
    let mut parts = text.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, len| {
        part.len() == len
            && part
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let known = hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
    let valid = known && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    let zero = trace.bytes().all(|b| b == b'0') || parent.bytes().all(|b| b == b'0');
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
    (valid && !zero).then_some((trace, sampled))
}

fn parse_grpc_timeout(text: &str) -> Option<Duration> {
    const DIGITS_MAX: usize = 8;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok().filter(|_| digits.len() <= DIGITS_MAX)?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn the_trace_is_carried_on_under_a_new_parent() {
        let mut headers = HeaderMap::new();
        let sent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        headers.insert(TRACEPARENT, sent.parse().unwrap());
        let next = RequestContext::from_headers(&headers).traceparent();
        assert!(
            next.starts_with(&format!("00-{TRACE}-")) && next.ends_with("-01"),
            "{next}"
        );
        assert_ne!(next, sent);
    }

    #[test]
    fn what_is_malformed_is_made_new() {
        for bad in [
            "",
            "00-0-0-0",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parse_traceparent(bad), None, "{bad}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(
            REQUEST_ID,
            "a b\u{7f}"
                .parse()
                .unwrap_or(http::HeaderValue::from_static("a b")),
        );
        assert_ne!(RequestContext::from_headers(&headers).request_id, "a b");
    }

    #[test]
    fn from_outside_the_id_is_ours_and_the_trace_the_callers() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, "chosen-by-a-stranger".parse().unwrap());
        let sent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        headers.insert(TRACEPARENT, sent.parse().unwrap());
        let context = RequestContext::from_public_headers(&headers);
        assert_eq!(context.trace_id, TRACE);
        assert!(!["chosen-by-a-stranger", TRACE].contains(&&*context.request_id));
        let caller = RequestContext::caller_request_id(&headers);
        assert_eq!(caller, Some("chosen-by-a-stranger"));
        let between_services = RequestContext::from_headers(&headers);
        assert_eq!(between_services.request_id, "chosen-by-a-stranger");
    }

    #[test]
    fn a_grpc_timeout_has_a_unit() {
        assert_eq!(parse_grpc_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_grpc_timeout("5"), None);
        assert_eq!(parse_grpc_timeout("999999999S"), None);
    }
}
