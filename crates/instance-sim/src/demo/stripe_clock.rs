//! The simulated Stripe's clock. A subscription starts when it is made: so that one started weeks ago,
//! the clock stands there while it is made.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use reqwest::Client;
use serde_json::json;

use crate::http_client;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The clock, of which a demo has the only hand.
#[derive(Debug)]
pub(super) struct StripeClock {
    client: Client,
    url: String,
}

impl StripeClock {
    pub(super) fn of(stripe_api_base: &str) -> anyhow::Result<Self> {
        Ok(Self {
            client: http_client::client(TIMEOUT)?,
            url: format!(
                "{}/_sim/clock/advance",
                stripe_api_base.trim_end_matches('/')
            ),
        })
    }

    /// Makes it this time in Stripe.
    pub(super) async fn set(&self, to: DateTime<Utc>) -> anyhow::Result<()> {
        let body = json!({ "to": to.timestamp() });
        let answer = self.client.post(&self.url).json(&body).send().await;
        answer
            .and_then(reqwest::Response::error_for_status)
            .context("the Stripe simulator's clock cannot be set")?;
        Ok(())
    }
}
