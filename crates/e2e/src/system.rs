//! The system: a database, the simulator and the four services, and what a test does to them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use billing_devkit::{
    pki::{self, DevPki, SigningKey},
    ports,
};
use billing_harness::TestDatabase;
use billing_kit::{Clock, config::Env, tls::TlsFiles};
use billing_kit_db::DatabaseConfig;
use chrono::{DateTime, Utc};
use stripe_svc::{
    CatalogConfig,
    cli::{CatalogCommand, run_catalog},
};
use tokio::sync::watch;

use crate::{
    actors,
    host::{Host, Service},
};

/// The admin whom every system has.
pub const ADMIN_EMAIL: &str = "admin@example.com";
/// That admin's password.
pub const ADMIN_PASSWORD: &str = "correct horse battery staple";
/// The key that the simulator takes.
pub const STRIPE_KEY: &str = "sk_test_local";
/// What the simulator signs its webhooks with.
pub const WEBHOOK_SECRET: &str = "whsec_sample";

/// What session cookies are signed with.
pub const AUTH_SECRET: &str = "a-secret-for-tests-0123456789abcdef";

/// What notices are signed with.
const NOTICE_SECRET: &str = "a-secret-of-the-operators";

/// Another internal service, which may read org-svc.
const READER: &str = "developer";

/// A whole system. It is gone when it is dropped.
#[derive(Debug)]
pub struct System {
    /// Stripe.
    pub stripe: stripe_sim::Handle,
    ports: BTreeMap<Service, u16>,
    hosts: BTreeMap<Service, Host>,
    /// What the services take the time from, and what moves it where a test does.
    clock: Clock,
    time: Option<watch::Sender<DateTime<Utc>>>,
    /// The operator's own channel, where there is one.
    notice_url: Option<String>,
    /// What services are configured with in one test alone.
    more_variables: Vec<(Service, String, String)>,
    pki: DevPki,
    signing_key: SigningKey,
    // Last: the services let go of it first.
    database: TestDatabase,
}

impl System {
    /// A whole system on an empty, migrated database, with its catalog in Stripe and an admin.
    pub async fn start() -> Self {
        Self::start_on(TestDatabase::migrated().await).await
    }

    /// A whole system on a database that a test has prepared and migrated.
    pub async fn start_on(database: TestDatabase) -> Self {
        let mut system = Self::without_services(database).await;
        system.start_services();
        system
    }

    /// A whole system whose time stands still until [`Self::set_time`].
    pub async fn start_at(at: DateTime<Utc>) -> Self {
        let mut system = Self::without_services(TestDatabase::migrated().await).await;
        let (time, clock) = Clock::manual(at);
        (system.time, system.clock) = (Some(time), clock);
        system.set_time(at).await;
        system.start_services();
        system
    }

    /// A whole system that tells a channel at this address.
    pub async fn start_telling(notice_url: &str) -> Self {
        let mut system = Self::without_services(TestDatabase::migrated().await).await;
        system.notice_url = Some(notice_url.to_owned());
        system.start_services();
        system
    }

    /// A whole system with other variables than usual for some services.
    pub async fn start_with(variables: &[(Service, &str, &str)]) -> Self {
        let mut system = Self::without_services(TestDatabase::migrated().await).await;
        let owned = variables.iter().map(|(service, name, value)| {
            let (name, value) = ((*name).to_owned(), (*value).to_owned());
            (*service, name, value)
        });
        system.more_variables = owned.collect();
        system.start_services();
        system
    }

    /// Starts a running service anew with another variable.
    pub fn restart_with(&mut self, service: Service, name: &str, value: &str) {
        let variable = (service, name.to_owned(), value.to_owned());
        self.more_variables.push(variable);
        self.kill_service(service);
        self.start_service(service);
    }

    /// Makes it this time, for the services and for Stripe.
    ///
    /// # Panics
    /// The system was not started with a time that stands still.
    pub async fn set_time(&self, at: DateTime<Utc>) {
        let time = self.time.as_ref().expect("a system of `start_at`");
        // The services first: what Stripe then tells them must be signed in their present.
        time.send_replace(at);
        let skew = at - Clock::system().now();
        let disorder = serde_json::json!({ "signature_skew_s": skew.num_seconds() });
        let url = format!("{}/_sim/webhooks", self.stripe.base_url());
        let told = actors::http().post(url).json(&disorder).send().await;
        let told = told.and_then(reqwest::Response::error_for_status);
        told.expect("the simulator listens");
        self.stripe.set_clock(at.timestamp());
    }

