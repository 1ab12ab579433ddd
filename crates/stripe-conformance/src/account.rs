//! The account that is asked: plain HTTP, our own client, and what has to be deleted in the end.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use billing_kit::{Clock, Ids, config::Env};
use chrono::{DateTime, Days, NaiveTime, Utc};
use reqwest::{Client, Method};
use serde_json::Value;
use stripe_sim::{Handle, Simulator};
use stripe_svc::{
    CatalogConfig, StripeAccess,
    cli::{CatalogCommand, Ended, run_catalog},
    conformance::{self, Link},
    parse_catalog,
};
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use crate::target::Target;

const CATALOG: &str = include_str!("../catalog.toml");
const FIRST_PRICE: &str = "vaultai_conformance_first";
const SECOND_PRICE: &str = "vaultai_conformance_second";

/// A sandbox takes 25 calls a second. Half of that is for our own client and half for the rest.
const CALLS_PER_SECOND: &str = "10";
const PAUSE_BETWEEN_CALLS: Duration = Duration::from_millis(100);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a call is repeated that came too fast for Stripe.
const CALLS_MAX: u32 = 5;

/// How long what comes about by itself is waited for: Stripe counts usage and draws up invoices a
/// little later, and moves a test clock for a minute or two.
const PATIENCE_REAL: Duration = Duration::from_secs(300);
const PATIENCE_SIMULATED: Duration = Duration::from_secs(30);
const LOOK_EVERY_REAL: Duration = Duration::from_secs(2);
const LOOK_EVERY_SIMULATED: Duration = Duration::from_millis(50);

/// How far the simulator's searches and summaries lag behind: nothing may rely on their being prompt.
const SEARCH_LAG: Duration = Duration::from_secs(2);
const SUMMARY_LAG: Duration = Duration::from_secs(1);

/// How long ago test clocks begin. All that is done on them lies within the 35 days of which Stripe
/// takes events, whether it counts these by the test clock or by its own.
const CLOCKS_BEGIN_DAYS_AGO: u64 = 30;

/// An answer to a plain call.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) is_replay: bool,
    pub(crate) request_id: Option<String>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn text(&self, pointer: &str) -> &str {
        let value = self.body.pointer(pointer);
        value.and_then(Value::as_str).unwrap_or_default()
    }

    /// The body of a success.
    pub(crate) fn done(self) -> anyhow::Result<Value> {
        if self.status != 200 {
            let Self { status, body, .. } = self;
            bail!("expected status 200, got {status}: {body}");
        }
        Ok(self.body)
    }
}

/// What is to be deleted in the end.
#[derive(Debug, Clone)]
enum Made {
    /// With all its customers.
    TestClock(String),
    Customer(String),
    WebhookEndpoint(String),
}

impl Made {
    fn path(&self) -> String {
        match self {
            Self::TestClock(id) => format!("/v1/test_helpers/test_clocks/{id}"),
            Self::Customer(id) => format!("/v1/customers/{id}"),
            Self::WebhookEndpoint(id) => format!("/v1/webhook_endpoints/{id}"),
        }
    }
}

/// The account of a run.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) ours: conformance::Client,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) first_price: String,
    pub(crate) second_price: String,
    run: String,
    secret_key: String,
    api_base: String,
    is_simulated: bool,
    http: Client,
    next_call: Mutex<Instant>,
    made: Mutex<Vec<Made>>,
    // Gone when the account is dropped.
    _simulator: Option<Handle>,
}

