//! Ordinary traffic during an attack: instances report, an admin reads lists, health is checked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Client, RequestBuilder, StatusCode, header};
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::say;
use crate::target::Target;

/// The token of the specification.
pub(crate) const TOKEN: &str = "vaultai_universal_billing_api_2024_production_key_XyZ9mP2nQ7wK";
const REPORTERS: u128 = 4;
const PAUSE: Duration = Duration::from_millis(50);
/// How long a request may take. An attack may slow it; it must not fail.
const PATIENCE: Duration = Duration::from_secs(15);
/// Failures that are printed.
const SHOWN_MAX: u64 = 10;

/// How many requests of one kind went well, and how many did not.
#[derive(Debug, Default)]
pub(super) struct Tally {
    ok: AtomicU64,
    failed: AtomicU64,
}

impl Tally {
    pub(super) fn ok(&self) -> u64 {
        self.ok.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    fn count(&self, what: &str, outcome: Result<StatusCode, reqwest::Error>) {
        let problem = match outcome {
            Ok(StatusCode::OK) => {
                self.ok.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Ok(status) => status.to_string(),
            Err(error) => format!("{:#}", anyhow::Error::from(error)),
        };
        if self.failed.fetch_add(1, Ordering::Relaxed) < SHOWN_MAX {
            say(&format!("failed: {what}: {problem}"));
        }
    }
}

/// Ordinary traffic, from the address that the attack comes from.
pub(super) struct Traffic {
    pub(super) requests: Arc<Tally>,
    pub(super) health: Arc<Tally>,
    over: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Traffic {
    /// Signs an admin in and begins.
    ///
    /// # Errors
    /// The admin cannot sign in.
    pub(super) async fn begin(target: &Target) -> anyhow::Result<Self> {
        let client = Client::builder().timeout(PATIENCE).no_proxy().build()?;
        // As a kubelet asks: each time over a new connection.
        let fresh = Client::builder()
            .timeout(PATIENCE)
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()?;
        let cookie = sign_in(&client, target).await?;
        let mut traffic = Self {
            requests: Arc::default(),
            health: Arc::default(),
            over: Arc::default(),
            tasks: JoinSet::new(),
        };
        for path in ["/healthz", "/readyz"] {
            let (fresh, url) = (fresh.clone(), format!("{}{path}", target.base_url));
            let health = Arc::clone(&traffic.health);
            traffic.repeat(path, health, move |_| fresh.get(&url));
        }
        let url = format!("{}/api/admin/organizations", target.base_url);
        let admin = client.clone();
        traffic.request("admin's list", move |_| {
            admin.get(&url).header(header::COOKIE, &cookie)
        });
        let (page, url) = (fresh.clone(), format!("{}/sign-in", target.base_url));
        traffic.request("sign-in page", move |_| page.get(&url));
        for reporter in 0..REPORTERS {
            let url = format!("{}/api/usage-report", target.base_url);
            let client = if reporter % 2 == 0 { &client } else { &fresh }.clone();
            let begin = DateTime::<Utc>::from(SystemTime::now()) - TimeDelta::days(30);
            traffic.request("usage report", move |count| {
                let at = begin + TimeDelta::seconds(count);
                client.post(&url).bearer_auth(TOKEN).json(&json!({
                    "organization_id": Uuid::from_u128(0xf100d + reporter),
                    "organization_name": "Ordinary",
                    "instance_url": "ordinary.example",
                    "user_count": 45,
                    "timestamp": at.to_rfc3339(),
                }))
            });
        }
        Ok(traffic)
    }

    /// Ends, once the requests that are on their way have been answered.
    pub(super) async fn end(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
    }

    fn request(
        &mut self,
        what: &'static str,
        next: impl Fn(i64) -> RequestBuilder + Send + 'static,
    ) {
        let requests = Arc::clone(&self.requests);
        self.repeat(what, requests, next);
    }

    fn repeat(
        &mut self,
        what: &'static str,
        tally: Arc<Tally>,
        next: impl Fn(i64) -> RequestBuilder + Send + 'static,
    ) {
        let over = Arc::clone(&self.over);
        self.tasks.spawn(async move {
            let mut count = 0;
            while !over.load(Ordering::Relaxed) {
                tally.count(what, answer(next(count)).await);
                count += 1;
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
}

async fn answer(request: RequestBuilder) -> Result<StatusCode, reqwest::Error> {
    let response = request.send().await?;
    let status = response.status();
    response.bytes().await?;
    Ok(status)
}

pub(crate) async fn sign_in(client: &Client, target: &Target) -> anyhow::Result<String> {
    let response = client
        .post(format!("{}/api/auth/sign-in/email", target.base_url))
        .json(&json!({"email": target.admin_email, "password": target.admin_password}))
        .send()
        .await?;
    ensure!(
        response.status() == StatusCode::OK,
        "the admin cannot sign in ({})",
        response.status()
    );
    let cookies = response.headers().get_all(header::SET_COOKIE).iter();
    let pairs = cookies.filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
    let pairs: Vec<_> = pairs.collect();
    (!pairs.is_empty())
        .then(|| pairs.join("; "))
        .context("the sign-in gave no cookie")
}
