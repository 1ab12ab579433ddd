//! A simulated account, a database, and services that run on both.

use std::{future::Future, net::SocketAddr, time::Duration};

use billing_devkit::postgres::TestDatabase;
use billing_kit::{
    Clock, Ids,
    assertion::{ADMIN_ASSERTION, Admin, Signer},
    client,
    config::Env,
    process::Lifecycle,
};
use billing_proto::{
    common::v1::{
        DeploymentType, ListMeterErrorsRequest, ListWebhookEventsRequest,
        ListWebhookEventsResponse, MeterError, PlanType, RetryWebhookEventRequest, WebhookEvent,
        WebhookEventState,
    },
    stripe::v1::{
        CancelSubscriptionRequest, MeterEvent, MeterEventOutcome, ProvisionSubscriptionRequest,
        ProvisionedSubscription, ReceiveWebhookRequest, RecordMeterEventsRequest, StripeRefusal,
        UpdateSubscriptionRequest, WatchSubscriptionsRequest, WatchSubscriptionsResponse,
        cancel_subscription_response::Outcome as CancelOutcome,
        meter_event_outcome::Outcome as EventOutcome,
        meter_event_service_client::MeterEventServiceClient,
        provision_subscription_response::Outcome as ProvisionOutcome,
        subscription_service_client::SubscriptionServiceClient,
        update_subscription_response::Outcome as UpdateOutcome,
        webhook_service_client::WebhookServiceClient,
    },
};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, QueryResult, Statement,
};
use serde_json::Value;
use sha2::Sha256;
use stripe_sim::{Config as SimConfig, Fault, FaultEffect, FaultResponse, Handle, Simulator};
use stripe_svc::{
    CatalogConfig, Config, Deps,
    cli::{CatalogCommand, Ended, run_catalog},
};
use tokio::{runtime::Runtime, sync::watch};
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

pub(crate) const CUSTOMERS: &str = "POST /v1/customers";
pub(crate) const SUBSCRIPTIONS: &str = "POST /v1/subscriptions";
pub(crate) const METER_EVENTS: &str = "POST /v1/billing/meter_events";

// A pair that was made for tests alone.
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
pub(crate) const WEBHOOK_SECRET: &str = "whsec_sample";

/// How long something may take that happens by itself.
const EVENTUALLY_MAX: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The longest that the next sweep is away: ten minutes, and what is added at random.
const SWEEP_PERIOD_MAX: TimeDelta = TimeDelta::minutes(11);

/// One account in Stripe, one database, and the time of both.
pub(crate) struct World {
    pub(crate) sim: Handle,
    pub(crate) db: DatabaseConnection,
    database: TestDatabase,
    time: watch::Sender<DateTime<Utc>>,
    clock: Clock,
}

impl World {
    /// With the catalog applied.
    pub(crate) async fn start() -> Self {
        let world = Self::without_catalog().await;
        assert_eq!(world.apply_catalog().await, Ended::Agrees);
        world
    }

