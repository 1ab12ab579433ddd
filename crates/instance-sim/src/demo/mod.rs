//! Brings a believable fleet to a development system: pending, in trial, active, past due and silent
//! organizations, with weeks of reports.
//!
//! A second run adds what is missing and nothing twice: ids, counts and timestamps are functions of
//! the company and of the day of its first report, and every step looks whether it has been done.

mod admin;
mod backdate;
mod companies;
mod stripe_clock;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::body::Bytes;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::admin::AdminDoor;
use self::backdate::{BillingDatabase, Past};
use self::companies::{COMPANIES, Company};
use self::stripe_clock::StripeClock;
use crate::report::UsageReport;
use crate::reporter::{Outcome, Reporter};
use crate::{fleet, out, target};

/// Companies that are brought at once.
const MAX_CONCURRENT_COMPANIES: usize = 4;
/// How long the deliveries to Stripe are waited for at the end.
const DELIVERY_POLLS: u32 = 240;
const DELIVERY_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Where the demo goes.
#[derive(Debug)]
pub struct DemoTarget {
    /// The gateway.
    pub base_url: String,
    /// What the admin's browser would be on; the gateway must trust it.
    pub origin: String,
    /// An admin's e-mail address.
    pub admin_email: String,
    /// And password.
    pub admin_password: SecretString,
    /// The Stripe that the system talks to: the simulator, of which the clock is moved.
    pub stripe_api_base: String,
    /// Its key: looked at, never used.
    pub stripe_secret_key: SecretString,
    /// The billing database, as its owner.
    pub database_url: SecretString,
    /// Whether these may be on other machines.
    pub allow_remote: bool,
}

impl DemoTarget {
    /// Refuses anything that could be a real system: invented organizations must not be billed.
    fn check(&self) -> anyhow::Result<()> {
        let key = self.stripe_secret_key.expose_secret();
        if key.starts_with("sk_live") || key.starts_with("rk_live") {
            bail!("STRIPE_SECRET_KEY is a live key: the demo's organizations are invented");
        }
        let stripe =
            reqwest::Url::parse(&self.stripe_api_base).context("STRIPE_API_BASE is no URL")?;
        if stripe
            .host_str()
            .is_some_and(|host| host.ends_with("stripe.com"))
        {
            bail!("STRIPE_API_BASE is Stripe itself: the demo is for the simulator");
        }
        for url in [&self.base_url, &self.stripe_api_base] {
            target::must_be_local(url, self.allow_remote)?;
        }
        let database = self.database_url.expose_secret();
        // A URL without a host means a Unix socket.
        let has_host = reqwest::Url::parse(database)
            .ok()
            .is_some_and(|url| url.host_str().is_some_and(|host| !host.is_empty()));
        if has_host {
            target::must_be_local(database, self.allow_remote)?;
        }
        Ok(())
    }
}

/// What one company's bringing came to.
#[derive(Debug, Default)]
struct Brought {
    reports: u64,
    backdated: bool,
}

/// What a company reported, and when its billing began.
#[derive(Debug)]
struct History {
    before: Vec<UsageReport>,
    after: Vec<UsageReport>,
    start: Option<DateTime<Utc>>,
}

#[derive(Debug)]
struct Demo {
    reporter: Reporter,
    door: AdminDoor,
    database: BillingDatabase,
    stripe_clock: StripeClock,
    now: DateTime<Utc>,
}

/// Brings the whole fleet and waits until Stripe has what is billed.
pub async fn run(
    target: &DemoTarget,
    reporter: Reporter,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    target.check()?;
    let base_url = target::base_url(&target.base_url)?;
    let door = AdminDoor::sign_in(
        &base_url,
        &target.origin,
        &target.admin_email,
        &target.admin_password,
    )
    .await?;
    let database = BillingDatabase::open(target.database_url.expose_secret()).await?;
    let demo = Arc::new(Demo {
        reporter,
        door,
        database,
        stripe_clock: StripeClock::of(&target.stripe_api_base)?,
        now,
    });
    // One after the other, before anything is delivered: Stripe has one clock.
    let mut linked = 0;
    for company in &COMPANIES {
        let brought = demo.link_in_the_past(company).await;
        let brought = brought.with_context(|| format!("cannot link {}", company.name))?;
        linked += u64::from(brought);
    }
    let permits = Arc::new(Semaphore::new(MAX_CONCURRENT_COMPANIES));
    let mut tasks = JoinSet::new();
    for company in &COMPANIES {
        let (demo, permits) = (Arc::clone(&demo), Arc::clone(&permits));
        tasks.spawn(async move {
            let _permit = permits.acquire().await;
            let brought = demo.bring(company).await;
            brought.with_context(|| format!("cannot bring {}", company.name))
        });
    }
    let mut reports = 0;
    while let Some(task) = tasks.join_next().await {
        let brought = task.context("a task died")??;
        reports += brought.reports;
    }
    out::line(&format!(
        "demo: {} organizations, {linked} linked now, {reports} reports acknowledged",
        COMPANIES.len()
    ));
    demo.wait_for_deliveries().await
}