impl Account {
    /// Starts the simulator where that is asked, and sees to it that there are a meter, a product and
    /// prices.
    pub(crate) async fn open(target: &Target) -> anyhow::Result<Self> {
        let simulator = match target {
            Target::Simulator => Some(start_simulator().await?),
            Target::TestMode { .. } => None,
        };
        let secret_key = target.secret_key().to_owned();
        let base = simulator.as_ref().map(Handle::base_url);
        let access = access(&secret_key, base.as_deref())?;
        let catalog = || parse_catalog(CATALOG).map_err(|it| anyhow::anyhow!("{it:?}"));
        let config = CatalogConfig {
            stripe: access.clone(),
            catalog: catalog()?,
        };
        let ended = run_catalog(CatalogCommand::Apply, &config, &mut |_| ()).await;
        let ended = ended.map_err(anyhow::Error::msg)?;
        anyhow::ensure!(
            ended == Ended::Agrees,
            "the account's meter or prices of this check are not as it made them: {ended:?}"
        );
        let ours = conformance::Client::new(&access, catalog()?).map_err(anyhow::Error::msg)?;
        let price = async |key| {
            let price = ours.price(key).await.map_err(anyhow::Error::msg)?;
            price.with_context(|| format!("there is no price {key}"))
        };
        let (first_price, second_price) = (price(FIRST_PRICE).await?, price(SECOND_PRICE).await?);
        let ids = Ids::random();
        Ok(Self {
            ours,
            clock: Clock::system(),
            first_price,
            second_price,
            run: ids.next().simple().to_string(),
            ids,
            secret_key,
            api_base: access.api_base.to_string(),
            is_simulated: simulator.is_some(),
            http: http_client(simulator.is_some())?,
            next_call: Mutex::new(Instant::now()),
            made: Mutex::default(),
            _simulator: simulator,
        })
    }

    /// The same account, asked by our own client with a key that nobody has.
    pub(crate) fn stranger(&self) -> anyhow::Result<conformance::Client> {
        let base = self.is_simulated.then_some(self.api_base.as_str());
        let access = access("sk_test_0000000000000000stranger", base)?;
        let catalog = parse_catalog(CATALOG).map_err(|it| anyhow::anyhow!("{it:?}"))?;
        conformance::Client::new(&access, catalog).map_err(anyhow::Error::msg)
    }

    /// When test clocks begin: six in the morning, UTC.
    pub(crate) fn beginning(&self) -> DateTime<Utc> {
        let day = self.clock.now().date_naive() - Days::new(CLOCKS_BEGIN_DAYS_AGO);
        let six = NaiveTime::from_hms_opt(6, 0, 0).unwrap_or(NaiveTime::MIN);
        day.and_time(six).and_utc()
    }

    /// A key or an identifier that was never used.
    pub(crate) fn fresh(&self) -> String {
        self.ids.next().simple().to_string()
    }

    /// An organization that nobody knows. Its name and address carry the run.
    pub(crate) fn link(&self, name: &str) -> Link {
        Link {
            operation: self.ids.next(),
            organization: self.ids.next(),
            name: format!("Conformance {name}"),
            email: format!("conformance-{}-{name}@example.com", self.run),
        }
    }

