//! Organizations, their link to Stripe, and the admins.
//!
//! A request walks one way: `grpc` (what it says) → `app` (what is done, in which transaction) →
//! `domain` (what is decided) and `store` (what is kept). `worker` carries on what a request left
//! behind; `cli` is the operator's door to the same use cases.
//!
//! Architecture invariant: nothing here talks to Stripe. What Stripe is to do is a stored operation
//! that stripe-svc is asked to carry out, as often as it takes.
//!
//! Architecture invariant: no other service reads or writes these tables; Better Auth's own are
//! shared with a running Better Auth, and only ever written as it would.

mod access;
mod app;
mod channel;
pub mod cli;
mod config;
mod domain;
mod grpc;
#[cfg(feature = "plant-link-restarts")]
mod plant;
mod store;
mod stripe_svc;
mod wire;
mod worker;

use std::{net::SocketAddr, sync::Arc};

use billing_kit::{
    Clock, Ids,
    health::{self, Health},
    process::Lifecycle,
    server,
};
use billing_kit_db::Readiness;
use billing_proto::org::v1::{
    admin_session_service_server::AdminSessionServiceServer,
    api_key_service_server::ApiKeyServiceServer, audit_service_server::AuditServiceServer,
    notice_service_server::NoticeServiceServer,
    organization_service_server::OrganizationServiceServer,
};
use sea_orm::DatabaseConnection;
use tokio::{net::TcpListener, sync::Notify};
use tonic::service::Routes;

use crate::{
    app::{Admins, Organizations, PasswordRules, count_organizations::KeptCounts},
    channel::Channel,
    grpc::{AdminSessions, ApiKeys, Audit, Notices, OrganizationsService},
    store::better_auth::DetectError,
    stripe_svc::StripeSvc,
};

pub use channel::ChannelConfig;
pub use config::Config;
pub use domain::{admission::AdmissionCaps, attempts::AttemptLimit};

/// The database role of this service.
const ROLE: &str = "billing_org";

/// Why nobody could sign in.
const ELSEWHERE: &str = "Better Auth's tables seem to be called users, sessions and accounts here (usePlural), and nobody is in \"user\", which the migrations made. Put views with Better Auth's own names over them, as docs/OPERATIONS.md says under \"Renamed tables and columns\"; or, if these tables are something else, begin with: org-svc admin create EMAIL";

/// What is not configured but taken from the world.
#[derive(Debug, Clone)]
pub struct Deps {
    /// Tells the time.
    pub clock: Clock,
    /// Makes the ids of new rows.
    pub ids: Ids,
}

impl Deps {
    /// The machine's own clock, and random ids.
    pub fn system() -> Self {
        Self {
            clock: Clock::system(),
            ids: Ids::random(),
        }
    }
}

/// A service that runs.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Whether it can do its work.
    pub health: Health,
}

/// Builds the service, binds it and starts its tasks on `life`.
///
/// # Errors
/// What keeps it from starting, as a sentence with its fix. A database that is away is no error.
pub async fn start(config: Config, deps: Deps, life: Lifecycle) -> Result<Running, String> {
    let Deps { clock, ids } = deps;
    let (signer, verifier) = config.assertion_keys(clock.clone())?;
    let db = connect(&config.database).await?;
    let admins = Arc::new(Admins::new(
        db.clone(),
        clock.clone(),
        ids.clone(),
        PasswordRules {
            address_limit: config.attempt_limit,
            account_limit: config.account_limit,
            notices: config.notices.is_some(),
        },
    ));
    check_tables(&admins).await?;
    let organizations = Arc::new(Organizations {
        db: db.clone(),
        clock,
        ids,
        stripe_svc: StripeSvc::new(&config.stripe_svc_url, config.tls.as_ref())?,
        life: life.clone(),
        changed: Notify::new(),
        due: Notify::new(),
        drain_max: config.cancel_drain,
        counts: KeptCounts::default(),
        admission_caps: config.admission_caps,
        channel: config.notices.clone().map(Channel::new).transpose()?,
    });

    let listener = health::bind("LISTEN_ADDR", config.listen.addr).await?;
    let addr = listener.local_addr().map_err(|error| error.to_string())?;
    let routes = routes(
        OrganizationsService {
            app: Arc::clone(&organizations),
            verifier: verifier.clone(),
        },
        AdminSessions {
            app: Arc::clone(&admins),
            signer,
        },
        ApiKeys {
            app: Arc::clone(&admins),
            verifier: verifier.clone(),
        },
        Audit {
            app: admins,
            verifier: verifier.clone(),
        },
        Notices {
            app: Arc::clone(&organizations),
            verifier,
        },
    )?;
    spawn_workers(organizations, &life);
    let readiness = Readiness::new(db, ROLE);
    let health = Health::new(move || {
        let readiness = readiness.clone();
        async move { readiness.is_ready().await }
    });
    life.spawn_worker(
        "grpc",
        serve(config, listener, routes, health.clone(), life.clone()),
    );
    Ok(Running { addr, health })
}

