//! Sends requests to Stripe, again where that helps, and says what became of them.
//!
//! The caller's idempotency key goes with every attempt; connections are kept; every attempt has a
//! time-out and all of them together end by the caller's deadline.

use std::{sync::Arc, time::Duration};

use billing_kit::context::RequestContext;
use bytes::{Bytes, BytesMut};
use rand::RngExt;
use reqwest::{
    Client, Method, Response,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
};
use secrecy::ExposeSecret;
use stripe_client_core::{
    CustomizedStripeRequest, RequestBuilder, RequestStrategy, StripeClient, StripeClientErr,
    StripeMethod, VERSION,
};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    config::StripeAccess,
    domain::{ids::IdempotencyKey, refusal::Refusal},
    stripe::{
        pace::Pace,
        unknown::{Unknown, UnknownKind},
        verdict::{Head, Verdict, judge},
    },
};

/// How long one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(90);
/// The largest body that is read, in bytes. A page of 100 subscriptions stays well below.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The pause after the first failure is up to this, and up to twice as much after each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(4);
/// How long a read may take, its repetitions included.
const READ_TOTAL_MAX: Duration = Duration::from_secs(20);
const READ_ATTEMPTS_MAX: u32 = 4;

/// How often and how long a request may be tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) attempts_max: u32,
    pub(crate) deadline: Instant,
}

impl Budget {
    /// At most `attempts_max` attempts within `limit`, and within what the caller of the request
    /// that is being served allows.
    pub(crate) fn within(limit: Duration, attempts_max: u32) -> Self {
        Self {
            attempts_max,
            deadline: Instant::now() + RequestContext::current().time_left(limit),
        }
    }

    pub(super) fn for_reads() -> Self {
        Self::within(READ_TOTAL_MAX, READ_ATTEMPTS_MAX)
    }
}

/// Stripe's success, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) body: Bytes,
    pub(crate) request_id: Option<String>,
}

/// Stripe's word on a request. `Done` and `Refused` are both final.
#[derive(Debug)]
pub(crate) enum Answer {
    Done(Reply),
    Refused {
        refusal: Refusal,
        /// Whether this is an earlier answer that Stripe saved under the idempotency key.
        is_replay: bool,
    },
}

/// Why a typed request brought no object.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    #[error("Stripe refused: {} ({})", .0.message, .0.code)]
    Refused(Refusal),
    #[error(transparent)]
    Unknown(#[from] Unknown),
}

impl StripeClientErr for ReadError {
    fn deserialize_err(msg: impl std::fmt::Display) -> Self {
        let message = format!("Stripe's answer cannot be read: {msg}.");
        Unknown::new(UnknownKind::Unreadable, "unreadable_answer", message).into()
    }
}

impl From<ReadError> for Unknown {
    /// For reads that Stripe has no reason to refuse: then the fault is in how we ask.
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unknown(unknown) => unknown,
            ReadError::Refused(refusal) => Self {
                request_id: refusal.request_id,
                ..Self::new(UnknownKind::Ours, &refusal.code, refusal.message)
            },
        }
    }
}

/// The connections to Stripe.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    http: Client,
    /// Ends with a slash.
    base: String,
    headers: HeaderMap,
    pace: Arc<Pace>,
}

