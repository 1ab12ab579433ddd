//! How far a subscription is invoiced for good, and what its invoices ask for.

use std::time::Duration;

use billing_kit::{client, proto_time};
use billing_proto::{
    common::v1::CancelMode,
    stripe::v1::{
        CancelSubscriptionRequest, InvoicedUsage, ListInvoicedUsageRequest,
        ListInvoicedUsageResponse, MeterEventAccepted, ProvisionSubscriptionRequest,
        ProvisionedSubscription, SubscriptionState, meter_event_outcome::Outcome,
        meter_event_service_client::MeterEventServiceClient,
    },
};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::json;
use tonic::{Code, Status};

use crate::support::{Service, World, event, eventually, link, new_id};

/// The longest that an invoice waits before it is finalized by itself, and a bit.
const GRACE: TimeDelta = TimeDelta::minutes(61);

/// A link without a trial, whose first period begins now.
async fn linked(service: &Service) -> (ProvisionSubscriptionRequest, ProvisionedSubscription) {
    let request = ProvisionSubscriptionRequest {
        trial_days: 0,
        ..link()
    };
    let linked = service.provisioned(&request).await;
    (request, linked)
}

/// Usage of a moment that is surely within the period: Stripe's clock runs while ours stands still.
async fn used(world: &World, service: &Service, linked: &ProvisionedSubscription, seats: i64) {
    world.advance(TimeDelta::minutes(1));
    let event = event(&linked.stripe_customer_id, seats, world.now());
    let accepted = Outcome::Accepted(MeterEventAccepted {});
    assert_eq!(service.record_one(&event).await, accepted);
}

/// The latest that the feed tells.
async fn state(service: &Service) -> SubscriptionState {
    let mut states = service.watch(0).await.next().await.states;
    states.pop().unwrap()
}

fn time(time: Option<prost_types::Timestamp>) -> Option<DateTime<Utc>> {
    time.as_ref().and_then(proto_time::from_proto)
}

/// Ends the current period, here and in Stripe; answers its end.
async fn end_period(world: &World, linked: &ProvisionedSubscription) -> DateTime<Utc> {
    let path = format!("/v1/subscriptions/{}", linked.stripe_subscription_id);
    let subscription = world.stripe(Method::GET, &path, &[]).await;
    let end = subscription["items"]["data"][0]["current_period_end"].as_i64();
    let end = DateTime::from_timestamp(end.unwrap(), 0).unwrap();
    world.advance(end - world.now());
    end
}

/// No sweep comes in between: what is found was brought by something else.
async fn without_sweeps(world: &World) {
    world.sweep_planned().await;
    let never = "UPDATE stripe_sweeps SET due_at = due_at + interval '10 years'";
    world.execute(never).await;
}

async fn list(
    service: &Service,
    customer: &str,
    since: DateTime<Utc>,
) -> Result<ListInvoicedUsageResponse, Status> {
    let url = format!("http://{}", service.addr).parse().unwrap();
    let channel = client::channel(&url, None, Duration::from_secs(30)).unwrap();
    let request = ListInvoicedUsageRequest {
        stripe_customer_id: customer.to_owned(),
        since_time: Some(proto_time::to_proto(since)),
    };
    let mut client = MeterEventServiceClient::new(channel);
    Ok(client.list_invoiced_usage(request).await?.into_inner())
}

async fn invoices(service: &Service, customer: &str, since: DateTime<Utc>) -> Vec<InvoicedUsage> {
    let told = list(service, customer, since).await.unwrap();
    assert!(told.sums_days, "every day counts as it was");
    told.invoices
}

#[tokio::test]
async fn an_invoice_that_becomes_final_is_told_by_the_feed() {
    let world = World::start().await;
    let service = world.service().await;
    let (_, linked) = linked(&service).await;
    without_sweeps(&world).await;
    let start = world.now();
    used(&world, &service, &linked, 45).await;
    let end = end_period(&world, &linked).await;
    let invoice = world.sim.ledger().invoices[0].clone();
    let deliver = async |id: &str, kind: &str| {
        let body = json!({"id": id, "object": "event", "type": kind,
            "created": world.now().timestamp(), "data": {"object": invoice}});
        let body = body.to_string();
        let signature = world.signature(&body);
        service.deliver_signed(&body, &signature).await.unwrap();
    };
    // A draft ends nothing.
    deliver("evt_draft", "invoice.created").await;
    eventually("the new period is told", || async {
        time(state(&service).await.current_period_start_time) == Some(end)
    })
    .await;
    assert_eq!(state(&service).await.invoiced_until_time, None);
    let usage = invoices(&service, &linked.stripe_customer_id, start).await;
    assert_eq!(
        (usage[0].quantity.as_str(), usage[0].finalized),
        ("45", false)
    );

    world.advance(GRACE);
    deliver("evt_final", "invoice.finalized").await;
    eventually("it is final", || async {
        time(state(&service).await.invoiced_until_time) == Some(end)
    })
    .await;
    // The next period opens with nothing that could take it back, and is no change.
    let version = state(&service).await.version;
    deliver("evt_again", "invoice.updated").await;
    deliver("evt_paid", "invoice.paid").await;
    eventually("all are processed", || async {
        let open = "SELECT count(*) AS n FROM stripe_events WHERE state <> 'processed'";
        world.row(open).await.try_get::<i64>("", "n").unwrap() == 0
    })
    .await;
    assert_eq!(state(&service).await.version, version);
}

