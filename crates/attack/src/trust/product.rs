//! The product's doors, as an instance, an admin and Stripe use them.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Utc};
use reqwest::{Client, Method, StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::flood::ordinary::{TOKEN, sign_in};
use crate::target::Target;

const PATIENCE: Duration = Duration::from_secs(15);
/// How long the product may take to deliver what it took.
const DELIVERY_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// An organization of the attack.
pub(super) struct Victim {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) customer: String,
}

impl Victim {
    fn host(&self) -> String {
        format!("{}.vaultai.example", self.id.simple())
    }
}

/// How a report was answered.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn is_recorded(&self) -> bool {
        self.status == StatusCode::OK
    }
}

/// What is known of an organization once everything is delivered.
#[derive(Debug)]
pub(super) struct Known {
    /// The count that the list and the page show.
    pub(super) shown: u64,
    /// Its name in the list.
    pub(super) name: String,
    /// Each report: count and delivery state.
    pub(super) reports: Vec<(u64, String)>,
    /// What Stripe was sent, in the order in which it came.
    pub(super) billed: Vec<u64>,
}

impl Known {
    pub(super) fn is_held(&self, count: u64) -> bool {
        let mut reports = self.reports.iter();
        reports.any(|(users, state)| *users == count && state == "held")
    }

    pub(super) fn is_stored(&self, count: u64) -> bool {
        self.reports.iter().any(|(users, _)| *users == count)
    }

    /// The most that Stripe was sent.
    pub(super) fn most_billed(&self) -> u64 {
        self.billed.iter().copied().max().unwrap_or_default()
    }
}

pub(super) struct Product<'a> {
    target: &'a Target,
    client: Client,
    cookie: String,
}

impl<'a> Product<'a> {
    pub(super) async fn open(target: &'a Target) -> anyhow::Result<Self> {
        let client = Client::builder().timeout(PATIENCE).no_proxy().build()?;
        let cookie = sign_in(&client, target).await?;
        Ok(Self {
            target,
            client,
            cookie,
        })
    }

    /// A report as the instance sends it, or as somebody else does in its name, from this address.
    pub(super) async fn report(
        &self,
        victim: &Victim,
        users: u64,
        at: DateTime<Utc>,
        from: &str,
    ) -> anyhow::Result<Answer> {
        let host = victim.host();
        self.send(victim.id, &victim.name, &host, users, at, from)
            .await
    }

    pub(super) async fn send(
        &self,
        id: Uuid,
        name: &str,
        host: &str,
        users: u64,
        at: DateTime<Utc>,
        from: &str,
    ) -> anyhow::Result<Answer> {
        let request = self
            .client
            .post(format!("{}/api/usage-report", self.target.base_url))
            .bearer_auth(TOKEN)
            .header("x-forwarded-for", from)
            .json(&json!({
                "organization_id": id,
                "organization_name": name,
                "instance_url": host,
                "user_count": users,
                "timestamp": at.to_rfc3339(),
            }));
        let response = request.send().await?;
        Ok(Answer {
            status: response.status(),
            body: response.json().await.unwrap_or_default(),
        })
    }

    /// An organization that reported `users` from this address at this time and was linked then.
    pub(super) async fn linked(
        &self,
        name: &str,
        users: u64,
        at: DateTime<Utc>,
        from: &str,
    ) -> anyhow::Result<Victim> {
        let mut victim = Victim {
            id: fresh(),
            name: name.to_owned(),
            customer: String::new(),
        };
        let first = self.report(&victim, users, at, from).await?;
        ensure!(first.is_recorded(), "the first report: {first:?}");
        let terms = json!({
            "admin_email": "billing@acme.example",
            "deployment_type": "on-premise",
            "plan_type": "managed-cloud",
            "trial_days": 0,
        });
        let path = format!("/api/admin/organizations/{}/link", victim.id);
        let link = self.admin(Method::POST, &path, Some(&terms)).await?;
        let organization = link.get("organization").context("no link")?;
        text(organization, "stripe_customer_id").clone_into(&mut victim.customer);
        ensure!(!victim.customer.is_empty(), "the link goes on: {link}");
        // A report that came before ingest-svc knows of the link is judged by nobody.
        let probe = || async {
            let answer = self.report(&victim, users, at, from).await?;
            Ok(text(&answer.body, "organization_status") != "pending")
        };
        self.until("the link to be known", probe).await?;
        Ok(victim)
    }

    /// What is known of an organization, once none of its reports is on its way.
    pub(super) async fn known(&self, victim: &Victim) -> anyhow::Result<Known> {
        let is_still = || async {
            let reports = self.reports(victim).await?;
            Ok(reports.iter().all(|(_, state)| state != "queued"))
        };
        self.until("reports to be delivered", is_still).await?;
        let path = format!("/api/admin/organizations/{}", victim.id);
        let organization = self.admin(Method::GET, &path, None).await?;
        let organization = organization.get("organization").context("none")?;
        Ok(Known {
            shown: count(organization, "user_count"),
            name: text(organization, "name").to_owned(),
            reports: self.reports(victim).await?,
            billed: self.billed(&victim.customer).await?,
        })
    }

    /// Each report of an organization: count and delivery state.
    async fn reports(&self, victim: &Victim) -> anyhow::Result<Vec<(u64, String)>> {
        let path = format!("/api/admin/organizations/{}/usage?limit=100", victim.id);
        let usage = self.admin(Method::GET, &path, None).await?;
        let rows = usage.get("reports").and_then(Value::as_array);
        let rows = rows.context("no list of reports")?.iter();
        let read = |row| {
            (
                count(row, "user_count"),
                text(row, "delivery_state").to_owned(),
            )
        };
        Ok(rows.map(read).collect())
    }

    /// What Stripe was sent of a customer.
    async fn billed(&self, customer: &str) -> anyhow::Result<Vec<u64>> {
        const OMITTED: &str = "recent_requests,products,prices,meters,customers,subscriptions";
        let base = &self.target.stripe_api_base;
        let url = format!("{base}/_sim/ledger?omit={OMITTED}");
        let ledger: Value = self.client.get(url).send().await?.json().await?;
        let events = ledger.get("meter_events").and_then(Value::as_array);
        let events = events.context("the ledger has no events")?.iter();
        let of_it = events.filter(|event| text(event, "customer") == customer);
        let values = of_it.map(|event| text(event, "value").parse::<u64>());
        Ok(values.collect::<Result<_, _>>()?)
    }

    pub(super) async fn admin(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.target.base_url);
        let request = self.client.request(method, url);
        let request = request.header(header::COOKIE, &self.cookie);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let response = request.send().await?;
        let status = response.status();
        let body: Value = response.json().await.unwrap_or_default();
        ensure!(status.is_success(), "{path}: {status} {body}");
        Ok(body)
    }

    async fn until<F: Future<Output = anyhow::Result<bool>>>(
        &self,
        what: &str,
        probe: impl Fn() -> F,
    ) -> anyhow::Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < DELIVERY_MAX {
            if probe().await? {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("waited for {what} in vain")
    }
}

/// The machine's time: the product runs on this machine.
pub(super) fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

/// An id that no other run has.
pub(super) fn fresh() -> Uuid {
    let nanos = now().timestamp_nanos_opt().unwrap_or_default();
    Uuid::from_u128(u128::from(nanos.unsigned_abs()) << 16 | 0x7157)
}

pub(super) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn count(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap_or_default()
}
