//! The only door to Stripe: every call is stored before it is sent.
//!
//! What is asked of Stripe here is asked once: a call that creates something is a row with the key
//! that it is sent under, before it is sent; its answer is stored before it is believed; and a call
//! whose outcome is not known is repeated under that key while Stripe remembers it, and looked up
//! after that.
//!
//! Architecture invariant: this service calls nothing but Stripe, and nothing but the other services
//! calls it. It knows nothing of admins, of instances, or of what may be billed: that is for its
//! callers to say.
//!
//! Architecture invariant: a refusal is an answer, an unknown outcome is an error. Nothing here turns
//! one into the other.

mod access;
mod app;
pub mod cli;
mod config;
pub mod conformance;
mod domain;
mod grpc;
#[cfg(any(
    feature = "plant-fresh-identifier",
    feature = "plant-duplicate-is-error"
))]
mod plant;
mod store;
mod stripe;
mod worker;

use std::{net::SocketAddr, sync::Arc};

use billing_kit::{
    Clock, Ids, client::MESSAGE_BYTES_MAX, health, health::Health, process::Lifecycle, server,
};
use billing_kit_db::Readiness;
use billing_proto::stripe::v1::{
    customer_service_server::{self, CustomerServiceServer},
    meter_event_service_server::{self, MeterEventServiceServer},
    subscription_service_server::{self, SubscriptionServiceServer},
    webhook_service_server::{self, WebhookServiceServer},
};

pub use config::{CatalogConfig, Config, StripeAccess};
pub use domain::{catalog::Catalog, catalog_file::parse as parse_catalog};

use crate::{
    app::App,
    config::DB_ROLE,
    grpc::{CustomerDoor, StripeDoor, WebhookDoor},
    stripe::{Stripe, Transport},
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

/// Builds the service, binds it and serves it on `life`.
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

    let transport = Transport::new(&config.stripe, config.stripe_concurrency_max)?;
    let verifier = config::admin_verifier(&config.admin_assertion_public_key, deps.clock.clone())?;
    let app = App::new(
        db.clone(),
        Stripe::new(transport, deps.clock.clone()),
        config.catalog,
        deps,
        life.clone(),
        config.webhook_secrets,
        config.stripe_concurrency_max,
    );
    let app = Arc::new(app);
    worker::spawn_all(&app, config.sweep_period);
    let inbox = WebhookDoor {
        app: Arc::clone(&app),
        verifier: verifier.clone(),
    };
    let customers = CustomerDoor {
        app: Arc::clone(&app),
        verifier,
    };
    let door = StripeDoor(app);
    let services = [
        customer_service_server::SERVICE_NAME,
        subscription_service_server::SERVICE_NAME,
        meter_event_service_server::SERVICE_NAME,
        webhook_service_server::SERVICE_NAME,
    ];
    let routes = server::reflection(&services)
        .map_err(|fault| fault.to_string())?
        .add_service(
            SubscriptionServiceServer::new(door.clone())
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
        )
        .add_service(
            MeterEventServiceServer::new(door).max_decoding_message_size(MESSAGE_BYTES_MAX),
        )
        .add_service(
            CustomerServiceServer::new(customers).max_decoding_message_size(MESSAGE_BYTES_MAX),
        )
        .add_service(WebhookServiceServer::new(inbox).max_decoding_message_size(MESSAGE_BYTES_MAX));
    // Stripe's health is not ours: while it is away, every caller is told so and comes again.
    let readiness = Readiness::new(db, DB_ROLE);
    let health = Health::new(move || {
        let readiness = readiness.clone();
        async move { readiness.is_ready().await }
    });
    let (tls, stop) = (config.listen.tls, life.stop.clone());
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
