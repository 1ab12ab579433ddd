//! A world for one test: its own migrated database, a clock that the test moves, and org-svc in this
//! process, as often as the test wants it.

pub(crate) mod stripe_svc;

use std::{
    fmt::Debug,
    future::Future,
    time::{Duration, Instant},
};

use billing_devkit::postgres::TestDatabase;
use billing_kit::{
    Clock, Fault, Ids,
    assertion::{ADMIN_ASSERTION, Admin, Signer},
    client::{self, ServiceChannel},
    config::Env,
    process::Lifecycle,
};
use billing_kit_db::DatabaseConfig;
use billing_proto::org::v1::{
    ObserveOrganizationsRequest, Organization, OrganizationObservation, OrganizationStanding,
    admin_session_service_client::AdminSessionServiceClient,
    api_key_service_client::ApiKeyServiceClient, audit_service_client::AuditServiceClient,
    notice_service_client::NoticeServiceClient,
    organization_service_client::OrganizationServiceClient,
};
use chrono::{DateTime, TimeDelta, Utc};
use org_svc::{Config, Deps};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, QueryResult, Statement};
use tokio::sync::watch;
use tonic::{Request, Status};
use url::Url;
use uuid::Uuid;

pub(crate) use billing_proto::common::v1::ErrorReason;

// Made for these tests alone.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";

const DEADLINE: Duration = Duration::from_secs(15);
const CALL_DEADLINE: Duration = Duration::from_secs(10);

pub(crate) struct World {
    database: TestDatabase,
    /// The tables, in the service's own role.
    pub(crate) db: DatabaseConnection,
    time: watch::Sender<DateTime<Utc>>,
    clock: Clock,
}

impl World {
    pub(crate) async fn new() -> Self {
        let database = tokio::task::spawn_blocking(TestDatabase::create)
            .await
            .unwrap()
            .unwrap();
        let owner = Self::as_owner(&database).await;
        migrations::up(&owner).await.unwrap();
        owner.close().await.unwrap();
        let db = billing_kit_db::connect(&DatabaseConfig::new(database.url(), 4), "billing_org")
            .await
            .unwrap();
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let (time, clock) = Clock::manual(start);
        Self {
            database,
            db,
            time,
            clock,
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "whoever owns the tables makes them, in no service's role"
    )]
    async fn as_owner(database: &TestDatabase) -> DatabaseConnection {
        sea_orm::Database::connect(database.url()).await.unwrap()
    }

    /// Runs statements as the owner of the tables.
    pub(crate) async fn as_owner_run(&self, sql: &str) {
        let owner = Self::as_owner(&self.database).await;
        owner.execute_unprepared(sql).await.unwrap();
        owner.close().await.unwrap();
    }

