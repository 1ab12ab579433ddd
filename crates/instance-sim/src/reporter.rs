//! Sends a report until it is answered.
//!
//! One report is one body: it is written once and sent again as it is, so that the billing service
//! recognizes it, however many attempts it takes.
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Bytes;
use rand::Rng as _;
use reqwest::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};

use crate::report::{ReportAnswer, UsageReport};
use crate::retry::{RetryPolicy, parse_retry_after};
use crate::signing::SigningKey;
use crate::{http_client, now, target};

/// The token that all instances share, hard-coded as the specification asks.
pub const BILLING_API_TOKEN: &str =
    "vaultai_universal_billing_api_2024_production_key_XyZ9mP2nQ7wK";

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer that are kept for a message.
const MAX_DETAIL_BYTES: usize = 500;

/// How a report ended.
#[derive(Debug)]
pub enum Outcome {
    /// It is recorded.
    Recorded {
        /// The answer.
        answer: ReportAnswer,
        /// How many attempts it took.
        attempts: u32,
    },
    /// The service answered that it will not have it. Sending it again would not help.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The answer's body, cut to a readable length.
        detail: String,
    },
    /// The attempts are used up. Whether it is recorded is not known.
    GaveUp {
        /// How many attempts were made.
        attempts: u32,
        /// What went wrong last.
        last: String,
    },
}

/// Reports to one billing service.
#[derive(Debug, Clone)]
pub struct Reporter {
    client: Client,
    url: Url,
    headers: HeaderMap,
    policy: RetryPolicy,
    key: Option<SigningKey>,
}

/// What one attempt came to.
enum Attempt {
    Over(Outcome),
    Again {
        retry_after: Option<Duration>,
        what: String,
    },
}

impl Reporter {
    /// Makes a reporter for the service at `billing_url`. Nothing is connected yet.
    pub fn new(
        billing_url: &str,
        token: &SecretString,
        policy: RetryPolicy,
    ) -> anyhow::Result<Self> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
            .context("the billing token holds characters that no header can")?;
        authorization.set_sensitive(true);
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, authorization),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        ]);
        let client = http_client::client(REQUEST_TIMEOUT)?;
        let url = format!("{}/api/usage-report", target::base_url(billing_url)?);
        let url = Url::parse(&url).context("the billing service's address is no URL")?;
        Ok(Self {
            client,
            url,
            headers,
            policy,
            key: None,
        })
    }

    /// Signs what it sends with this key.
    #[must_use]
    pub fn signing_with(mut self, key: Option<SigningKey>) -> Self {
        self.key = key;
        self
    }

    /// Sends the report until it is answered for good, or the attempts are used up.
    pub async fn report(&self, report: &UsageReport) -> anyhow::Result<Outcome> {
        let body = serde_json::to_vec(report).context("cannot write the report as JSON")?;
        Ok(self.send(Bytes::from(body), None).await)
    }

    /// The same for a body that is written already. `forwarded_for` is the address that a proxy
    /// would name: only a billing service that trusts us as a proxy looks at it.
    pub async fn send(&self, body: Bytes, forwarded_for: Option<HeaderValue>) -> Outcome {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (retry_after, what) = match self.attempt(&body, forwarded_for.as_ref()).await {
                Attempt::Over(Outcome::Recorded {
                    answer,
                    attempts: _,
                }) => {
                    return Outcome::Recorded { answer, attempts };
                }
                Attempt::Over(outcome) => return outcome,
                Attempt::Again { retry_after, what } => (retry_after, what),
            };
            let Some(wait) = self
                .policy
                .wait(attempts, retry_after, rand::rng().next_u64())
            else {
                return Outcome::GaveUp {
                    attempts,
                    last: what,
                };
            };
            tracing::debug!(
                attempts,
                wait_ms = wait.as_millis(),
                "{what}; sending it again"
            );
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&self, body: &Bytes, forwarded_for: Option<&HeaderValue>) -> Attempt {
        let mut request = self
            .client
            .post(self.url.clone())
            .headers(self.headers.clone())
            .body(body.clone());
        if let Some(key) = &self.key {
            // The time of the signature is that of the attempt.
            for (name, value) in key.headers(body, now()) {
                request = request.header(name, value);
            }
        }
        if let Some(address) = forwarded_for {
            request = request.header(HeaderName::from_static("x-forwarded-for"), address);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                return Attempt::Again {
                    retry_after: None,
                    what: causes(&error),
                };
            }
        };
        let status = response.status();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| parse_retry_after(value.to_str().ok()?, now()));
        // A body that is cut off leaves it unknown whether the report was recorded, like no answer.
        let answer = match response.bytes().await {
            Ok(answer) => answer,
            Err(error) => {
                return Attempt::Again {
                    retry_after,
                    what: causes(&error),
                };
            }
        };
        conclude(status, retry_after, &answer)
    }
}

fn conclude(status: StatusCode, retry_after: Option<Duration>, body: &Bytes) -> Attempt {
    let detail = || {
        let cut = body.get(..MAX_DETAIL_BYTES).unwrap_or(body);
        String::from_utf8_lossy(cut).into_owned()
    };
    if status.is_success() {
        return match serde_json::from_slice::<ReportAnswer>(body) {
            Ok(answer) => Attempt::Over(Outcome::Recorded {
                answer,
                attempts: 1,
            }),
            Err(_) => Attempt::Over(Outcome::Refused {
                status: status.as_u16(),
                detail: format!("not the documented answer: {}", detail()),
            }),
        };
    }
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        return Attempt::Again {
            retry_after,
            what: format!("HTTP {status}: {}", detail()),
        };
    }
    Attempt::Over(Outcome::Refused {
        status: status.as_u16(),
        detail: detail(),
    })
}

/// An error with its causes, in one line.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
