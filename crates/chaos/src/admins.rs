//! Admins who link organizations, with double clicks, two at once, and now and then on other terms;
//! who change plans and cancel, unlink what has ended, and link it again.

use std::collections::BTreeSet;
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

use crate::journal::{Change, ChangeAnswer, Journal, LinkAnswer, Told, UnlinkAnswer};
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
/// Of these, every other stays linked; of the others the subscriptions may end.
const ENDING_EACH: usize = 2;

/// So many are linked at once; the others follow while faults strike.
pub(crate) const FIRST_LINKED: usize = 6;

/// The organizations whose subscriptions may end, and begin again.
pub(crate) fn ending(organizations: &[Uuid]) -> BTreeSet<Uuid> {
    let linked = organizations.iter().take(linked_count(organizations));
    linked.step_by(ENDING_EACH).copied().collect()
}

fn linked_count(organizations: &[Uuid]) -> usize {
    organizations.len() * LINKED_PERCENT / 100
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
    let count = linked_count(&organizations);
    let ending = ending(&organizations);
    let pause = lasting.mul_f64(0.4) / u32::try_from(count.max(1))?;
    let admin = Arc::new(Admin {
        client: instance_sim::http_client::client(REQUEST_TIMEOUT)?,
        world,
        journal,
        cookie: Mutex::new(None),
    });
    let mut clicks = JoinSet::new();
    for (place, organization) in organizations.into_iter().take(count).enumerate() {
        if place >= FIRST_LINKED {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.changed() => break,
            }
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
        let may_end = ending.contains(&organization);
        let (admin, seed) = (Arc::clone(&admin), rng.random());
        clicks.spawn(admin.keep(organization, terms, may_end, seed, stop.clone()));
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
    /// Links, and changes the plan now and then. Where the subscription may end, it is canceled too;
    /// and once it has ended, the organization is unlinked and linked again, on other terms.
    async fn keep(
        self: Arc<Self>,
        organization: Uuid,
        mut terms: Terms,
        may_end: bool,
        seed: u64,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        loop {
            Arc::clone(&self).link(organization, terms).await;
            while !self.has_ended(organization).await {
                tokio::select! {
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    _ = stop.changed() => return,
                }
                let change = match rng.random_range(0..24) {
                    0 | 1 => Change::Update,
                    2 if may_end => Change::CancelNow,
                    3 if may_end => Change::CancelAtPeriodEnd,
                    _ => continue,
                };
                let twice = rng.random_range(0..3) == 0;
                let other = Terms::any(&mut rng);
                tokio::join!(self.change(organization, change, other), async {
                    if twice {
                        self.change(organization, change, other).await;
                    }
                });
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

    /// Whether the organization's subscription is known to have ended.
    async fn has_ended(&self, organization: Uuid) -> bool {
        let path = format!("/api/admin/organizations/{organization}");
        match self.send(Method::GET, &path, &Value::Null).await {
            Ok((StatusCode::OK, text)) => {
                field_in(&text, "subscription_status").is_some_and(|it| it == "canceled")
            }
            Ok(_) | Err(_) => false,
        }
    }

    /// Clicks until the answer is a clear one.
    async fn change(&self, organization: Uuid, change: Change, terms: Terms) {
        let (method, door, body) = match change {
            Change::Update => (
                Method::PATCH,
                "subscription",
                json!({
                    "deployment_type": terms.deployment_type,
                    "plan_type": terms.plan_type,
                }),
            ),
            Change::CancelAtPeriodEnd => {
                (Method::POST, "cancel", json!({ "mode": "at_period_end" }))
            }
            Change::CancelNow => {
                self.journal.note(Told::AskedToEnd { organization });
                (Method::POST, "cancel", json!({ "mode": "now" }))
            }
        };
        let path = format!("/api/admin/organizations/{organization}/{door}");
        loop {
            let answer = match self.send(method.clone(), &path, &body).await {
                Ok((StatusCode::OK, text)) => field_in(&text, "stripe_subscription_id")
                    .map(|subscription| ChangeAnswer::Done { subscription }),
                Ok((StatusCode::CONFLICT, _)) => Some(ChangeAnswer::Conflict),
                // It goes on in the background: the same again waits for it.
                Ok((StatusCode::ACCEPTED, _)) | Err(_) => None,
                Ok((status, _)) if is_passing(status) => None,
                Ok((status, detail)) => Some(ChangeAnswer::Refused {
                    status: status.as_u16(),
                    detail,
                }),
            };
            if let Some(answer) = answer {
                self.journal.note(Told::Change {
                    organization,
                    change,
                    answer,
                });
                return;
            }
            tokio::time::sleep(CLICK_AGAIN_AFTER).await;
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
    (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
        || [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS].contains(&status)
}

/// A field of an answer's organization.
fn field_in(text: &str, name: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(text).ok()?;
    let field = answer.pointer(&format!("/organization/{name}"))?;
    field.as_str().map(str::to_owned)
}

fn linked(text: &str) -> anyhow::Result<LinkAnswer> {
    let field = |name: &str| {
        field_in(text, name).with_context(|| format!("the answer to a link has no {name}"))
    };
    Ok(LinkAnswer::Linked {
        customer: field("stripe_customer_id")?,
        subscription: field("stripe_subscription_id")?,
    })
}
