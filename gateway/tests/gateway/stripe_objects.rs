//! What a link would make, an organization's invoices and its portal, over REST and gRPC.

use billing_proto::{
    admin::v1::{
        CreatePortalSessionRequest, ListInvoicesRequest, PreviewLinkRequest,
        admin_service_client::AdminServiceClient,
    },
    common::v1::{DeploymentType, PlanType, SubscriptionStatus},
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tonic::Code;
use uuid::Uuid;

use crate::{
    grpc::{channel, token, with},
    org::{ADMIN, UNPRICED},
    world::{Answer, Away, SITE, World, report_of},
};

const ACME: Uuid = Uuid::from_u128(0xac);
const NEW: Uuid = Uuid::from_u128(0xbd);

fn path(id: Uuid, of: &str) -> String {
    format!("/api/admin/organizations/{id}/{of}")
}

fn terms() -> Value {
    json!({"admin_email": "billing@acme.com", "deployment_type": "on-premise",
        "plan_type": "managed-cloud", "trial_days": 4})
}

/// A world with a linked organization and one that reported and is not.
async fn world() -> World {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    world.org.change(ACME, |organization| {
        organization.stripe_customer_id = "cus_1".to_owned();
        organization.stripe_subscription_id = "sub_1".to_owned();
        organization.subscription_status = SubscriptionStatus::Active.into();
    });
    world.org.add(NEW, "New Corp");
    let reported = world.report(&report_of(NEW)).await;
    assert_eq!(reported.status, StatusCode::OK, "{}", reported.text);
    world
}

async fn preview(world: &World, cookie: &str, terms: &Value) -> Answer {
    let request = world.post(&path(NEW, "link/preview"));
    Answer::of(
        request
            .header("cookie", cookie)
            .header("origin", SITE)
            .json(terms),
    )
    .await
}

#[tokio::test]
async fn a_preview_goes_by_the_latest_report_and_needs_a_links_terms() {
    let world = world().await;
    let admin = world.admin().await;
    let answer = preview(&world, &admin, &terms()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let seats = report_of(NEW)["user_count"].as_i64().unwrap();
    assert_eq!(
        answer.json(),
        json!({"success": true, "preview": {
            "price": {"id": "price_1", "lookup_key": "key", "currency": "eur",
                "unit_amount": "26.5", "unit": "seat_day", "interval": "month"},
            "days_until_due": 30, "reused_customer_id": null,
            "trial_end": "2027-01-15T08:00:00Z",
            "first_period_start": "2027-01-15T08:00:00Z",
            "first_period_end": "2027-02-14T08:00:00Z",
            "estimated_quantity": seats * 30, "estimated_amount": null,
            "similar_customers": [{"stripe_customer_id": "cus_similar", "name": "<b>Acme</b>",
                "email": "billing@acme.com", "created_at": "2023-11-14T22:13:20Z",
                "organization_id": null, "stripe_subscription_id": "sub_similar"}],
        }})
    );
    let mut wrong = terms();
    wrong["trial_days"] = json!(731);
    let answer = preview(&world, &admin, &wrong).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.error().1, ["trial_days"]);
    wrong = terms();
    wrong["admin_email"] = json!(UNPRICED);
    let answer = preview(&world, &admin, &wrong).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.error().0, "price_not_found");
    let request = world.post(&path(NEW, "link/preview"));
    let stranger = Answer::of(request.header("origin", SITE).json(&terms())).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn invoices_are_the_customers_and_none_where_there_is_no_customer() {
    let world = world().await;
    let admin = world.admin().await;
    let list = async |path: &str| Answer::of(world.get(path).header("cookie", &admin)).await;
    let answer = list(&path(ACME, "invoices")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let body = answer.json();
    assert_eq!(body["invoices"][0]["id"], "in_of_cus_1");
    assert_eq!(body["invoices"][0]["status"], "open");
    assert_eq!(
        body["upcoming"],
        json!({"id": null, "number": null, "status": "upcoming", "currency": "eur",
            "total_amount": 583, "remaining_amount": 583, "created_at": null,
            "period_start": "2027-01-15T08:00:00Z", "period_end": "2027-02-14T08:00:00Z",
            "due_at": null, "hosted_url": null,
            "lines": [{"description": "22 × VaultAI", "quantity": "22", "unit_amount": "26.5",
                "amount": 583, "period_start": "2027-01-15T08:00:00Z",
                "period_end": "2027-02-14T08:00:00Z"}]})
    );
    let cursor = body["next_cursor"].as_str().unwrap();
    let bad = list(&path(ACME, &format!("invoices?cursor={cursor}"))).await;
    assert_eq!(
        (bad.status, bad.error().1),
        (StatusCode::BAD_REQUEST, vec!["cursor".to_owned()])
    );

    let none = list(&path(NEW, "invoices")).await;
    assert_eq!(
        none.json(),
        json!({"organization_id": NEW, "upcoming": null, "invoices": [], "next_cursor": null})
    );
    let unknown = list(&path(Uuid::from_u128(1), "invoices")).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_portal_link_is_for_a_linked_organization_and_from_our_own_pages() {
    let world = world().await;
    let admin = world.admin().await;
    let post = |id| {
        world
            .post(&path(id, "portal-session"))
            .header("cookie", &admin)
    };
    let made = Answer::of(post(ACME).header("origin", SITE)).await;
    assert_eq!(
        made.json(),
        json!({"success": true, "url": "https://billing.stripe.example/cus_1"})
    );
    assert_eq!(made.header("cache-control"), "no-store");
    let unlinked = Answer::of(post(NEW).header("origin", SITE)).await;
    assert_eq!(unlinked.status, StatusCode::CONFLICT);
    assert_eq!(unlinked.error().0, "link_conflict");
    let foreign = Answer::of(post(ACME).header("origin", "https://evil.example")).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn without_stripe_svc_only_what_needs_it_is_away() {
    let world = World::without(Away::Stripe).await;
    world.org.add(NEW, "New Corp");
    let admin = world.admin().await;
    let answer = preview(&world, &admin, &terms()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let path = format!("/api/admin/organizations/{NEW}");
    let answer = Answer::of(world.get(&path).header("cookie", &admin)).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn grpc_tells_the_same() {
    let world = world().await;
    let token = token(&world, ADMIN).await;
    let mut client = AdminServiceClient::new(channel(&world));
    let preview = client
        .preview_link(with(
            &token,
            PreviewLinkRequest {
                organization_id: NEW.to_string(),
                admin_email: "billing@acme.com".to_owned(),
                deployment_type: DeploymentType::OnPremise.into(),
                plan_type: PlanType::ManagedCloud.into(),
                trial_days: Some(4),
                adopt_customer_id: String::new(),
            },
        ))
        .await;
    let preview = preview.unwrap().into_inner().preview.unwrap();
    assert_eq!(preview.similar_customers.len(), 1);
    let incomplete = client
        .preview_link(with(&token, PreviewLinkRequest::default()))
        .await;
    assert_eq!(incomplete.unwrap_err().code(), Code::InvalidArgument);
    let listed = client
        .list_invoices(with(
            &token,
            ListInvoicesRequest {
                organization_id: ACME.to_string(),
                ..ListInvoicesRequest::default()
            },
        ))
        .await;
    let listed = listed.unwrap().into_inner();
    assert!(listed.upcoming.is_some() && listed.invoices.len() == 1);
    let portal = |id: Uuid| CreatePortalSessionRequest {
        organization_id: id.to_string(),
    };
    let made = client
        .create_portal_session(with(&token, portal(ACME)))
        .await;
    assert!(made.unwrap().into_inner().url.ends_with("/cus_1"));
    let unlinked = client
        .create_portal_session(with(&token, portal(NEW)))
        .await;
    assert_eq!(unlinked.unwrap_err().code(), Code::AlreadyExists);
}
