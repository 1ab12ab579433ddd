//! Usage reports: taken in once and for all, and delivered to stripe-svc.
//!
//! A report is acknowledged when its row is committed, and not before; its row is then the outbox
//! that the relay works off. What an organization may be billed for is org-svc's to say: its
//! standing comes with each batch and, in order and resumable, by the feed.
//!
//! Architecture invariant: this service never talks to Stripe and never writes an organization.
//!
//! Architecture invariant: whatever concerns one organization's reports (taking them in, learning of
//! a link, delivery) first locks its row in `organization_reporting`. That lock, and nothing else,
//! orders them; see `store::reporting`.

mod access;
mod app;
mod config;
mod domain;
mod grpc;
#[cfg(feature = "plant-ack-before-commit")]
mod plant;
mod store;
mod wire;
mod worker;

use std::{net::SocketAddr, sync::Arc};

use billing_kit::{Clock, Ids, client, health, health::Health, process::Lifecycle, server};
use billing_kit_db::Readiness;
use billing_proto::{
    ingest::v1::{
        held_report_service_server::{self, HeldReportServiceServer},
        reconciliation_service_server::{self, ReconciliationServiceServer},
        reporting_service_server::{self, ReportingServiceServer},
        usage_report_service_server::{self, UsageReportServiceServer},
    },
    org::v1::{
        audit_service_client::AuditServiceClient, notice_service_client::NoticeServiceClient,
        organization_service_client::OrganizationServiceClient,
    },
    stripe::v1::meter_event_service_client::MeterEventServiceClient,
};
use chrono::TimeDelta;
use sea_orm::DatabaseConnection;
use tokio::sync::Notify;

pub use config::Config;
pub use domain::{expectation::Patience, hold::HoldRules};

use crate::{
    config::DB_ROLE,
    grpc::{HeldReports, Reconciliation, ReportingFace, UsageReports},
};

/// What a service takes as a parameter, so that tests can choose it.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The time.
    pub clock: Clock,
    /// New ids.
    pub ids: Ids,
}

impl Deps {
    /// The machine's clock and random ids.
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
    /// Whether it is ready.
    pub health: Health,
}

/// What every use case works with.
#[derive(Debug, Clone)]
struct Parts {
    db: DatabaseConnection,
    deps: Deps,
    org: OrganizationServiceClient<client::ServiceChannel>,
    org_feed: OrganizationServiceClient<client::ServiceChannel>,
    /// What the operator's own channel is told goes through org-svc.
    notices: NoticeServiceClient<client::ServiceChannel>,
    /// The audit trail is org-svc's.
    audit: AuditServiceClient<client::ServiceChannel>,
    stripe: MeterEventServiceClient<client::ServiceChannel>,
    /// Told when a report was queued, so that the relay need not wait for its next look.
    queued: Arc<Notify>,
    /// Told when an admin decided something, so that the audit trail has it at once.
    decided: Arc<Notify>,
    /// Whether org-svc is worth waiting for.
    org_presence: Arc<app::OrgPresence>,
    /// Told when org-svc answered, so that the spool is worked off at once.
    org_answered: Arc<Notify>,
    /// When an instance is late, and silent.
    patience: Patience,
    /// For how long the instances that fall silent are gathered into one notice.
    silence_gathered: TimeDelta,
    /// Which reports are held.
    hold_rules: HoldRules,
    /// The days whose users are to be counted again.
    touched_days: Arc<app::TouchedDays>,
}

/// Builds the service, binds it and starts its workers on `life`.
///
/// # Errors
/// A sentence that names what is wrong and the fix.
pub async fn start(config: Config, deps: Deps, life: Lifecycle) -> Result<Running, String> {
    let db = billing_kit_db::connect(&config.database, DB_ROLE)
        .await
        .map_err(|error| format!("DATABASE_URL: {error}"))?;
    billing_kit_db::check_role(&db, DB_ROLE).await?;
    let listener = health::bind("LISTEN_ADDR", config.listen.addr).await?;
    let addr = listener.local_addr().map_err(|error| error.to_string())?;

    let tls = config.listen.tls.as_ref();
    let org = client::channel(&config.org_svc_url, tls, config::ORG_DEADLINE)?;
    let org_feed = client::stream_channel(&config.org_svc_url, tls)?;
    let stripe = client::channel(&config.stripe_svc_url, tls, config::STRIPE_DEADLINE)?;
    let parts = Parts {
        db: db.clone(),
        deps: deps.clone(),
        org: OrganizationServiceClient::new(org.clone()),
        org_feed: OrganizationServiceClient::new(org_feed),
        notices: NoticeServiceClient::new(org.clone()),
        audit: AuditServiceClient::new(org),
        stripe: MeterEventServiceClient::new(stripe),
        queued: Arc::new(Notify::new()),
        decided: Arc::new(Notify::new()),
        org_presence: Arc::default(),
        org_answered: Arc::new(Notify::new()),
        patience: config.patience,
        silence_gathered: config.silence_gathered,
        hold_rules: config.hold_rules,
        touched_days: Arc::default(),
    };

    worker::spawn_all(&parts, config.reconcile_interval, &life);
    let admins = config.admin_verifier(deps.clock)?;
    let reconciliation = Reconciliation::new(parts.clone(), admins.clone());
    let reporting = ReportingFace::new(parts.clone(), admins.clone());
    let held_reports = HeldReports::new(parts.clone(), admins.clone());
    let reports = UsageReports::new(parts, admins);
    let services = [
        usage_report_service_server::SERVICE_NAME,
        reconciliation_service_server::SERVICE_NAME,
        reporting_service_server::SERVICE_NAME,
        held_report_service_server::SERVICE_NAME,
    ];
    let routes = server::reflection(&services).map_err(|fault| fault.to_string())?;
    let routes = routes
        .add_service(
            UsageReportServiceServer::new(reports)
                .max_decoding_message_size(client::MESSAGE_BYTES_MAX),
        )
        .add_service(ReconciliationServiceServer::new(reconciliation))
        .add_service(ReportingServiceServer::new(reporting))
        .add_service(HeldReportServiceServer::new(held_reports));
    let readiness = Readiness::new(db, DB_ROLE);
    let health = Health::new(move || {
        let readiness = readiness.clone();
        async move { readiness.is_ready().await }
    });
    let (tls, stop) = (config.listen.tls.clone(), life.stop.clone());
    let told = health.clone();
    life.spawn_worker("grpc", async move {
        if let Err(error) =
            server::serve(listener, tls.as_ref(), routes, access::table(), told, stop).await
        {
            tracing::error!(%error, "the gRPC server stopped");
        }
    });

    Ok(Running { addr, health })
}