    pub(crate) fn database_url(&self) -> &str {
        self.database.url()
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    pub(crate) fn pass(&self, span: TimeDelta) {
        self.time.send_modify(|now| *now += span);
    }

    pub(crate) fn config(&self, stripe_svc: &Url) -> Config {
        let variables = [
            ("DATABASE_URL", self.database.url()),
            ("STRIPE_SVC_URL", stripe_svc.as_str()),
            ("ADMIN_ASSERTION_PRIVATE_KEY", PRIVATE),
            ("LISTEN_ADDR", "127.0.0.1:0"),
            ("AUTH_ATTEMPT_LIMIT", "off"),
            ("NEW_ORGANIZATIONS_PER_NETWORK", "5"),
            ("NEW_ORGANIZATIONS_UNKNOWN_SOURCE", "0"),
        ];
        let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Config::from_env(Env::from_variables(owned)).unwrap()
    }

    /// A replica of org-svc.
    pub(crate) async fn start(&self, stripe_svc: &Url) -> OrgSvc {
        self.start_with(self.config(stripe_svc)).await
    }

    pub(crate) async fn start_with(&self, config: Config) -> OrgSvc {
        let life = Lifecycle::new();
        let deps = Deps {
            clock: self.clock.clone(),
            ids: Ids::random(),
        };
        let running = org_svc::start(config, deps, life.clone()).await.unwrap();
        OrgSvc::at(&format!("http://{}", running.addr), life)
    }

    /// A replica that never needs stripe-svc.
    pub(crate) async fn start_alone(&self) -> OrgSvc {
        self.start(&nowhere()).await
    }

    /// A request with an admin's assertion.
    pub(crate) fn as_admin<T>(&self, message: T) -> Request<T> {
        let admin = Admin {
            user_id: "admin-1".to_owned(),
            email: "admin@vaultai.example".to_owned(),
        };
        let signer = Signer::from_pem(&PRIVATE.into()).unwrap();
        let assertion = signer.sign(&admin, self.now()).unwrap();
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert(ADMIN_ASSERTION, assertion.parse().unwrap());
        request
    }

    pub(crate) async fn rows(&self, sql: &str) -> Vec<QueryResult> {
        let statement = Statement::from_string(DbBackend::Postgres, sql);
        self.db.query_all_raw(statement).await.unwrap()
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.rows(sql).await[0].try_get_by_index(0).unwrap()
    }

    pub(crate) async fn text(&self, sql: &str) -> Option<String> {
        self.rows(sql).await[0].try_get_by_index(0).unwrap()
    }
}

/// Where nobody listens.
pub(crate) fn nowhere() -> Url {
    Url::parse("http://127.0.0.1:9").unwrap()
}

/// A running replica, and clients to it.
pub(crate) struct OrgSvc {
    pub(crate) organizations: OrganizationServiceClient<ServiceChannel>,
    pub(crate) sessions: AdminSessionServiceClient<ServiceChannel>,
    pub(crate) api_keys: ApiKeyServiceClient<ServiceChannel>,
    pub(crate) audit: AuditServiceClient<ServiceChannel>,
    pub(crate) notices: NoticeServiceClient<ServiceChannel>,
    pub(crate) watching: OrganizationServiceClient<ServiceChannel>,
    pub(crate) life: Lifecycle,
}

impl OrgSvc {
    pub(crate) fn at(url: &str, life: Lifecycle) -> Self {
        let url = Url::parse(url).unwrap();
        let channel = client::channel(&url, None, CALL_DEADLINE).unwrap();
        let streams = client::stream_channel(&url, None).unwrap();
        Self {
            organizations: OrganizationServiceClient::new(channel.clone()),
            sessions: AdminSessionServiceClient::new(channel.clone()),
            api_keys: ApiKeyServiceClient::new(channel.clone()),
            audit: AuditServiceClient::new(channel.clone()),
            notices: NoticeServiceClient::new(channel),
            watching: OrganizationServiceClient::new(streams),
            life,
        }
    }

    pub(crate) async fn observe(
        &self,
        observations: Vec<OrganizationObservation>,
    ) -> Vec<OrganizationStanding> {
        let request = ObserveOrganizationsRequest {
            observations,
            tentative: false,
        };
        let mut client = self.organizations.clone();
        let response = client.observe_organizations(request);
        response.await.unwrap().into_inner().standings
    }

    pub(crate) async fn get(&self, id: Uuid) -> Organization {
        let request = billing_proto::org::v1::GetOrganizationRequest {
            organization_id: id.to_string(),
        };
        let mut client = self.organizations.clone();
        let response = client.get_organization(request);
        response.await.unwrap().into_inner().organization.unwrap()
    }
}

pub(crate) fn observation(
    id: Uuid,
    name: &str,
    url: &str,
    time: DateTime<Utc>,
) -> OrganizationObservation {
    OrganizationObservation {
        organization_id: id.to_string(),
        name: name.to_owned(),
        instance_url: url.to_owned(),
        observe_time: Some(billing_kit::proto_time::to_proto(time)),
        outdated: false,
        source_network: String::new(),
    }
}

pub(crate) fn new_id() -> Uuid {
    Ids::random().next()
}

/// Why a call failed.
pub(crate) fn fault<T: Debug>(answer: Result<T, Status>) -> Fault {
    Fault::from_status(answer.unwrap_err())
}

/// Looks until there is something to see, or fails.
pub(crate) async fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let begun = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(begun.elapsed() < DEADLINE, "never seen: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