    /// With an empty account.
    pub(crate) async fn without_catalog() -> Self {
        let database = tokio::task::spawn_blocking(TestDatabase::create);
        let database = database.await.unwrap().expect("run `cargo xtask test`");
        #[expect(
            clippy::disallowed_methods,
            reason = "the test looks at the tables as their owner, not in the service's role"
        )]
        let db = sea_orm::Database::connect(
            ConnectOptions::new(database.url())
                .max_connections(2)
                .sqlx_logging(false)
                .clone(),
        )
        .await
        .unwrap();
        migrations::up(&db).await.unwrap();
        let sim = Simulator::start(SimConfig::default()).await.unwrap();
        let now = DateTime::from_timestamp(sim.now(), 0).unwrap();
        let (time, clock) = Clock::manual(now);
        Self {
            sim,
            db,
            database,
            time,
            clock,
        }
    }

    /// Moves the time, here and in Stripe.
    pub(crate) fn advance(&self, by: TimeDelta) {
        self.time.send_modify(|now| *now += by);
        self.sim.advance_clock(by.to_std().unwrap());
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Waits until the first sweep has its time.
    pub(crate) async fn sweep_planned(&self) {
        self.has_rows(
            "a pass is planned",
            "SELECT count(*) AS n FROM stripe_sweeps",
        )
        .await;
    }

    /// Moves the time until a sweep is due, and waits until it has ended.
    pub(crate) async fn pass_sweep(&self) {
        self.sweep_planned().await;
        let ended = format!(
            "SELECT count(*) AS n FROM stripe_sweeps WHERE last_ended_at > '{}'",
            self.now().to_rfc3339()
        );
        self.advance(SWEEP_PERIOD_MAX);
        self.has_rows("the pass has ended", &ended).await;
    }

    async fn has_rows(&self, what: &str, query: &str) {
        eventually(what, || async {
            self.row(query).await.try_get::<i64>("", "n").unwrap() > 0
        })
        .await;
    }

    pub(crate) fn env(&self, more: &[(&str, &str)]) -> Env {
        let base = self.sim.base_url();
        let variables = [
            ("DATABASE_URL", self.database.url()),
            ("STRIPE_SECRET_KEY", "sk_test_local"),
            ("STRIPE_API_BASE", &base),
            ("LISTEN_ADDR", "127.0.0.1:0"),
            ("ADMIN_ASSERTION_PUBLIC_KEY", PUBLIC_KEY),
            ("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ];
        let variables = variables.iter().chain(more);
        Env::from_variables(variables.map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
    }

    pub(crate) async fn apply_catalog(&self) -> Ended {
        let config = CatalogConfig::from_env(self.env(&[]), true).unwrap();
        run_catalog(CatalogCommand::Apply, &config, &mut |_| ())
            .await
            .unwrap()
    }

    /// A replica of the service.
    pub(crate) async fn service(&self) -> Service {
        self.service_with(&[]).await
    }

    pub(crate) async fn service_with(&self, variables: &[(&str, &str)]) -> Service {
        let config = Config::from_env(self.env(variables)).unwrap();
        let deps = Deps {
            clock: self.clock.clone(),
            ids: Ids::random(),
        };
        // A runtime of its own, so that it can be killed as a process can.
        let runtime = Runtime::new().unwrap();
        let life = Lifecycle::new();
        let started = runtime.spawn(stripe_svc::start(config, deps, life));
        let addr = started.await.unwrap().unwrap().addr;
        Service {
            runtime: Some(runtime),
            addr,
        }
    }

    /// A call on an admin's behalf.
    pub(crate) fn as_admin<T>(&self, message: T) -> tonic::Request<T> {
        let admin = Admin {
            user_id: "user_1".to_owned(),
            email: "admin@vaultai.example".to_owned(),
        };
        let signer = Signer::from_pem(&PRIVATE_KEY.into()).unwrap();
        let assertion = signer.sign(&admin, self.now()).unwrap();
        let mut request = tonic::Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert(ADMIN_ASSERTION, assertion.parse().unwrap());
        request
    }

    /// How Stripe signs a webhook now.
    pub(crate) fn signature(&self, body: &str) -> String {
        sign(body, WEBHOOK_SECRET, self.now())
    }

    /// Asks the simulator's control plane.
    pub(crate) async fn sim_control(&self, path: &str, body: &Value) {
        let url = format!("{}{path}", self.sim.base_url());
        let response = plain_http().post(url).body(body.to_string()).send().await;
        assert!(response.unwrap().status().is_success());
    }

    /// Changes the tables.
    pub(crate) async fn execute(&self, sql: &str) {
        let statement = Statement::from_string(DbBackend::Postgres, sql);
        self.db.execute_raw(statement).await.unwrap();
    }

    /// Makes Stripe misbehave on the next calls of a route.
    pub(crate) fn fault(&self, fault: Fault) {
        self.sim.inject(fault).unwrap();
    }

    pub(crate) fn assert_faults_struck(&self) {
        assert_eq!(self.sim.unspent_faults(), Vec::<String>::new());
    }

    /// How often Stripe was called on a route.
    pub(crate) fn calls(&self, route: &str) -> u64 {
        let ledger = self.sim.ledger_of(&[]);
        ledger.requests_by_route.get(route).map_or(0, |it| it.calls)
    }

    /// The idempotency keys on a route, of the calls that got as far as to be looked at.
    pub(crate) fn keys(&self, route: &str) -> Vec<String> {
        let requests = self.sim.ledger().recent_requests.into_iter();
        let requests = requests.filter(|request| request.route == route);
        requests.filter_map(|it| it.idempotency_key).collect()
    }

    /// Asserts that the account holds one customer and one subscription, and gives them.
    pub(crate) fn one_of_each(&self) -> (Value, Value) {
        let ledger = self.sim.ledger();
        let ([customer], [subscription]) =
            (ledger.customers.as_slice(), ledger.subscriptions.as_slice())
        else {
            panic!(
                "{} customers and {} subscriptions",
                ledger.customers.len(),
                ledger.subscriptions.len()
            );
        };
        (customer.clone(), subscription.clone())
    }

    /// Asks Stripe itself.
    pub(crate) async fn stripe(
        &self,
        method: reqwest::Method,
        path: &str,
        form: &[(&str, &str)],
    ) -> Value {
        let url = format!("{}{path}", self.sim.base_url());
        let http = plain_http();
        let request = http.request(method, url).bearer_auth("sk_test_local");
        let request = if form.is_empty() {
            request
        } else {
            request.form(form)
        };
        let response = request.send().await.unwrap();
        assert!(
            response.status().is_success(),
            "{}",
            response.text().await.unwrap()
        );
        response.json().await.unwrap()
    }

    /// What the day's summary of a customer says.
    pub(crate) async fn metered(&self, customer: &str, day: DateTime<Utc>) -> Option<f64> {
        let meter = self.sim.ledger().meters[0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let start = day.timestamp() / 86_400 * 86_400;
        let path = format!(
            "/v1/billing/meters/{meter}/event_summaries?customer={customer}&start_time={start}&end_time={}",
            start + 86_400
        );
        let page = self.stripe(reqwest::Method::GET, &path, &[]).await;
        page["data"][0]["aggregated_value"].as_f64()
    }

    /// A customer in Stripe that we did not make.
    pub(crate) async fn customer(&self) -> String {
        let form = [("name", "Acme"), ("email", "billing@acme.example")];
        let customer = self
            .stripe(reqwest::Method::POST, "/v1/customers", &form)
            .await;
        customer["id"].as_str().unwrap().to_owned()
    }

    /// One that nobody takes for Acme.
    pub(crate) async fn customer_of_another_address(&self) {
        let form = [("name", "Globex"), ("email", "billing@globex.example")];
        self.stripe(reqwest::Method::POST, "/v1/customers", &form)
            .await;
    }

    /// The one row of a query.
    pub(crate) async fn row(&self, sql: &str) -> QueryResult {
        let statement = Statement::from_string(DbBackend::Postgres, sql);
        self.db.query_one_raw(statement).await.unwrap().unwrap()
    }
}

/// A running replica.
pub(crate) struct Service {
    runtime: Option<Runtime>,
    pub(crate) addr: SocketAddr,
}

impl Service {
    /// Ends it as a lost machine would: nothing is finished.
    pub(crate) fn kill(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    fn stream_channel(&self) -> client::ServiceChannel {
        let url = format!("http://{}", self.addr).parse().unwrap();
        client::stream_channel(&url, None).unwrap()
    }

    fn channel(&self) -> client::ServiceChannel {
        let url = format!("http://{}", self.addr).parse().unwrap();
        client::channel(&url, None, Duration::from_secs(60)).unwrap()
    }

    pub(crate) async fn provision(
        &self,
        request: &ProvisionSubscriptionRequest,
    ) -> Result<ProvisionOutcome, Status> {
        let mut client = SubscriptionServiceClient::new(self.channel());
        let response = client.provision_subscription(request.clone()).await?;
        Ok(response.into_inner().outcome.unwrap())
    }

    pub(crate) async fn provisioned(
        &self,
        request: &ProvisionSubscriptionRequest,
    ) -> ProvisionedSubscription {
        match self.provision(request).await.unwrap() {
            ProvisionOutcome::Provisioned(provisioned) => provisioned,
            ProvisionOutcome::Refusal(refusal) => panic!("refused: {refusal:?}"),
        }
    }

    pub(crate) async fn refused(&self, request: &ProvisionSubscriptionRequest) -> StripeRefusal {
        match self.provision(request).await.unwrap() {
            ProvisionOutcome::Provisioned(provisioned) => panic!("provisioned: {provisioned:?}"),
            ProvisionOutcome::Refusal(refusal) => refusal,
        }
    }

    /// The same with a deadline of the caller's own.
    pub(crate) async fn provision_within(
        &self,
        request: &ProvisionSubscriptionRequest,
        deadline: Duration,
    ) -> Result<ProvisionOutcome, Status> {
        let mut client = SubscriptionServiceClient::new(self.channel());
        let mut request = tonic::Request::new(request.clone());
        request.set_timeout(deadline);
        let response = client.provision_subscription(request).await?;
        Ok(response.into_inner().outcome.unwrap())
    }

    pub(crate) async fn update(
        &self,
        request: &UpdateSubscriptionRequest,
    ) -> Result<UpdateOutcome, Status> {
        let mut client = SubscriptionServiceClient::new(self.channel());
        let response = client.update_subscription(request.clone()).await?;
        Ok(response.into_inner().outcome.unwrap())
    }

    pub(crate) async fn cancel(
        &self,
        request: &CancelSubscriptionRequest,
    ) -> Result<CancelOutcome, Status> {
        let mut client = SubscriptionServiceClient::new(self.channel());
        let response = client.cancel_subscription(request.clone()).await?;
        Ok(response.into_inner().outcome.unwrap())
    }

    /// The feed of subscriptions behind a cursor.
    pub(crate) async fn watch(&self, cursor: i64) -> Feed {
        let mut client = SubscriptionServiceClient::new(self.stream_channel());
        let request = WatchSubscriptionsRequest { cursor };
        Feed(
            client
                .watch_subscriptions(request)
                .await
                .unwrap()
                .into_inner(),
        )
    }

    pub(crate) async fn watch_fails(&self, cursor: i64) -> Code {
        let mut client = SubscriptionServiceClient::new(self.stream_channel());
        let request = WatchSubscriptionsRequest { cursor };
        client
            .watch_subscriptions(request)
            .await
            .unwrap_err()
            .code()
    }

    fn inbox(&self) -> WebhookServiceClient<client::ServiceChannel> {
        WebhookServiceClient::new(self.channel())
    }

    /// Delivers a webhook as it is signed.
    pub(crate) async fn deliver_signed(&self, body: &str, signature: &str) -> Result<(), Status> {
        let request = ReceiveWebhookRequest {
            payload: body.as_bytes().to_vec(),
            signature: signature.to_owned(),
        };
        self.inbox().receive_webhook(request).await.map(drop)
    }

    /// The inbox as an admin sees it: the latest first.
    pub(crate) async fn webhooks(
        &self,
        world: &World,
        state: WebhookEventState,
    ) -> Vec<WebhookEvent> {
        let request = ListWebhookEventsRequest {
            state: state.into(),
            ..ListWebhookEventsRequest::default()
        };
        let listed = self
            .inbox()
            .list_webhook_events(world.as_admin(request))
            .await;
        listed.unwrap().into_inner().events
    }

    pub(crate) async fn list_webhooks(
        &self,
        request: tonic::Request<ListWebhookEventsRequest>,
    ) -> Result<ListWebhookEventsResponse, Status> {
        let listed = self.inbox().list_webhook_events(request).await;
        listed.map(tonic::Response::into_inner)
    }

    pub(crate) async fn retry_webhook(
        &self,
        world: &World,
        id: &str,
    ) -> Result<WebhookEvent, Status> {
        let request = RetryWebhookEventRequest {
            event_id: id.to_owned(),
        };
        let retried = self
            .inbox()
            .retry_webhook_event(world.as_admin(request))
            .await?;
        Ok(retried.into_inner().event.unwrap())
    }

    pub(crate) async fn meter_errors(&self, world: &World) -> Vec<MeterError> {
        let request = world.as_admin(ListMeterErrorsRequest::default());
        let listed = self.inbox().list_meter_errors(request).await;
        listed.unwrap().into_inner().errors
    }

    pub(crate) async fn try_record(
        &self,
        events: Vec<MeterEvent>,
        deadline: Duration,
    ) -> Result<Vec<EventOutcome>, Status> {
        let mut client = MeterEventServiceClient::new(self.channel());
        let mut request = tonic::Request::new(RecordMeterEventsRequest { events });
        request.set_timeout(deadline);
        let response = client.record_meter_events(request).await?;
        let outcomes = response.into_inner().outcomes.into_iter();
        Ok(outcomes
            .map(|MeterEventOutcome { outcome }| outcome.unwrap())
            .collect())
    }

    pub(crate) async fn record(&self, events: Vec<MeterEvent>) -> Vec<EventOutcome> {
        self.try_record(events, Duration::from_secs(30))
            .await
            .unwrap()
    }

    pub(crate) async fn record_one(&self, event: &MeterEvent) -> EventOutcome {
        let mut outcomes = self.record(vec![event.clone()]).await;
        assert_eq!(outcomes.len(), 1);
        outcomes.remove(0)
    }
}

/// A reader of the feed.
pub(crate) struct Feed(Streaming<WatchSubscriptionsResponse>);

impl Feed {
    /// The next changes, as soon as there are some.
    pub(crate) async fn next(&mut self) -> WatchSubscriptionsResponse {
        let next = tokio::time::timeout(EVENTUALLY_MAX, self.0.message()).await;
        next.expect("the feed brings nothing").unwrap().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

/// `Stripe-Signature`, made as Stripe makes it.
pub(crate) fn sign(body: &str, secret: &str, at: DateTime<Utc>) -> String {
    let seconds = at.timestamp();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{seconds}.{body}").as_bytes());
    let bytes = mac.finalize().into_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

/// A client for the simulator. It never speaks TLS, but cannot be built without knowing how.
fn plain_http() -> reqwest::Client {
    // Another test of this process may have been first.
    let _first = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .timeout(EVENTUALLY_MAX)
        .build()
        .unwrap()
}

/// A link as org-svc asks for it, each of another organization.
pub(crate) fn link() -> ProvisionSubscriptionRequest {
    ProvisionSubscriptionRequest {
        operation_id: new_id(),
        organization_id: new_id(),
        organization_name: "Acme Corp".to_owned(),
        admin_email: "billing@acme.example".to_owned(),
        deployment_type: DeploymentType::OnPremise.into(),
        plan_type: PlanType::ManagedCloud.into(),
        trial_days: 4,
        adopt_customer_id: String::new(),
    }
}

/// The next operation on the same organization.
pub(crate) fn another(request: &ProvisionSubscriptionRequest) -> ProvisionSubscriptionRequest {
    ProvisionSubscriptionRequest {
        operation_id: new_id(),
        ..request.clone()
    }
}

pub(crate) fn new_id() -> String {
    Ids::random().next().to_string()
}

pub(crate) fn event(customer: &str, value: i64, at: DateTime<Utc>) -> MeterEvent {
    MeterEvent {
        identifier: format!("report-{}", Uuid::parse_str(&new_id()).unwrap().simple()),
        stripe_customer_id: customer.to_owned(),
        value,
        event_time: Some(billing_kit::proto_time::to_proto(at)),
        resend_count: 0,
    }
}

/// An answer of Stripe's in place of its own.
pub(crate) fn answer(status: u16) -> FaultResponse {
    FaultResponse::status(status)
}

/// A fault that strikes the next call of a route.
pub(crate) fn once(route: &str, effect: FaultEffect) -> Fault {
    Fault::once(route, effect)
}

/// Polls until something is so.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let polled = tokio::time::timeout(EVENTUALLY_MAX, async {
        while !is_so().await {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    });
    assert!(polled.await.is_ok(), "it never came to be: {what}");
}