    fn start_services(&mut self) {
        for service in Service::ALL {
            self.start_service(service);
        }
    }

    /// Everything but the services: a test starts these itself.
    pub async fn without_services(database: TestDatabase) -> Self {
        let dir = certificates_dir();
        let identities: Vec<_> = Service::ALL
            .iter()
            .map(|service| service.identity())
            .chain([READER])
            .collect();
        let pki = DevPki::ensure(&dir, &identities).expect("certificates");
        let signing_key = pki::ensure_signing_key(&dir).expect("a signing key");
        let ports: BTreeMap<_, _> = Service::ALL
            .map(|service| (service, ports::any_free().expect("a free port")))
            .into_iter()
            .collect();
        let stripe = start_stripe(ports.get(&Service::Gateway).copied().unwrap_or_default()).await;
        let system = Self {
            stripe,
            ports,
            hosts: BTreeMap::new(),
            clock: Clock::system(),
            time: None,
            notice_url: None,
            more_variables: Vec::new(),
            pki,
            signing_key,
            database,
        };
        system.prepare().await;
        system
    }

    /// The catalog in Stripe, and the admin.
    async fn prepare(&self) {
        let env = Env::from_variables(self.variables(Service::Stripe));
        let config = CatalogConfig::from_env(env, true).expect("a valid config");
        run_catalog(CatalogCommand::Apply, &config, &mut |_| {})
            .await
            .expect("the catalog applies");
        self.create_admin(ADMIN_EMAIL, ADMIN_PASSWORD).await;
    }

    /// Makes a user who is an admin.
    pub async fn create_admin(&self, email: &str, password: &str) {
        let database = DatabaseConfig::new(self.database.url(), 1);
        org_svc::cli::create_admin(&database, email, password.into())
            .await
            .expect("an admin");
    }

    /// Starts a service, or starts it again where it was.
    pub fn start_service(&mut self, service: Service) {
        let host = Host::start(service, self.variables(service), self.clock.clone());
        self.hosts.insert(service, host);
    }

    /// Ends a service as SIGKILL would.
    pub fn kill_service(&mut self, service: Service) {
        if let Some(host) = self.hosts.remove(&service) {
            host.kill();
        }
    }