    pub(crate) fn run(&self) -> &str {
        &self.run
    }

    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Answer> {
        self.call(Method::GET, path, query, None).await
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> anyhow::Result<Answer> {
        self.post_keyed(path, form, &self.fresh()).await
    }

    pub(crate) async fn post_keyed(
        &self,
        path: &str,
        form: &[(&str, &str)],
        key: &str,
    ) -> anyhow::Result<Answer> {
        self.call(Method::POST, path, form, Some(key)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        self.call(Method::DELETE, path, &[], None).await
    }

    /// One call, at Stripe's pace; what came too fast comes again.
    async fn call(
        &self,
        method: Method,
        path: &str,
        pairs: &[(&str, &str)],
        key: Option<&str>,
    ) -> anyhow::Result<Answer> {
        let url = format!("{}{}", self.api_base.trim_end_matches('/'), path);
        let mut calls = 0;
        loop {
            self.turn().await;
            let request = self.http.request(method.clone(), &url);
            let request = request.bearer_auth(&self.secret_key);
            let mut request = if method == Method::GET {
                request.query(pairs)
            } else {
                request.form(pairs)
            };
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            let response = request.send().await;
            let response = response.with_context(|| format!("{method} {path}"))?;
            let header = |name: &str| {
                let value = response.headers().get(name)?;
                value.to_str().ok().map(str::to_owned)
            };
            let (status, request_id) = (response.status().as_u16(), header("request-id"));
            let is_replay = header("idempotent-replayed").as_deref() == Some("true");
            let body = response.json().await.unwrap_or_default();
            calls += 1;
            if status != 429 || calls == CALLS_MAX {
                return Ok(Answer {
                    status,
                    is_replay,
                    request_id,
                    body,
                });
            }
        }
    }

    async fn turn(&self) {
        if self.is_simulated {
            return;
        }
        let at = {
            let mut next = self
                .next_call
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let at = (*next).max(Instant::now());
            *next = at + PAUSE_BETWEEN_CALLS;
            at
        };
        sleep_until(at).await;
    }

    /// Changes how the simulator behaves.
    pub(crate) async fn control(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        anyhow::ensure!(self.is_simulated, "only the simulator can be told so");
        let url = format!("{}{}", self.api_base.trim_end_matches('/'), path);
        self.http
            .post(url)
            .json(body)
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }

    /// Waits until `look` gives something; what it gives instead is what was seen.
    pub(crate) async fn eventually<T>(
        &self,
        expected: &str,
        look: impl AsyncFn() -> anyhow::Result<Result<T, String>>,
    ) -> anyhow::Result<T> {
        let (patience, every) = if self.is_simulated {
            (PATIENCE_SIMULATED, LOOK_EVERY_SIMULATED)
        } else {
            (PATIENCE_REAL, LOOK_EVERY_REAL)
        };
        let deadline = Instant::now() + patience;
        loop {
            let seen = match look().await? {
                Ok(found) => return Ok(found),
                Err(seen) => seen,
            };
            if Instant::now() + every >= deadline {
                bail!("expected {expected}, got {seen}");
            }
            sleep(every).await;
        }
    }

    pub(crate) fn made_test_clock(&self, id: &str) {
        self.note(Made::TestClock(id.to_owned()));
    }

    pub(crate) fn made_customer(&self, id: &str) {
        self.note(Made::Customer(id.to_owned()));
    }

    pub(crate) fn made_webhook_endpoint(&self, id: &str) {
        self.note(Made::WebhookEndpoint(id.to_owned()));
    }

    fn note(&self, made: Made) {
        let mut all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(made);
    }

    /// Deletes what the run made; what could not be deleted, as sentences.
    pub(crate) async fn clean_up(&self) -> Vec<String> {
        let made: Vec<Made> = {
            let mut all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            all.drain(..).collect()
        };
        let mut left = Vec::new();
        for made in made {
            let path = made.path();
            match self.delete(&path).await {
                Ok(answer) if answer.status == 200 || answer.status == 404 => {}
                Ok(Answer { status, body, .. }) => {
                    left.push(format!("{path} was not deleted: status {status}: {body}"));
                }
                Err(error) => left.push(format!("{path} was not deleted: {error:#}")),
            }
        }
        left
    }
}

async fn start_simulator() -> anyhow::Result<Handle> {
    let config = stripe_sim::Config {
        search_lag: SEARCH_LAG,
        summary_lag: SUMMARY_LAG,
        ..stripe_sim::Config::default()
    };
    Ok(Simulator::start(config).await?)
}

/// How our own client gets to the account, as in production by the environment's variables.
fn access(secret_key: &str, api_base: Option<&str>) -> anyhow::Result<StripeAccess> {
    let mut variables = vec![("STRIPE_SECRET_KEY".to_owned(), secret_key.to_owned())];
    match api_base {
        Some(base) => variables.push(("STRIPE_API_BASE".to_owned(), base.to_owned())),
        None => variables.push((
            "STRIPE_CALLS_PER_SECOND".to_owned(),
            CALLS_PER_SECOND.to_owned(),
        )),
    }
    let mut env = Env::from_variables(variables);
    let access = StripeAccess::read(&mut env);
    Ok(env.finish(access)?)
}

/// rustls with ring and Mozilla's roots, whatever the machine has installed. A proxy of the
/// environment is for the internet, not for a simulator beside us.
fn http_client(is_local: bool) -> anyhow::Result<Client> {
    let mut roots = rustls::RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let http = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(CALL_TIMEOUT);
    let http = if is_local { http.no_proxy() } else { http };
    Ok(http.build()?)
}

/// The id of an object.
pub(crate) fn id_of(object: &Value) -> anyhow::Result<String> {
    let id = object.get("id").and_then(Value::as_str);
    let id = id.with_context(|| format!("expected an object with an id, got {object}"))?;
    Ok(id.to_owned())
}

/// A UUID's text as metadata holds it.
pub(crate) fn text_of(id: Uuid) -> String {
    id.to_string()
}

/// That both are the same.
pub(crate) fn expect<T: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: T,
    got: T,
) -> anyhow::Result<()> {
    if expected == got {
        return Ok(());
    }
    bail!("expected {what} to be {expected:?}, got {got:?}")
}
