//! `CustomerService`: what a link would make and cost, invoices, and the customer's portal.

use std::time::Duration;

use billing_kit::{client, proto_time};
use billing_proto::{
    common::v1::{BillingInterval, InvoiceStatus, PriceUnit, SubscriptionPreview},
    stripe::v1::{
        CreatePortalSessionRequest, ListInvoicesRequest, ListInvoicesResponse,
        PreviewSubscriptionRequest, StripeRefusal, customer_service_client::CustomerServiceClient,
        preview_subscription_response::Outcome,
    },
};
use chrono::{DateTime, TimeDelta};
use reqwest::Method;
use tonic::{Code, Status};

use crate::support::{Service, World, event, link, new_id};

fn door(service: &Service) -> CustomerServiceClient<client::ServiceChannel> {
    let url = format!("http://{}", service.addr).parse().unwrap();
    CustomerServiceClient::new(client::channel(&url, None, Duration::from_secs(30)).unwrap())
}

/// The preview of the sample link, with ten seats.
fn intent() -> PreviewSubscriptionRequest {
    let link = link();
    PreviewSubscriptionRequest {
        organization_id: link.organization_id,
        admin_email: link.admin_email,
        deployment_type: link.deployment_type,
        plan_type: link.plan_type,
        trial_days: link.trial_days,
        seat_count: Some(10),
    }
}

async fn outcome(world: &World, service: &Service, intent: PreviewSubscriptionRequest) -> Outcome {
    let answer = door(service)
        .preview_subscription(world.as_admin(intent))
        .await;
    answer.unwrap().into_inner().outcome.unwrap()
}

async fn preview(
    world: &World,
    service: &Service,
    intent: PreviewSubscriptionRequest,
) -> SubscriptionPreview {
    match outcome(world, service, intent).await {
        Outcome::Preview(preview) => preview,
        Outcome::Refusal(refusal) => panic!("refused: {refusal:?}"),
    }
}

async fn refused(
    world: &World,
    service: &Service,
    intent: PreviewSubscriptionRequest,
) -> StripeRefusal {
    match outcome(world, service, intent).await {
        Outcome::Preview(preview) => panic!("shown: {preview:?}"),
        Outcome::Refusal(refusal) => refusal,
    }
}