impl Demo {
    /// The reports of a company before its billing began, those since, and when that was.
    async fn history(&self, company: &Company) -> anyhow::Result<History> {
        let first_day = match self.database.first_report_at(company.id()).await? {
            Some(at) => at.date_naive(),
            None => company.first_day(self.now.date_naive()),
        };
        let start = company.billing_start(first_day);
        let (before, after) = company
            .reports(first_day, self.now)
            .into_iter()
            .partition(|report| start.is_none_or(|at| report.timestamp < at));
        Ok(History {
            before,
            after,
            start,
        })
    }

    /// Makes a company known and links it, as on the day on which its billing began. Answers whether
    /// it was not linked before.
    async fn link_in_the_past(&self, company: &Company) -> anyhow::Result<bool> {
        let history = self.history(company).await?;
        let Some((link, start)) = company.link.as_ref().zip(history.start) else {
            return Ok(false);
        };
        // Its first: from there its days are counted, now and in later runs.
        let first = history.before.first().context("a report before the link")?;
        self.post(company, std::slice::from_ref(first)).await?;
        if self.door.is_linked(company.id()).await? {
            return Ok(false);
        }
        let days_ago = (self.now - start).num_days();
        self.stripe_clock.set(start).await?;
        let linked = self.door.link(company, link, days_ago).await;
        self.stripe_clock.set(self.now).await?;
        linked.map(|()| true)
    }

    async fn bring(&self, company: &Company) -> anyhow::Result<Brought> {
        let id = company.id();
        let History {
            before,
            after,
            start,
        } = self.history(company).await?;
        let created_at = before
            .first()
            .context("a company has a first report")?
            .timestamp;
        let mut brought = Brought::default();
        brought.reports += self.post(company, &before).await?;
        let billing = start.zip(company.link.map(|link| link.stands.status()));
        brought.backdated = self
            .database
            .write_past(
                id,
                &Past {
                    created_at,
                    billing,
                },
            )
            .await?;
        brought.reports += self.post(company, &after).await?;
        tracing::info!(
            organization_id = %id,
            reports = brought.reports,
            backdated = brought.backdated,
            "{}",
            company.name
        );
        Ok(brought)
    }

    /// Posts reports one after the other, the oldest first.
    async fn post(&self, company: &Company, reports: &[UsageReport]) -> anyhow::Result<u64> {
        let mut acknowledged = 0;
        for report in reports {
            let body = Bytes::from(serde_json::to_vec(report)?);
            let address = fleet::address(company.address_index())?;
            match self.reporter.send(body, Some(address)).await {
                Outcome::Recorded {
                    answer: _,
                    attempts: _,
                } => acknowledged += 1,
                Outcome::Refused { status, detail } => {
                    bail!(
                        "the report of {} was refused: HTTP {status}: {detail}",
                        report.timestamp
                    )
                }
                Outcome::GaveUp { attempts, last } => {
                    bail!(
                        "the report of {}: {attempts} attempts: {last}",
                        report.timestamp
                    )
                }
            }
        }
        Ok(acknowledged)
    }

    /// Waits until no report is on its way to Stripe. That it takes long is no failure of the demo.
    async fn wait_for_deliveries(&self) -> anyhow::Result<()> {
        let ids: Vec<_> = COMPANIES.iter().map(Company::id).collect();
        let mut open = 0;
        for _ in 0..DELIVERY_POLLS {
            open = self.database.undelivered(ids.clone()).await?;
            if open == 0 {
                out::line("demo: Stripe has every report that is billed");
                return Ok(());
            }
            tokio::time::sleep(DELIVERY_POLL_INTERVAL).await;
        }
        out::line(&format!(
            "demo: {open} reports are still on their way to Stripe"
        ));
        Ok(())
    }
}