#[tokio::test]
async fn the_sweep_finds_the_invoice_that_no_webhook_told_of() {
    let world = World::start().await;
    let service = world.service().await;
    let (_, first) = linked(&service).await;
    let end = end_period(&world, &first).await;
    world.advance(GRACE);
    eventually("it is found", || async {
        world.pass_sweep().await;
        time(state(&service).await.invoiced_until_time) == Some(end)
    })
    .await;
}

#[tokio::test]
async fn what_a_cancellation_invoiced_is_final_once_its_invoice_is() {
    let world = World::start().await;
    // A grace of nothing: the invoice is final when it is made.
    let settings = json!({"invoice_grace_s": 0});
    world.sim_control("/_sim/settings", &settings).await;
    let service = world.service().await;
    let (request, linked) = linked(&service).await;
    without_sweeps(&world).await;
    used(&world, &service, &linked, 45).await;
    world.advance(TimeDelta::days(3));
    let cancel = CancelSubscriptionRequest {
        operation_id: new_id(),
        organization_id: request.organization_id,
        stripe_subscription_id: linked.stripe_subscription_id.clone(),
        mode: CancelMode::Now.into(),
    };
    service.cancel(&cancel).await.unwrap();
    let told = state(&service).await;
    assert!(told.end_time.is_some());
    assert_eq!(told.invoiced_until_time, told.end_time);
}

#[tokio::test]
async fn usage_is_told_by_invoice_with_its_lines_added_up() {
    let world = World::start().await;
    let service = world.service().await;
    let (_, linked) = linked(&service).await;
    let start = world.now();
    used(&world, &service, &linked, 40).await;
    world.advance(TimeDelta::days(2));
    // Twelve changes of the price make thirteen lines, more than a list of invoices shows.
    let prices = world.sim.ledger().prices;
    let item = world.sim.ledger().subscriptions[0]["items"]["data"][0]["id"].clone();
    for at in 0..12_usize {
        world.advance(TimeDelta::hours(1));
        let price = prices[(at + 1) % 2]["id"].as_str().unwrap();
        let form = [
            ("items[0][id]", item.as_str().unwrap()),
            ("items[0][price]", price),
        ];
        let path = format!("/v1/subscriptions/{}", linked.stripe_subscription_id);
        world.stripe(Method::POST, &path, &form).await;
    }
    world.advance(TimeDelta::days(1));
    used(&world, &service, &linked, 20).await;
    let end = end_period(&world, &linked).await;
    world.advance(GRACE);

    let usage = invoices(&service, &linked.stripe_customer_id, start).await;
    let [usage] = usage.as_slice() else {
        panic!("{usage:?}");
    };
    let invoice = &world.sim.ledger().invoices[0];
    assert_eq!(usage.stripe_invoice_id, invoice["id"].as_str().unwrap());
    assert_eq!(usage.stripe_subscription_id, linked.stripe_subscription_id);
    assert_eq!((usage.quantity.as_str(), usage.finalized), ("60", true));
    assert_eq!(usage.amount, invoice["total"].as_i64().unwrap());
    assert_eq!(usage.currency, "eur");
    assert_eq!(usage.start_time, linked.start_time);
    assert_eq!(time(usage.end_time), Some(end));
    let later = invoices(&service, &linked.stripe_customer_id, world.now()).await;
    assert_eq!(later, []);
}

#[tokio::test]
async fn a_question_about_nobody_is_refused() {
    let world = World::start().await;
    let service = world.service().await;
    for (customer, expected) in [
        ("cus_none", Code::FailedPrecondition),
        ("", Code::InvalidArgument),
    ] {
        let answer = list(&service, customer, world.now()).await;
        assert_eq!(answer.unwrap_err().code(), expected, "{customer}");
    }
}
