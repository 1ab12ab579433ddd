//! Who may come in, and whom the service believes.

use std::time::Duration;

use billing_devkit::pki::DevPki;
use billing_kit::{client, tls::TlsFiles};
use billing_proto::stripe::v1::{
    GetUsageSummariesRequest, RecordMeterEventsRequest,
    meter_event_service_client::MeterEventServiceClient,
    subscription_service_client::SubscriptionServiceClient,
};
use stripe_svc::{
    CatalogConfig,
    cli::{CatalogCommand, run_catalog},
};
use tonic::Code;

use crate::support::{Service, World, event, link};

const NAMES: [&str; 4] = ["stripe-svc", "org-svc", "ingest-svc", "gateway"];

fn files(pki: &DevPki, name: &str) -> TlsFiles {
    TlsFiles::read(&pki.cert(name), &pki.key(name), &pki.ca()).unwrap()
}

async fn service_with_tls(world: &World, pki: &DevPki) -> Service {
    let (cert, key, ca) = (pki.cert("stripe-svc"), pki.key("stripe-svc"), pki.ca());
    let variables = [
        ("TLS_CERT_FILE", cert.to_str().unwrap()),
        ("TLS_KEY_FILE", key.to_str().unwrap()),
        ("TLS_CA_FILE", ca.to_str().unwrap()),
    ];
    world.service_with(&variables).await
}

#[tokio::test]
async fn each_method_is_open_to_the_service_that_needs_it_and_to_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let pki = DevPki::ensure(dir.path(), &NAMES).unwrap();
    let world = World::start().await;
    let service = service_with_tls(&world, &pki).await;
    let url = format!("https://localhost:{}", service.addr.port());
    for (name, may_provision, may_use_meter) in [
        ("org-svc", true, false),
        ("ingest-svc", false, true),
        ("gateway", false, false),
        ("stripe-svc", false, false),
    ] {
        let tls = files(&pki, name);
        let limit = Duration::from_secs(20);
        let channel = client::channel(&url.parse().unwrap(), Some(&tls), limit).unwrap();
        let mut subscriptions = SubscriptionServiceClient::new(channel.clone());
        let provisioned = subscriptions.provision_subscription(link()).await;
        let mut meter_events = MeterEventServiceClient::new(channel);
        let events = vec![event("cus_none", 1, world.now())];
        let request = RecordMeterEventsRequest { events };
        let recorded = meter_events.record_meter_events(request).await;
        let request = GetUsageSummariesRequest::default();
        let summarized = meter_events.get_usage_summaries(request).await;
        let denied = |code| code == Some(Code::PermissionDenied);
        let code = provisioned.err().map(|status| status.code());
        assert_eq!(!denied(code), may_provision, "{name}: {code:?}");
        let code = recorded.err().map(|status| status.code());
        assert_eq!(!denied(code), may_use_meter, "{name}: {code:?}");
        let code = summarized.err().map(|status| status.code());
        assert_eq!(!denied(code), may_use_meter, "{name}: {code:?}");
    }
    assert_eq!(world.sim.ledger().customers.len(), 1);
}

/// Stripe is whoever shows a certificate that the world believes, and nobody else.
#[tokio::test]
async fn a_stripe_with_a_certificate_of_its_own_make_is_not_spoken_to() {
    let dir = tempfile::tempdir().unwrap();
    let pki = DevPki::ensure(dir.path(), &NAMES).unwrap();
    let world = World::start().await;
    let impostor = service_with_tls(&world, &pki).await;
    let base = format!("https://localhost:{}", impostor.addr.port());
    let env = world.env(&[("STRIPE_API_BASE", &base)]);
    let config = CatalogConfig::from_env(env, false).unwrap();
    let error = run_catalog(CatalogCommand::Plan, &config, &mut |_| ()).await;
    let error = error.unwrap_err();
    assert!(error.contains("UnknownIssuer"), "{error}");
}