fn spawn_workers(organizations: Arc<Organizations>, life: &Lifecycle) {
    life.spawn_worker(
        "link_operations",
        worker::link_operations::run(Arc::clone(&organizations)),
    );
    life.spawn_worker(
        "search_forms",
        worker::search_forms::run(Arc::clone(&organizations)),
    );
    if let Some(channel) = organizations.channel.clone() {
        let sending = worker::notices::run(Arc::clone(&organizations), channel);
        life.spawn_worker("notices", sending);
    }
    life.spawn_worker("subscriptions", worker::subscriptions::run(organizations));
}

/// A pool in this service's role.
async fn connect(database: &billing_kit_db::DatabaseConfig) -> Result<DatabaseConnection, String> {
    let db = billing_kit_db::connect(database, ROLE)
        .await
        .map_err(|error| format!("DATABASE_URL cannot be used: {error}"))?;
    billing_kit_db::check_role(&db, ROLE).await?;
    Ok(db)
}

/// Looks at Better Auth's tables now, where the database is there; otherwise when they are first
/// needed.
async fn check_tables(admins: &Admins) -> Result<(), String> {
    match admins.tables().await {
        Ok(tables) => match tables.are_elsewhere(&admins.db).await {
            Ok(true) => Err(ELSEWHERE.to_owned()),
            Ok(false) => Ok(()),
            Err(fault) => {
                fault.log();
                Ok(())
            }
        },
        Err(DetectError::Unsupported(problem)) => Err(problem),
        Err(DetectError::Database(fault)) => {
            fault.log();
            Ok(())
        }
    }
}

fn routes(
    organizations: OrganizationsService,
    admin_sessions: AdminSessions,
    api_keys: ApiKeys,
    audit: Audit,
    notices: Notices,
) -> Result<Routes, String> {
    let reflection = server::reflection(&[
        "billing.org.v1.OrganizationService",
        "billing.org.v1.AdminSessionService",
        "billing.org.v1.ApiKeyService",
        "billing.org.v1.AuditService",
        "billing.org.v1.NoticeService",
    ])
    .map_err(|fault| fault.to_string())?;
    Ok(reflection
        .add_service(OrganizationServiceServer::new(organizations))
        .add_service(AdminSessionServiceServer::new(admin_sessions))
        .add_service(ApiKeyServiceServer::new(api_keys))
        .add_service(AuditServiceServer::new(audit))
        .add_service(NoticeServiceServer::new(notices)))
}

async fn serve(
    config: Config,
    listener: TcpListener,
    routes: Routes,
    health: Health,
    life: Lifecycle,
) {
    let table = access::table(&config.org_readers);
    let tls = config.listen.tls.as_ref();
    if let Err(error) = server::serve(listener, tls, routes, table, health, life.stop).await {
        tracing::error!(%error, "the gRPC port stopped");
    }
}
