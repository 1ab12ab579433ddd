//! Health: on a port of its own, in plaintext, where nothing else is served.
//!
//! It speaks HTTP (`/healthz`: the process lives; `/readyz`: it can do its work) and gRPC's health
//! protocol, with the services `liveness` and `readiness` (which is also what
//! the empty name says), for Kubernetes' own probes; and Prometheus's
//! text form (`/metrics`).

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State, connect_info::Connected},
    middleware::map_request,
    routing::get,
    serve::IncomingStream,
};
use http::StatusCode;
use tokio::{net::TcpListener, sync::watch, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

use crate::{
    accept::{Acceptor, ConnectionInfo, Limits},
    metrics,
};

const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// Probes and scrapers are few, and ask as soon as they have connected.
const CONNECTIONS_MAX: usize = 1_024;
const CONNECTIONS_PER_CLIENT_MAX: usize = 128;
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

type Check = dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync;

/// Whether the process can do its work.
#[derive(Clone)]
pub struct Health {
    ready: Arc<watch::Sender<bool>>,
    draining: CancellationToken,
    is_checked: Arc<AtomicBool>,
    check: Arc<Check>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("ready", &self.is_ready())
            .finish()
    }
}

impl Health {
    /// Health that is ready as long as `check` says so; it is asked twice a second.
    pub fn new<F>(check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = bool> + Send + 'static,
    {
        Self {
            ready: Arc::new(watch::Sender::new(false)),
            draining: CancellationToken::new(),
            is_checked: Arc::default(),
            check: Arc::new(move || Box::pin(check())),
        }
    }

    /// Health that is ready from the start until the drain.
    pub fn always_ready() -> Self {
        let health = Self::new(|| std::future::ready(true));
        health.ready.send_replace(true);
        health
    }

    /// Whether the process is ready now.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// From now on it is not ready, whatever the check says.
    pub fn drain(&self) {
        self.draining.cancel();
        self.set(false);
    }

    /// Whether [`Health::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Serves health until `stop`.
    pub(crate) async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let limits = Limits::new(
            CONNECTIONS_MAX,
            CONNECTIONS_PER_CLIENT_MAX,
            FIRST_REQUEST_TIMEOUT,
        );
        let acceptor = Acceptor::new("health", listener, limits);
        let (reporter, grpc) = reporter().await;
        reporter
            .set_service_status("liveness", ServingStatus::Serving)
            .await;
        let routes = tonic::service::Routes::new(grpc)
            .into_axum_router()
            .merge(self.http_routes())
            .route("/metrics", get(async || metrics::text()))
            .layer(map_request(
                async |ConnectInfo(info): ConnectInfo<ConnectionInfo>, request: Request| {
                    info.request_came();
                    request
                },
            ));
        let routes = routes.into_make_service_with_connect_info::<ConnectionInfo>();
        let server =
            axum::serve(acceptor, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
        tokio::select! {
            served = server => if let Err(error) = served {
                tracing::error!(%error, "the health port stopped");
            },
            never = self.report(reporter, &["", "readiness"], stop) => match never {},
        }
    }

    /// `/healthz` and `/readyz`, for a service that has a public HTTP port.
    pub fn http_routes(&self) -> Router {
        async fn readyz(State(health): State<Health>) -> (StatusCode, &'static str) {
            if health.is_ready() {
                (StatusCode::OK, "ready\n")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
            }
        }
        Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .with_state(self.clone())
    }

    /// Tells those who ask for one of these names over gRPC whether the process is ready. From `stop` on
    /// the streams of those who watch end: otherwise the drain would wait for them. It never ends.
    pub async fn report(
        &self,
        mut reporter: HealthReporter,
        names: &[&str],
        stop: CancellationToken,
    ) -> Infallible {
        let follow = async {
            let mut ready = self.ready.subscribe();
            loop {
                let status = if *ready.borrow_and_update() {
                    ServingStatus::Serving
                } else {
                    ServingStatus::NotServing
                };
                for name in names {
                    reporter.set_service_status(name, status).await;
                }
                if ready.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = follow => {}
            () = self.keep_checked() => {}
            () = stop.cancelled() => {}
        }
        loop {
            for name in names {
                reporter.clear_service_status(name).await;
                reporter
                    .set_service_status(name, ServingStatus::NotServing)
                    .await;
            }
            // For those who begin to watch while the rest drains.
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }

    /// Checks twice a second, unless somebody does so already. It never ends.
    async fn keep_checked(&self) {
        if self.is_checked.swap(true, Ordering::Relaxed) {
            return std::future::pending().await;
        }
        let mut ticks = tokio::time::interval(CHECK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let ready = (self.check)().await;
            self.set(ready);
        }
    }

    fn set(&self, ready: bool) {
        let changed = self.ready.send_if_modified(|now| {
            let ready = ready && !self.draining.is_cancelled();
            std::mem::replace(now, ready) != ready
        });
        if changed {
            tracing::info!(ready = self.is_ready(), "readiness changed");
        }
    }
}

impl Connected<IncomingStream<'_, Acceptor>> for ConnectionInfo {
    fn connect_info(stream: IncomingStream<'_, Acceptor>) -> Self {
        stream.io().info()
    }
}

/// gRPC's health service, and what it says. Until it is told otherwise, nothing is serving.
pub async fn reporter() -> (HealthReporter, HealthServer<HealthService>) {
    let reporter = HealthReporter::new();
    reporter
        .set_service_status("", ServingStatus::NotServing)
        .await;
    let service = HealthService::from_health_reporter(reporter.clone());
    (reporter, HealthServer::new(service))
}

/// Binds a port.
///
/// # Errors
/// A sentence that names the variable and the fix.
pub async fn bind(variable: &str, addr: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(addr).await.map_err(|error| {
        format!("{variable}: {addr} cannot be bound: {error}. Free the port or choose another.")
    })
}
