//! The simulator's control plane and, as Stripe's own customer would, its API.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::schedule::{Disorder, Mischief};

/// The key that the simulator takes.
pub(crate) const SECRET_KEY: &str = "sk_test_local";
/// What it signs its webhooks with.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_local";
/// Stripe's first wait after a failed delivery is five minutes: by this much shorter here.
const RETRIES_FASTER: u32 = 600;
/// How long the last deliveries may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(8);
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub(crate) struct Stripe {
    client: reqwest::Client,
    base: String,
}

impl Stripe {
    pub(crate) fn at(port: u16) -> anyhow::Result<Self> {
        Ok(Self {
            client: instance_sim::http_client::client(TIMEOUT)?,
            base: format!("http://127.0.0.1:{port}"),
        })
    }

    pub(crate) async fn misbehave(
        &self,
        route: &str,
        mischief: Mischief,
        calls: u32,
        ms: u64,
    ) -> anyhow::Result<()> {
        let fault = match mischief {
            Mischief::TimeoutAfter => json!({ "timeout_after": { "hang_ms": ms } }),
            Mischief::TimeoutBefore => json!({ "timeout_before": { "hang_ms": ms } }),
            Mischief::Refuse => json!({ "refuse": true }),
            Mischief::Conflict => json!({ "respond": { "status": 409 } }),
            Mischief::TooMany => json!({ "respond": { "status": 429, "retry_after_s": 1 } }),
            Mischief::FailBefore => json!({ "respond": { "status": 500 } }),
            Mischief::FailAfter => json!({ "respond": { "status": 500, "after_effect": true } }),
            Mischief::CutBody => json!({ "cut_body": true }),
            Mischief::Slow => json!({ "delay_ms": ms }),
        };
        let mut fault = fault;
        if let Some(fields) = fault.as_object_mut() {
            fields.insert("route".to_owned(), route.into());
            fields.insert("count".to_owned(), calls.into());
        }
        self.post("/_sim/faults", &fault).await.map(drop)
    }

    pub(crate) async fn behave(&self) -> anyhow::Result<()> {
        let url = format!("{}/_sim/faults", self.base);
        self.client.delete(url).send().await?.error_for_status()?;
        Ok(())
    }

    pub(crate) async fn deliver_webhooks(&self, disorder: Disorder) -> anyhow::Result<()> {
        let Disorder {
            twice_percent,
            lost_percent,
            late,
            shuffled,
        } = disorder;
        let settings = json!({
            "duplicate": share(twice_percent)?,
            "drop": share(lost_percent)?,
            "delay_ms": [0, u64::try_from(late.as_millis())?],
            "shuffle": shuffled,
            "retry_speedup": RETRIES_FASTER,
        });
        self.post("/_sim/webhooks", &settings).await.map(drop)
    }

    /// Makes the deliveries that wait, and says how many still do: those that failed once more.
    pub(crate) async fn flush_webhooks(&self) -> anyhow::Result<u64> {
        let timeout_ms = u64::try_from(FLUSH_TIMEOUT.as_millis())?;
        let body = json!({ "all": true, "timeout_ms": timeout_ms });
        let answer = self.post("/_sim/webhooks/flush", &body).await?;
        let waiting = answer.get("waiting").and_then(Value::as_u64);
        waiting.context("a flush tells what waits")
    }

    /// Signatures carry the real time, as do the clocks of those who check them; these are ahead of
    /// the machine's.
    pub(crate) async fn sign_ahead(&self, seconds: i64) -> anyhow::Result<()> {
        let settings = json!({ "signature_skew_s": seconds });
        self.post("/_sim/webhooks", &settings).await.map(drop)
    }

    pub(crate) async fn advance(&self, seconds: u64) -> anyhow::Result<()> {
        self.post("/_sim/clock/advance", &json!({ "seconds": seconds }))
            .await
            .map(drop)
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.client.post(format!("{}{path}", self.base)).json(body);
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        anyhow::ensure!(status.is_success(), "the simulator answers {path}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Everything that it has taken in, but for these lists.
    pub(crate) async fn ledger(&self, omitted: &str) -> anyhow::Result<Value> {
        let url = format!("{}/_sim/ledger?omit={omitted}", self.base);
        let response = self.client.get(url).send().await?.error_for_status()?;
        Ok(response.json().await?)
    }

    /// What a person does in Stripe's own dashboard.
    pub(crate) async fn by_hand(
        &self,
        method: Method,
        path: &str,
        form: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let request = self.client.request(method, format!("{}{path}", self.base));
        let request = request.bearer_auth(SECRET_KEY).form(form);
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// What a meter counts of a customer, day by day.
    pub(crate) async fn summaries(
        &self,
        meter: &str,
        customer: &str,
        days: std::ops::Range<i64>,
    ) -> anyhow::Result<Vec<(i64, String)>> {
        const DAY_S: i64 = 86_400;
        let url = format!("{}/v1/billing/meters/{meter}/event_summaries", self.base);
        let request = self.client.get(url).bearer_auth(SECRET_KEY).query(&[
            ("customer", customer.to_owned()),
            ("start_time", (days.start * DAY_S).to_string()),
            ("end_time", (days.end * DAY_S).to_string()),
            ("value_grouping_window", "day".to_owned()),
            ("limit", "100".to_owned()),
        ]);
        let answer: Value = request.send().await?.error_for_status()?.json().await?;
        let list = answer.get("data").and_then(Value::as_array);
        let list = list.context("summaries are no list")?;
        let day = |it: &Value| {
            let start = it.get("start_time")?.as_i64()?;
            let value = it.get("aggregated_value")?;
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            Some((start / DAY_S, value))
        };
        list.iter()
            .map(|it| day(it).context("a summary has no start or value"))
            .collect()
    }
}

/// A percentage as the simulator wants it.
fn share(percent: u8) -> anyhow::Result<f64> {
    Ok(format!("0.{percent:02}").parse()?)
}