    /// The gateway's address, without a slash at its end.
    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port(Service::Gateway))
    }

    /// The address of a service's gRPC.
    pub fn grpc_url(&self, service: Service) -> String {
        let scheme = if service == Service::Gateway {
            "http"
        } else {
            "https"
        };
        format!("{scheme}://localhost:{}", self.port(service))
    }

    /// The database beneath.
    pub fn database(&self) -> &TestDatabase {
        &self.database
    }

    /// The certificate that another internal service would show, and the authority's.
    pub fn reader_tls(&self) -> TlsFiles {
        self.tls_of(READER)
    }

    /// The certificate that one of the services shows to another, and the authority's.
    pub fn service_tls(&self, service: Service) -> TlsFiles {
        self.tls_of(service.identity())
    }

    fn tls_of(&self, identity: &str) -> TlsFiles {
        let (cert, key) = (self.pki.cert(identity), self.pki.key(identity));
        TlsFiles::read(&cert, &key, &self.pki.ca()).expect("certificates")
    }

    fn port(&self, service: Service) -> u16 {
        self.ports.get(&service).copied().unwrap_or_default()
    }

    /// What a service is configured with: the same variables as in production.
    fn variables(&self, service: Service) -> Vec<(String, String)> {
        let identity = service.identity();
        let text = |path: PathBuf| path.display().to_string();
        let url = |service| self.grpc_url(service);
        let mut variables = vec![
            ("LISTEN_ADDR", format!("127.0.0.1:{}", self.port(service))),
            ("TLS_CERT_FILE", text(self.pki.cert(identity))),
            ("TLS_KEY_FILE", text(self.pki.key(identity))),
            ("TLS_CA_FILE", text(self.pki.ca())),
        ];
        if let (Service::Org, Some(notice_url)) = (service, &self.notice_url) {
            variables.extend([
                ("NOTICE_URL", notice_url.clone()),
                ("NOTICE_SECRET", NOTICE_SECRET.to_owned()),
                ("NOTICE_PRIVATE_ADDRESSES", "true".to_owned()),
            ]);
        }
        variables.extend(match service {
            Service::Ingest => vec![
                ("DATABASE_URL", self.database.url().to_owned()),
                ("ORG_SVC_URL", url(Service::Org)),
                ("STRIPE_SVC_URL", url(Service::Stripe)),
                ("SILENCE_GATHER_SECONDS", "1".to_owned()),
                (
                    "ADMIN_ASSERTION_PUBLIC_KEY_FILE",
                    text(self.signing_key.public.clone()),
                ),
            ],
            Service::Org => vec![
                ("DATABASE_URL", self.database.url().to_owned()),
                ("STRIPE_SVC_URL", url(Service::Stripe)),
                (
                    "ADMIN_ASSERTION_PRIVATE_KEY_FILE",
                    text(self.signing_key.private.clone()),
                ),
                (
                    "ADMIN_ASSERTION_PUBLIC_KEY_FILE",
                    text(self.signing_key.public.clone()),
                ),
                ("ORG_READERS", READER.to_owned()),
                // All sign-ins of a test come from one address, within a second.
                ("AUTH_ATTEMPT_LIMIT", "off".to_owned()),
                ("NEW_ORGANIZATIONS_PER_NETWORK", "0".to_owned()),
                ("NEW_ORGANIZATIONS_UNKNOWN_SOURCE", "0".to_owned()),
            ],
            Service::Stripe => vec![
                ("DATABASE_URL", self.database.url().to_owned()),
                ("STRIPE_SECRET_KEY", STRIPE_KEY.to_owned()),
                ("STRIPE_API_BASE", self.stripe.base_url()),
                (
                    "CATALOG_FILE",
                    text(workspace_dir().join("stripe-svc/catalog.toml")),
                ),
                (
                    "ADMIN_ASSERTION_PUBLIC_KEY_FILE",
                    text(self.signing_key.public.clone()),
                ),
                ("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned()),
            ],
            Service::Gateway => vec![
                ("INGEST_SVC_URL", url(Service::Ingest)),
                ("ORG_SVC_URL", url(Service::Org)),
                ("STRIPE_SVC_URL", url(Service::Stripe)),
                ("BETTER_AUTH_SECRET", AUTH_SECRET.to_owned()),
                ("BETTER_AUTH_URL", self.base_url()),
                ("NEXT_PUBLIC_BETTER_AUTH_URL", self.base_url()),
                // A test says where an instance is.
                ("TRUSTED_PROXIES", "127.0.0.1".to_owned()),
                // One machine stands for all instances, and a minute for months.
                ("REPORTS_PER_MINUTE_PER_ADDRESS", "0".to_owned()),
                ("REPORTS_PER_MINUTE_PER_ORGANIZATION", "0".to_owned()),
            ],
        });
        self.overridden(service, variables)
    }

    /// These variables of a service, and over them what the test set.
    fn overridden(
        &self,
        service: Service,
        variables: Vec<(&str, String)>,
    ) -> Vec<(String, String)> {
        let more = self.more_variables.iter();
        let more = more.filter(|(of, _, _)| *of == service);
        let more = more.map(|(_, name, value)| (name.clone(), value.clone()));
        let mut all: BTreeMap<_, _> = variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        all.extend(more);
        all.into_iter().collect()
    }
}

/// A simulator that tells the gateway of every event.
async fn start_stripe(gateway_port: u16) -> stripe_sim::Handle {
    let webhook = stripe_sim::WebhookConfig {
        url: format!("http://127.0.0.1:{gateway_port}/api/webhooks/stripe"),
        secret: WEBHOOK_SECRET.into(),
    };
    let config = stripe_sim::Config {
        webhook: Some(webhook),
        ..stripe_sim::Config::default()
    };
    stripe_sim::Simulator::start(config)
        .await
        .expect("the simulator starts")
}

fn workspace_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Shared by all tests: making keys takes longer than using them.
fn certificates_dir() -> PathBuf {
    workspace_dir().join("target/test/pki")
}