impl Transport {
    /// Connects when it is first used.
    ///
    /// # Errors
    /// The client cannot be built, or the key is no text for a header.
    pub(crate) fn new(access: &StripeAccess, connections_max: usize) -> Result<Self, String> {
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", access.secret_key.expose_secret()))
                .map_err(|_| {
                    "STRIPE_SECRET_KEY has characters that a key cannot have.".to_owned()
                })?;
        authorization.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization);
        // The version that async-stripe's requests are of, whatever the account's default.
        let version = HeaderValue::from_str(VERSION.as_str()).map_err(|error| error.to_string())?;
        headers.insert("stripe-version", version);
        let http = Client::builder()
            .user_agent(concat!("VaultAI-Billing/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls()?)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(connections_max)
            .pool_idle_timeout(IDLE_CONNECTION_MAX)
            .tcp_nodelay(true)
            // A redirected POST would carry the key to whoever was named.
            .redirect(reqwest::redirect::Policy::none())
            // Here alone is decided what is sent again.
            .retry(reqwest::retry::never());
        // A proxy of the environment is for the internet, not for a simulator beside us.
        let http = if access.is_local() {
            http.no_proxy()
        } else {
            http
        };
        Ok(Self {
            http: http.build().map_err(|error| error.to_string())?,
            base: access.api_base.to_string(),
            headers,
            pace: Arc::new(Pace::new(access.rates)),
        })
    }

    /// Sends a request until its outcome is known or the budget is used up.
    ///
    /// # Errors
    /// The outcome is not known.
    pub(crate) async fn send(
        &self,
        request: &RequestBuilder,
        key: Option<&IdempotencyKey>,
        budget: Budget,
    ) -> Result<Answer, Unknown> {
        let mut attempt = 1;
        let mut known = None;
        loop {
            if !self.pace.turn(request, budget.deadline).await {
                return Err(known.unwrap_or_else(no_turn));
            }
            let (unknown, repeat) = match self.attempt(request, key, budget.deadline).await {
                Attempt::Answered(answer) => return Ok(answer),
                Attempt::Unknown { unknown, repeat } => (unknown, repeat),
            };
            let pause = pause(attempt, unknown.retry_after);
            let has_time = Instant::now() + pause < budget.deadline;
            let again = repeat && attempt < budget.attempts_max && has_time;
            tracing::warn!(
                path = %request.path,
                attempt,
                again,
                kind = ?unknown.kind,
                code = %unknown.code,
                stripe_request_id = unknown.request_id,
                "the outcome of a request to Stripe is not known"
            );
            if !again {
                return Err(unknown);
            }
            known = Some(unknown);
            sleep(pause).await;
            attempt += 1;
        }
    }

    async fn attempt(
        &self,
        request: &RequestBuilder,
        key: Option<&IdempotencyKey>,
        deadline: Instant,
    ) -> Attempt {
        let started = Instant::now();
        let until = deadline.min(started + ATTEMPT_TIMEOUT);
        let answer = match timeout_at(until, self.exchange(request, key)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return no_answer("connection_failed", &error),
            Err(_elapsed) => return no_answer("timeout", &"it did not answer in time"),
        };
        let (head, body) = answer;
        tracing::debug!(
            path = %request.path,
            status = head.status,
            stripe_request_id = head.request_id,
            is_replay = head.is_replay,
            elapsed_ms = started.elapsed().as_millis(),
            "Stripe answered"
        );
        match judge(&head, &body) {
            Verdict::Done => Attempt::Answered(Answer::Done(Reply {
                body,
                request_id: head.request_id,
            })),
            Verdict::Refused(refusal) => Attempt::Answered(Answer::Refused {
                refusal,
                is_replay: head.is_replay,
            }),
            Verdict::Unknown { unknown, repeat } => Attempt::Unknown { unknown, repeat },
        }
    }

    async fn exchange(
        &self,
        request: &RequestBuilder,
        key: Option<&IdempotencyKey>,
    ) -> Result<(Head, Bytes), String> {
        let method = match request.method {
            StripeMethod::Get => Method::GET,
            StripeMethod::Post => Method::POST,
            StripeMethod::Delete => Method::DELETE,
        };
        let query = request.query.as_deref().map(|query| format!("?{query}"));
        // What is of the second version of the API says so itself.
        let path = match request.path.strip_prefix("/v2/") {
            Some(rest) => format!("v2/{rest}"),
            None => format!("v1{}", request.path),
        };
        let url = format!("{}{path}{}", self.base, query.unwrap_or_default());
        let mut http = self.http.request(method, url).headers(self.headers.clone());
        if let Some(key) = key {
            http = http.header("idempotency-key", key.as_str());
        }
        if let Some(body) = &request.body {
            http = http
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(body.clone());
        }
        // A URL may hold a customer's e-mail address, and this text is logged.
        let told = |error: reqwest::Error| chain(&error.without_url());
        let response = http.send().await.map_err(told)?;
        let head = head_of(&response);
        Ok((head, body_of(response).await?))
    }
}

impl StripeClient for Transport {
    type Err = ReadError;