async fn invoices(
    world: &World,
    service: &Service,
    request: ListInvoicesRequest,
) -> Result<ListInvoicesResponse, Status> {
    let listed = door(service).list_invoices(world.as_admin(request)).await;
    listed.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_preview_says_what_a_link_would_make_and_makes_nothing() {
    let world = World::start().await;
    let service = world.service().await;
    let shown = preview(&world, &service, intent()).await;
    let price = shown.price.unwrap();
    assert_eq!(price.lookup_key, "vaultai_managed_cloud_on_on_premise");
    assert_eq!(
        (&*price.currency, &*price.unit_amount, shown.days_until_due),
        ("eur", "26.5", 30)
    );
    assert_eq!(price.unit(), PriceUnit::SeatDay);
    assert_eq!(price.interval(), BillingInterval::Month);
    let trial_end = world.now() + TimeDelta::days(4);
    assert_eq!(shown.trial_end_time, Some(proto_time::to_proto(trial_end)));
    assert_eq!(shown.first_period_start_time, shown.trial_end_time);
    let seat_days = shown.estimated_quantity.unwrap();
    assert!([280, 290, 300, 310].contains(&seat_days), "{seat_days}");
    // At 26.5 cents, an even number of them.
    assert_eq!(shown.estimated_amount, Some(seat_days / 10 * 265));
    assert_eq!(
        (shown.reused_customer_id, shown.similar_customers),
        (String::new(), Vec::new())
    );
    let ledger = world.sim.ledger();
    assert!(ledger.customers.is_empty() && ledger.subscriptions.is_empty());

    let unreported = PreviewSubscriptionRequest {
        seat_count: None,
        trial_days: 0,
        ..intent()
    };
    let unreported = preview(&world, &service, unreported).await;
    assert_eq!(
        (unreported.estimated_quantity, unreported.estimated_amount),
        (None, None)
    );
    assert_eq!(unreported.trial_end_time, None);
}

#[tokio::test]
async fn customers_that_may_be_the_same_one_are_shown_with_what_bills_them() {
    let world = World::start().await;
    let service = world.service().await;
    // By the address: made by hand, without a subscription.
    let by_hand = world.customer().await;
    // Written with capital letters.
    let form = [("name", "Acme"), ("email", "Billing@ACME.example")];
    let shouted = world.stripe(Method::POST, "/v1/customers", &form).await;
    // By the address too: another organization's, which is billed.
    let linked = service.provisioned(&link()).await;
    // By the organization, under another address.
    let intent = intent();
    let form = [
        ("name", "Acme (old)"),
        ("email", "old@acme.example"),
        ("metadata[organization_id]", &*intent.organization_id),
    ];
    let marked = world.stripe(Method::POST, "/v1/customers", &form).await;
    world.customer_of_another_address().await;

    let shown = preview(&world, &service, intent.clone())
        .await
        .similar_customers;
    let billed: Vec<_> = shown
        .iter()
        .map(|it| {
            (
                it.stripe_customer_id.as_str(),
                it.stripe_subscription_id.as_str(),
            )
        })
        .collect();
    assert_eq!(shown[0].organization_id, intent.organization_id);
    assert_eq!(
        (&*shown[0].name, &*shown[0].email),
        ("Acme (old)", "old@acme.example")
    );
    assert_eq!(
        billed,
        [
            (marked["id"].as_str().unwrap(), ""),
            (&*linked.stripe_customer_id, &*linked.stripe_subscription_id),
            (shouted["id"].as_str().unwrap(), ""),
            (&*by_hand, ""),
        ]
    );
}

#[tokio::test]
async fn a_customer_that_an_earlier_link_left_is_told() {
    let world = World::start().await;
    let service = world.service().await;
    let request = link();
    let linked = service.provisioned(&request).await;
    let again = PreviewSubscriptionRequest {
        organization_id: request.organization_id,
        ..intent()
    };
    let shown = preview(&world, &service, again).await;
    assert_eq!(shown.reused_customer_id, linked.stripe_customer_id);
}

#[tokio::test]
async fn a_price_that_is_not_there_is_told_before_anything_is_done() {
    let world = World::without_catalog().await;
    let service = world.service().await;
    let refusal = refused(&world, &service, intent()).await;
    assert_eq!(refusal.code, "price_not_found");
}

#[tokio::test]
async fn invoices_are_shown_with_the_one_that_comes_next() {
    let world = World::start().await;
    let service = world.service().await;
    let mut request = link();
    request.trial_days = 0;
    let linked = service.provisioned(&request).await;
    let wanted = ListInvoicesRequest {
        stripe_customer_id: linked.stripe_customer_id.clone(),
        stripe_subscription_id: linked.stripe_subscription_id.clone(),
        ..ListInvoicesRequest::default()
    };
    for seats in [10, 12] {
        // By Stripe's clock, which goes on while the test works: what is older than the
        // subscription is not on its invoice.
        let at = DateTime::from_timestamp(world.sim.now(), 0).unwrap();
        service
            .record(vec![event(&linked.stripe_customer_id, seats, at)])
            .await;
        world.advance(TimeDelta::days(1));
    }
    let before = invoices(&world, &service, wanted.clone()).await.unwrap();
    let upcoming = before.upcoming.unwrap();
    assert_eq!(upcoming.status(), InvoiceStatus::Upcoming);
    assert_eq!((&*upcoming.stripe_invoice_id, &*upcoming.number), ("", ""));
    // 22 seat-days at 26.5 cents.
    assert_eq!((&*upcoming.currency, upcoming.total_amount), ("eur", 583));
    let line = &upcoming.lines[0];
    assert_eq!(
        (&*line.quantity, &*line.unit_amount, line.amount),
        ("22", "26.5", 583)
    );

    world.advance(TimeDelta::days(32));
    let after = invoices(&world, &service, wanted.clone()).await.unwrap();
    let drawn = &after.invoices[0];
    assert_eq!(drawn.status(), InvoiceStatus::Open);
    assert_eq!((drawn.total_amount, drawn.remaining_amount), (583, 583));
    assert_eq!(drawn.period_start_time, upcoming.period_start_time);
    assert_eq!(drawn.period_end_time, upcoming.period_end_time);
    assert!(!drawn.number.is_empty() && drawn.hosted_url.starts_with("https://"));
    assert!(drawn.due_time.is_some() && drawn.create_time.is_some());
    assert_eq!(after.next_page_token, "");
    assert_eq!(after.upcoming.unwrap().total_amount, 0);

    world.advance(TimeDelta::days(31));
    let first = ListInvoicesRequest {
        page_size: 1,
        ..wanted
    };
    let page = invoices(&world, &service, first.clone()).await.unwrap();
    let second = ListInvoicesRequest {
        page_token: page.next_page_token,
        ..first
    };
    let second = invoices(&world, &service, second).await.unwrap();
    assert_ne!(
        second.invoices[0].stripe_invoice_id,
        page.invoices[0].stripe_invoice_id
    );
    assert_eq!(
        (second.invoices[0].total_amount, second.upcoming),
        (583, None)
    );
}

#[tokio::test]
async fn what_stripe_does_not_have_is_its_refusal_with_its_reason() {
    let world = World::start().await;
    let service = world.service().await;
    let wanted = ListInvoicesRequest {
        stripe_customer_id: "cus_nobody".to_owned(),
        ..ListInvoicesRequest::default()
    };
    let refused = invoices(&world, &service, wanted).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let portal = CreatePortalSessionRequest {
        stripe_customer_id: "cus_nobody".to_owned(),
    };
    let refused = door(&service)
        .create_portal_session(world.as_admin(portal))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
    for wrong in ["", "cus one", "../v1/balance"] {
        let wanted = ListInvoicesRequest {
            stripe_customer_id: wrong.to_owned(),
            ..ListInvoicesRequest::default()
        };
        let refused = invoices(&world, &service, wanted).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{wrong}");
    }
}

#[tokio::test]
async fn a_portal_link_is_made_for_an_admin_and_for_nobody_else() {
    let world = World::start().await;
    let service = world.service().await;
    let linked = service.provisioned(&link()).await;
    let request = CreatePortalSessionRequest {
        stripe_customer_id: linked.stripe_customer_id,
    };
    let made = door(&service)
        .create_portal_session(world.as_admin(request.clone()))
        .await;
    let url = made.unwrap().into_inner().url;
    assert!(url.starts_with("https://billing.stripe.com/"), "{url}");
    let mut door = door(&service);
    let codes = [
        door.create_portal_session(request)
            .await
            .unwrap_err()
            .code(),
        door.preview_subscription(intent())
            .await
            .unwrap_err()
            .code(),
        door.list_invoices(ListInvoicesRequest {
            stripe_customer_id: new_id(),
            ..ListInvoicesRequest::default()
        })
        .await
        .unwrap_err()
        .code(),
    ];
    assert_eq!(codes, [Code::Unauthenticated; 3]);
}
