//! The public face: REST, Better Auth, the dashboard and gRPC for admins. It translates and forwards.
//!
//! Architecture invariant: it holds no data and links no database crate. What is true is asked of
//! ingest-svc and org-svc with every request.
//! Architecture invariant: what an admin can do is written once, in `billing.admin.v1`. gRPC (`grpc`)
//! handles each method; REST (`rest::admin`) is made from the contract's descriptors and calls the same
//! handlers. The dashboard calls the verbs in `app`; `reference` is a page made of REST's document.
//! Architecture invariant: who may do what is decided by org-svc; what is decided here (`domain`) is
//! how bodies are read, and whose tokens, cookies and origins are believed.

mod app;
mod config;
mod contract;
mod dashboard;
mod domain;
mod doors;
mod grpc;
mod headers;
mod in_flight;
mod limits;
mod reference;
mod rest;
mod server;
mod upstream;
mod web;
mod worker;

use std::net::SocketAddr;

use billing_kit::{Clock, Ids, health::Health, process::Lifecycle};
use secrecy::ExposeSecret;

pub use config::Config;
pub use domain::{api_tokens::ApiTokens, origin::TrustedOrigins, trusted_proxies::TrustedProxies};
pub use limits::ReportRates;

use app::App;
use headers::EveryAnswer;
use limits::ReportLimits;
use upstream::Upstream;
use web::Web;
use worker::report_queue::{REPORTS_QUEUED_MAX, SENDERS, report_queue};

/// What the gateway takes from outside beside its configuration.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The time.
    pub clock: Clock,
    /// New ids: the random numbers behind the tokens of forms.
    pub ids: Ids,
}

impl Deps {
    /// The machine's own.
    pub fn system() -> Self {
        Self {
            clock: Clock::system(),
            ids: Ids::random(),
        }
    }
}

/// A gateway that serves.
#[derive(Debug)]
pub struct Running {
    /// The public port's address.
    pub addr: SocketAddr,
    /// Whether it can do its work.
    pub health: Health,
}

/// Builds a gateway, binds its port and serves on `life`.
///
/// # Errors
/// A sentence that names what is wrong and its fix.
pub async fn start(config: Config, deps: Deps, life: Lifecycle) -> Result<Running, String> {
    let Config {
        process: _,
        listen_addr,
        tls,
        ingest_svc_url,
        org_svc_url,
        stripe_svc_url,
        auth_secret,
        auth_url,
        trusted_origins,
        api_tokens,
        trusted_proxies,
        report_rates,
    } = config;
    if auth_secret.expose_secret().len() < config::SECRET_LEN_MIN {
        tracing::warn!("the secret of the session cookies is shorter than 32 characters");
    }
    let upstream = Upstream::new(&ingest_svc_url, &org_svc_url, &stripe_svc_url, tls.as_ref())?;
    let (reports, sender) = report_queue(REPORTS_QUEUED_MAX, upstream.recording.clone());
    let app = App::new(upstream, reports, deps.clock);
    // Ready without asking the other services: the gateway itself says it best when one is away.
    let health = Health::always_ready();
    let secure = auth_url.scheme() == "https";
    let headers = EveryAnswer { is_https: secure };
    let limits = ReportLimits::new(report_rates);
    let proxies = trusted_proxies.clone();
    let web = Web::new(
        app.clone(),
        api_tokens,
        domain::session_cookie::SessionCookies::new(auth_secret, secure),
        trusted_origins,
        trusted_proxies,
        limits.clone(),
        deps.ids,
    );
    let (doors, reporter) = doors::open(web, app, &health, life.stop.clone(), headers)
        .await
        .map_err(|fault| fault.to_string())?;
    let listener = billing_kit::health::bind("LISTEN_ADDR", listen_addr).await?;
    let addr = listener.local_addr().map_err(|error| error.to_string())?;
    // The senders end when the last door to their queue is closed: every report that got in is
    // answered first.
    for _ in 0..SENDERS {
        life.spawn_worker("report sender", sender.clone().run());
    }
    let (told, stop) = (health.clone(), life.stop.clone());
    // It lasts as long as the process: the drain does not wait for it.
    tokio::spawn(async move { told.report(reporter, &grpc::HEALTH_NAMES, stop).await });
    life.spawn_worker("limits", limits.forget_until(life.stop.clone()));
    life.spawn_worker(
        "public port",
        server::serve(listener, doors, proxies, life.stop.clone()),
    );
    Ok(Running { addr, health })
}
