//! Health: on a port of its own, in plaintext, where nothing else is served.
//!
//! It speaks HTTP (`/healthz`: the process lives; `/readyz`: it can do its work) and gRPC's health
//! protocol, with the services `liveness` and `readiness`, for Kubernetes' own probes; and Prometheus's
//! text form (`/metrics`).

use std::{
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

use axum::{Router, extract::State, routing::get};
use http::StatusCode;
use tokio::{net::TcpListener, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::metrics;

const CHECK_INTERVAL: Duration = Duration::from_millis(500);

type Check = dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync;

/// Whether the process can do its work.
#[derive(Clone)]
pub struct Health {
    ready: Arc<AtomicBool>,
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
            ready: Arc::new(AtomicBool::new(false)),
            check: Arc::new(move || Box::pin(check())),
        }
    }

    /// Health that is ready from the start until the drain.
    pub fn always_ready() -> Self {
        Self::new(|| std::future::ready(true))
    }

    /// Whether the process is ready now.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Serves health until `stop`; from `drain` on it is not ready, whatever the check says.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        drain: CancellationToken,
        stop: CancellationToken,
    ) {
        let (reporter, grpc) = tonic_health::server::health_reporter();
        let routes = tonic::service::Routes::new(grpc)
            .into_axum_router()
            .merge(self.http_routes())
            .route("/metrics", get(async || metrics::text()));
        let server =
            axum::serve(listener, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
        let watch = self.watch(reporter, drain);
        tokio::select! {
            served = server => if let Err(error) = served {
                tracing::error!(%error, "the health port stopped");
            },
            () = watch => {}
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

    async fn watch(&self, reporter: HealthReporter, drain: CancellationToken) {
        reporter
            .set_service_status("liveness", ServingStatus::Serving)
            .await;
        let mut ticks = tokio::time::interval(CHECK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let ready = !drain.is_cancelled() && (self.check)().await;
            if self.ready.swap(ready, Ordering::Relaxed) != ready {
                tracing::info!(ready, "readiness changed");
            }
            let status = if ready {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            };
            reporter.set_service_status("readiness", status).await;
        }
    }
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
