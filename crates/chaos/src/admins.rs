//! Admins who link organizations, with double clicks, two at once, and now and then on other terms.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};
use reqwest::StatusCode;
use reqwest::header::{COOKIE, HeaderValue, ORIGIN, SET_COOKIE};
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::journal::{Journal, LinkAnswer, Told};
use crate::schedule::pick;
use crate::world::{ADMIN_EMAIL, World};

/// A click waits this long for its answer, and then clicks again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(40);
const CLICK_AGAIN_AFTER: Duration = Duration::from_millis(300);
/// Of the organizations so many in a hundred are linked.
const LINKED_PERCENT: usize = 75;

/// Links organizations, spread over `lasting`, and waits for the last answer.
pub(crate) async fn link_on(
    world: Arc<World>,
    journal: Arc<Journal>,
    organizations: Vec<Uuid>,
    seed: u64,
    lasting: Duration,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let count = organizations.len() * LINKED_PERCENT / 100;
    let pause = lasting.mul_f64(0.4) / u32::try_from(count.max(1))?;
    let admin = Arc::new(Admin {
        client: instance_sim::http_client::client(REQUEST_TIMEOUT)?,
        world,
        journal,
        cookie: Mutex::new(None),
    });
    let mut clicks = JoinSet::new();
    for organization in organizations.into_iter().take(count) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.changed() => break,
        }
        let terms = Terms {
            deployment_type: pick(&mut rng, &["on-premise", "managed-cloud"], "on-premise"),
            plan_type: pick(&mut rng, &["managed-cloud", "self-hosted"], "self-hosted"),
            trial_days: rng.random_range(0..40),
        };
        for _ in 0..rng.random_range(1..4) {
            clicks.spawn(Arc::clone(&admin).link(organization, terms));
        }
        if rng.random_range(0..5) == 0 {
            let other = Terms {
                trial_days: terms.trial_days + 1,
                ..terms
            };
            clicks.spawn(Arc::clone(&admin).link(organization, other));
        }
    }
    while clicks.join_next().await.is_some() {}
    Ok(())
}

#[derive(Debug, Clone, Copy)]
struct Terms {
    deployment_type: &'static str,
    plan_type: &'static str,
    trial_days: u32,
}

#[derive(Debug)]
struct Admin {
    client: reqwest::Client,
    world: Arc<World>,
    journal: Arc<Journal>,
    cookie: Mutex<Option<HeaderValue>>,
}

impl Admin {
    /// Clicks until the answer is a clear one.
    async fn link(self: Arc<Self>, organization: Uuid, terms: Terms) {
        loop {
            if let Ok(Some(answer)) = self.click(organization, terms).await {
                self.journal.note(Told::Link {
                    organization,
                    trial_days: terms.trial_days,
                    answer,
                });
                return;
            }
            tokio::time::sleep(CLICK_AGAIN_AFTER).await;
        }
    }

    async fn click(&self, organization: Uuid, terms: Terms) -> anyhow::Result<Option<LinkAnswer>> {
        let cookie = self.cookie().await?;
        let base_url = &self.world.base_url;
        let url = format!("{base_url}/api/admin/organizations/{organization}/link");
        let request = self.client.post(url).header(COOKIE, cookie);
        let response = request
            .header(ORIGIN, base_url)
            .json(&json!({
                "admin_email": format!("{}@chaos.example", organization.simple()),
                "deployment_type": terms.deployment_type,
                "plan_type": terms.plan_type,
                "trial_days": terms.trial_days,
            }))
            .send()
            .await?;
        let status = response.status();
        let text = response.text().await?;
        Ok(match status {
            StatusCode::OK => Some(linked(&text)?),
            // It goes on in the background; the same again waits for it.
            StatusCode::ACCEPTED => None,
            StatusCode::CONFLICT => Some(LinkAnswer::Conflict),
            StatusCode::UNAUTHORIZED => {
                *self.cookie.lock().await = None;
                None
            }
            // Its first report is not there yet.
            StatusCode::NOT_FOUND | StatusCode::TOO_MANY_REQUESTS => None,
            other if other.is_server_error() => None,
            other => Some(LinkAnswer::Refused {
                status: other.as_u16(),
                detail: text,
            }),
        })
    }

    async fn cookie(&self) -> anyhow::Result<HeaderValue> {
        let mut cookie = self.cookie.lock().await;
        if let Some(cookie) = &*cookie {
            return Ok(cookie.clone());
        }
        let base_url = &self.world.base_url;
        let body = json!({ "email": ADMIN_EMAIL, "password": self.world.admin_password });
        let request = self
            .client
            .post(format!("{base_url}/api/auth/sign-in/email"));
        let response = request.header(ORIGIN, base_url).json(&body).send().await?;
        let cookies = response.headers().get_all(SET_COOKIE).iter();
        let found = cookies
            .filter_map(|cookie| cookie.to_str().ok()?.split(';').next())
            .find(|cookie| cookie.contains("session_token="))
            .context("the admin could not sign in")?;
        let found = HeaderValue::try_from(found)?;
        *cookie = Some(found.clone());
        Ok(found)
    }
}

fn linked(text: &str) -> anyhow::Result<LinkAnswer> {
    let answer: Value = serde_json::from_str(text)?;
    let field = |name: &str| {
        let value = answer.pointer(&format!("/organization/{name}"));
        value
            .and_then(Value::as_str)
            .map(str::to_owned)
            .with_context(|| format!("the answer to a link has no {name}"))
    };
    Ok(LinkAnswer::Linked {
        customer: field("stripe_customer_id")?,
        subscription: field("stripe_subscription_id")?,
    })
}
