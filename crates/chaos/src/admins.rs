//! Admins who link organizations, with double clicks, two at once, and now and then on other terms;
//! and who unlink those whose subscription has ended, and link them again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};
use reqwest::header::{COOKIE, HeaderValue, ORIGIN, SET_COOKIE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::journal::{Journal, LinkAnswer, Told, UnlinkAnswer};
use crate::schedule::pick;
use crate::world::{ADMIN_EMAIL, World};

/// A click waits this long for its answer, and then clicks again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(40);
const CLICK_AGAIN_AFTER: Duration = Duration::from_millis(300);
/// How often an admin looks how an organization stands.
const LOOK_EVERY: Duration = Duration::from_millis(700);
/// Between an unlinking and the next link. Reports and Stripe tell time in seconds: what was recorded
/// before is before.
const PAUSE_BEFORE_RETURN: Duration = Duration::from_secs(3);
/// Of the organizations so many in a hundred are linked.
const LINKED_PERCENT: usize = 75;
/// The first so many of them stay as they are linked; of the others the subscriptions may end.
const STAYING_PERCENT: usize = 40;

/// The organizations whose subscriptions may end, and begin again.
pub(crate) fn ending(organizations: &[Uuid]) -> &[Uuid] {
    let count = |percent| organizations.len() * percent / 100;
    organizations
        .get(count(STAYING_PERCENT)..count(LINKED_PERCENT))
        .unwrap_or_default()
}

/// Links organizations, spread over `lasting`, keeps on with those whose subscriptions end, and waits
/// for the last answer.
pub(crate) async fn work_on(
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
    for organization in organizations.iter().copied().take(count) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.changed() => break,
        }
        let terms = Terms::any(&mut rng);
        for _ in 0..rng.random_range(0..3) {
            clicks.spawn(Arc::clone(&admin).link(organization, terms));
        }
        if rng.random_range(0..5) == 0 {
            let other = Terms {
                trial_days: terms.trial_days + 1,
                ..terms
            };
            clicks.spawn(Arc::clone(&admin).link(organization, other));
        }
        let admin = Arc::clone(&admin);
        if ending(&organizations).contains(&organization) {
            let seed = rng.random();
            clicks.spawn(admin.keep(organization, terms, seed, stop.clone()));
        } else {
            clicks.spawn(admin.link(organization, terms));
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

impl Terms {
    /// Trials that end during a run, and some that do not.
    fn any(rng: &mut ChaCha12Rng) -> Self {
        Self {
            deployment_type: pick(rng, &["on-premise", "managed-cloud"], "on-premise"),
            plan_type: pick(rng, &["managed-cloud", "self-hosted"], "self-hosted"),
            trial_days: pick(rng, &[0, 0, 1, 2, 40], 0),
        }
    }
}

#[derive(Debug)]
struct Admin {
    client: reqwest::Client,
    world: Arc<World>,
    journal: Arc<Journal>,
    cookie: Mutex<Option<HeaderValue>>,
}

impl Admin {
    /// Links, and whenever the subscription has ended unlinks and links again, on other terms.
    async fn keep(
        self: Arc<Self>,
        organization: Uuid,
        mut terms: Terms,
        seed: u64,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        loop {
            Arc::clone(&self).link(organization, terms).await;
            tokio::select! {
                () = self.until_ended(organization) => {}
                _ = stop.changed() => return,
            }
            let twice = rng.random_range(0..3) == 0;
            tokio::join!(self.unlink(organization), async {
                if twice {
                    self.unlink(organization).await;
                }
            });
            tokio::select! {
                () = tokio::time::sleep(PAUSE_BEFORE_RETURN) => {}
                _ = stop.changed() => return,
            }
            terms = Terms::any(&mut rng);
        }
    }

    /// Looks until the organization's subscription has ended.
    async fn until_ended(&self, organization: Uuid) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let path = format!("/api/admin/organizations/{organization}");
            if let Ok((StatusCode::OK, text)) = self.send(Method::GET, &path, &Value::Null).await
                && status_in(&text).is_some_and(|status| status == "canceled")
            {
                return;
            }
        }
    }

    /// Clicks until the answer is a clear one.
    async fn link(self: Arc<Self>, organization: Uuid, terms: Terms) {
        loop {
            if let Ok(Some(answer)) = self.click_link(organization, terms).await {
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

    async fn click_link(
        &self,
        organization: Uuid,
        terms: Terms,
    ) -> anyhow::Result<Option<LinkAnswer>> {
        let path = format!("/api/admin/organizations/{organization}/link");
        let body = json!({
            "admin_email": format!("{}@chaos.example", organization.simple()),
            "deployment_type": terms.deployment_type,
            "plan_type": terms.plan_type,
            "trial_days": terms.trial_days,
        });
        let (status, text) = self.send(Method::POST, &path, &body).await?;
        Ok(match status {
            StatusCode::OK => Some(linked(&text)?),
            StatusCode::CONFLICT => Some(LinkAnswer::Conflict),
            // It goes on in the background: the same again waits for it.
            StatusCode::ACCEPTED => None,
            // Its first report is not there yet.
            StatusCode::NOT_FOUND => None,
            other if is_passing(other) => None,
            other => Some(LinkAnswer::Refused {
                status: other.as_u16(),
                detail: text,
            }),
        })
    }

    async fn unlink(&self, organization: Uuid) {
        let path = format!("/api/admin/organizations/{organization}/unlink");
        let body = json!({ "reason": "its subscription has ended" });
        loop {
            let answer = match self.send(Method::POST, &path, &body).await {
                Ok((StatusCode::OK, _)) => Some(UnlinkAnswer::Unlinked),
                // Somebody linked it meanwhile.
                Ok((StatusCode::CONFLICT, _)) => Some(UnlinkAnswer::Conflict),
                Ok((status, detail)) if !is_passing(status) => Some(UnlinkAnswer::Refused {
                    status: status.as_u16(),
                    detail,
                }),
                Ok(_) | Err(_) => None,
            };
            if let Some(answer) = answer {
                self.journal.note(Told::Unlink {
                    organization,
                    answer,
                });
                return;
            }
            tokio::time::sleep(CLICK_AGAIN_AFTER).await;
        }
    }

    /// One request with the admin's session, which is made anew where it is not good any more.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<(StatusCode, String)> {
        let cookie = self.cookie().await?;
        let base_url = &self.world.base_url;
        let mut request = self
            .client
            .request(method, format!("{base_url}{path}"))
            .header(COOKIE, cookie)
            .header(ORIGIN, base_url);
        if !body.is_null() {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED {
            *self.cookie.lock().await = None;
        }
        Ok((status, response.text().await?))
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

/// Whether the same request may be answered otherwise in a moment.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS].contains(&status)
}

fn status_in(text: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(text).ok()?;
    let status = answer.pointer("/organization/subscription_status")?;
    status.as_str().map(str::to_owned)
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
