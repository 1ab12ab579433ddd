//! A service in a runtime of its own.

use std::thread;

use billing_kit::{Clock, Ids, config::Env, process::Lifecycle};
use tokio::runtime::{Builder, Runtime};

/// One of the four services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// ingest-svc.
    Ingest,
    /// org-svc.
    Org,
    /// stripe-svc.
    Stripe,
    /// The gateway.
    Gateway,
}

impl Service {
    /// In the order in which `System` starts them; any other works too.
    pub const ALL: [Self; 4] = [Self::Stripe, Self::Org, Self::Ingest, Self::Gateway];

    /// Its identity: what its certificate states.
    pub fn identity(self) -> &'static str {
        match self {
            Self::Ingest => "ingest-svc",
            Self::Org => "org-svc",
            Self::Stripe => "stripe-svc",
            Self::Gateway => "gateway",
        }
    }
}

/// A service that runs.
#[derive(Debug)]
pub(crate) struct Host {
    runtime: Option<Runtime>,
}

impl Host {
    /// Starts a service. It blocks, on a thread of its own, because it may be called from within
    /// another runtime.
    pub(crate) fn start(service: Service, variables: Vec<(String, String)>, clock: Clock) -> Self {
        let start = move || {
            let runtime = Builder::new_multi_thread()
                .worker_threads(2)
                .thread_name(service.identity())
                .enable_all()
                .build()
                .expect("a runtime");
            runtime
                .block_on(run(service, Env::from_variables(variables), clock))
                .expect("the service starts");
            Self {
                runtime: Some(runtime),
            }
        };
        thread::spawn(start).join().expect("the service starts")
    }

    /// Ends it as SIGKILL would.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.end();
    }
}

async fn run(service: Service, env: Env, clock: Clock) -> Result<(), String> {
    let (life, ids) = (Lifecycle::new(), Ids::random());
    let text = |error: billing_kit::config::ConfigError| error.to_string();
    match service {
        Service::Ingest => {
            let config = ingest_svc::Config::from_env(env).map_err(text)?;
            ingest_svc::start(config, ingest_svc::Deps { clock, ids }, life)
                .await
                .map(drop)
        }
        Service::Org => {
            let config = org_svc::Config::from_env(env).map_err(text)?;
            org_svc::start(config, org_svc::Deps { clock, ids }, life)
                .await
                .map(drop)
        }
        Service::Stripe => {
            let config = stripe_svc::Config::from_env(env).map_err(text)?;
            stripe_svc::start(config, stripe_svc::Deps { clock, ids }, life)
                .await
                .map(drop)
        }
        Service::Gateway => {
            let config = gateway::Config::from_env(env).map_err(text)?;
            gateway::start(config, gateway::Deps { clock, ids }, life)
                .await
                .map(drop)
        }
    }
}