    /// Reads, and whatever else needs no stored row. The caller's key is kept over all attempts; a
    /// request without one must be harmless to repeat.
    async fn execute(&self, req: CustomizedStripeRequest) -> Result<Bytes, ReadError> {
        let (request, overrides) = req.into_pieces();
        let key = match &overrides.request_strategy {
            Some(RequestStrategy::Idempotent(key)) => Some(IdempotencyKey::new(key.as_str())),
            // How often it is tried is the budget's business here.
            Some(
                RequestStrategy::Once
                | RequestStrategy::Retry(_)
                | RequestStrategy::ExponentialBackoff(_),
            )
            | None => None,
        };
        match self
            .send(&request, key.as_ref(), Budget::for_reads())
            .await?
        {
            Answer::Done(reply) => Ok(reply.body),
            Answer::Refused { refusal, .. } => Err(ReadError::Refused(refusal)),
        }
    }
}

enum Attempt {
    Answered(Answer),
    Unknown { unknown: Unknown, repeat: bool },
}

fn no_answer(code: &str, what: &dyn std::fmt::Display) -> Attempt {
    let message = format!("Stripe cannot be reached: {what}.");
    Attempt::Unknown {
        unknown: Unknown::new(UnknownKind::NoAnswer, code, message),
        repeat: true,
    }
}

/// Nothing was sent: the calls before this one take all the time that its caller has.
fn no_turn() -> Unknown {
    let message = "The limit on calls to Stripe left no time for this request.";
    Unknown::new(UnknownKind::Later, "own_rate_limit", message)
}

/// How long to wait after this attempt. What Stripe asks for is the least; a random share of the
/// back-off is added to it, so that requests that failed together do not come back together.
fn pause(attempt: u32, retry_after: Option<Duration>) -> Duration {
    let ceiling = pause_ceiling(attempt);
    let jitter = rand::rng().random_range(Duration::ZERO..=ceiling);
    retry_after.unwrap_or_default() + jitter
}

fn pause_ceiling(attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    PAUSE_FIRST.saturating_mul(1 << doublings).min(PAUSE_MAX)
}

fn head_of(response: &Response) -> Head {
    let text = |name: &str| response.headers().get(name)?.to_str().ok();
    Head {
        status: response.status().as_u16(),
        request_id: text("request-id").map(str::to_owned),
        should_retry: match text("stripe-should-retry") {
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(_) | None => None,
        },
        // Stripe counts in seconds; a date, which HTTP also allows, is not used by it.
        retry_after: text(RETRY_AFTER.as_str())
            .and_then(|seconds| seconds.trim().parse().ok())
            .map(Duration::from_secs),
        is_replay: text("idempotent-replayed") == Some("true"),
    }
}

/// Reads the body to its end, which is also what frees the connection for the next request.
async fn body_of(mut response: Response) -> Result<Bytes, String> {
    let mut body = BytesMut::new();
    let told = |error: reqwest::Error| chain(&error.without_url());
    while let Some(part) = response.chunk().await.map_err(told)? {
        if body.len() + part.len() > BODY_BYTES_MAX {
            return Err("its answer is too large".to_owned());
        }
        body.extend_from_slice(&part);
    }
    Ok(body.freeze())
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// rustls with ring and Mozilla's roots, whatever the machine has installed.
fn tls() -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let provider = rustls::crypto::ring::default_provider();
    let config = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_never_undercut_stripes_word() {
        let ms: Vec<_> = (1..=7).map(|n| pause_ceiling(n).as_millis()).collect();
        assert_eq!(ms, [250, 500, 1000, 2000, 4000, 4000, 4000]);
        for _ in 0..100 {
            let asked = Duration::from_secs(3);
            let pause = pause(1, Some(asked));
            assert!(pause >= asked && pause <= asked + PAUSE_FIRST, "{pause:?}");
        }
    }
}
