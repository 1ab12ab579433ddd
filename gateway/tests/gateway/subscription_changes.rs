//! An admin changes and cancels a linked organization's subscription, over REST and gRPC.

use billing_proto::{
    admin::v1::{
        CancelSubscriptionRequest, UpdateSubscriptionRequest,
        admin_service_client::AdminServiceClient,
    },
    common::v1::{
        CancelMode, DeploymentType, LinkOperationKind, LinkOperationState, PlanType,
        SubscriptionStatus,
    },
};
use http::Method;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tonic::Code;
use uuid::Uuid;

use crate::{
    grpc::{channel, token, with},
    org::{ADMIN, NO_ADMIN, REFUSED, SLOW, UNPRICED},
    world::{Answer, SITE, World},
};

const ACME: Uuid = Uuid::from_u128(0xac);

fn path(of: &str) -> String {
    format!("/api/admin/organizations/{ACME}/{of}")
}

fn update(world: &World, cookie: &str, body: &Value) -> RequestBuilder {
    let request = world.request(Method::PATCH, &path("subscription"));
    request.header("cookie", cookie).json(body)
}

fn cancel(world: &World, cookie: &str, body: &Value) -> RequestBuilder {
    let request = world.post(&path("cancel"));
    request.header("cookie", cookie).json(body)
}

async fn from_us(request: RequestBuilder) -> Answer {
    Answer::of(request.header("origin", SITE)).await
}

/// A world with a linked organization.
async fn linked() -> World {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    world.org.change(ACME, |organization| {
        organization.stripe_customer_id = "cus_1".to_owned();
        organization.stripe_subscription_id = "sub_1".to_owned();
        organization.admin_email = "billing@acme.com".to_owned();
        organization.deployment_type = DeploymentType::OnPremise.into();
        organization.plan_type = PlanType::ManagedCloud.into();
        organization.subscription_status = SubscriptionStatus::Active.into();
    });
    world
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_nothing_else() {
    let world = linked().await;
    let admin = world.admin().await;
    let plan = json!({"plan_type": "self-hosted", "unknown": 1});
    let answer = from_us(update(&world, &admin, &plan)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let body = answer.json();
    assert_eq!(body["success"], true);
    assert_eq!(body["message"], "Subscription updated");
    let organization = &body["organization"];
    assert_eq!(organization["plan_type"], "self-hosted");
    assert_eq!(organization["deployment_type"], "on-premise");
    assert_eq!(organization["admin_email"], "billing@acme.com");
    assert_eq!(
        organization["link_operation"],
        json!({"id": Uuid::from_u128(98), "kind": "update", "state": "succeeded",
            "created_at": "2027-01-15T08:00:00Z", "error": null})
    );
    // Nothing to change is no operation, and as good.
    let again = from_us(update(&world, &admin, &plan)).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text);
    assert_eq!(again.json()["organization"], *organization);
}

#[tokio::test]
async fn an_update_that_fails_says_why() {
    let world = linked().await;
    let admin = world.admin().await;
    for (email, status, code) in [
        (REFUSED, StatusCode::UNPROCESSABLE_ENTITY, "stripe_refused"),
        (
            UNPRICED,
            StatusCode::UNPROCESSABLE_ENTITY,
            "price_not_found",
        ),
    ] {
        let body = json!({ "admin_email": email });
        let answer = from_us(update(&world, &admin, &body)).await;
        assert_eq!(answer.status, status, "{email}");
        assert_eq!(answer.error().0, code);
    }
    let body = json!({ "admin_email": SLOW });
    let answer = from_us(update(&world, &admin, &body)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(
        answer.json(),
        json!({"success": true, "message": "The update goes on in the background",
            "operation": {"id": Uuid::from_u128(98), "kind": "update", "state": "running",
                "created_at": "2027-01-15T08:00:00Z", "error": null}})
    );
    world.org.change(ACME, |organization| {
        organization.subscription_status = SubscriptionStatus::Canceled.into();
    });
    for request in [
        update(&world, &admin, &json!({"plan_type": "self-hosted"})),
        cancel(&world, &admin, &json!({"mode": "now"})),
    ] {
        let answer = from_us(request).await;
        assert_eq!(answer.status, StatusCode::CONFLICT);
        assert_eq!(answer.error().0, "link_conflict");
    }
}

#[tokio::test]
async fn a_cancellation_shows_its_end_or_that_it_drains() {
    let world = linked().await;
    let admin = world.admin().await;
    let at_end = json!({"mode": "at_period_end"});
    let answer = from_us(cancel(&world, &admin, &at_end)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let body = answer.json();
    assert_eq!(body["message"], "Subscription canceled");
    assert_eq!(body["organization"]["cancel_at"], "2027-02-15T08:00:00Z");
    assert_eq!(
        body["organization"]["link_operation"]["cancel_mode"],
        "at_period_end"
    );
    let answer = from_us(cancel(&world, &admin, &json!({"mode": "now"}))).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let body = answer.json();
    assert_eq!(
        body["message"],
        "The cancellation goes on in the background"
    );
    assert_eq!(
        body["operation"],
        json!({"id": Uuid::from_u128(98), "kind": "cancel", "cancel_mode": "now",
            "state": "running", "created_at": "2027-01-15T08:00:00Z",
            "error": {"code": "draining",
                "message": "What was reported until now is delivered first."}})
    );
}

#[tokio::test]
async fn what_is_at_fault_is_named_and_reaches_nobody() {
    let world = linked().await;
    let admin = world.admin().await;
    let terms = ["admin_email", "deployment_type", "plan_type"];
    for (request, fields) in [
        (update(&world, &admin, &json!({})), &terms[..]),
        (update(&world, &admin, &json!({"plan_type": null})), &terms),
        (
            update(&world, &admin, &json!({"admin_email": "nope"})),
            &terms[..1],
        ),
        (
            update(&world, &admin, &json!({"deployment_type": 7})),
            &terms[1..2],
        ),
        (
            update(&world, &admin, &json!({"plan_type": "gold"})),
            &terms[2..],
        ),
        (cancel(&world, &admin, &json!({})), &["mode"]),
        (cancel(&world, &admin, &json!({"mode": "later"})), &["mode"]),
    ] {
        let answer = from_us(request).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.error().0, "invalid_argument");
        assert_eq!(answer.error().1, fields);
    }
    let malformed = from_us(update(&world, &admin, &json!([]))).await;
    assert_eq!(malformed.error().0, "malformed_body");
    assert!(world.org.get(ACME).link_operation.is_none());
}

#[tokio::test]
async fn only_an_admin_on_a_page_of_ours_changes_anything() {
    let world = linked().await;
    let admin = world.admin().await;
    let user = world.sign_in(NO_ADMIN).await;
    let plan = json!({"plan_type": "self-hosted"});
    let now = json!({"mode": "now"});
    for (cookie, origin, status) in [
        (&admin, "null", StatusCode::FORBIDDEN),
        (&admin, "https://evil.example", StatusCode::FORBIDDEN),
        (&user, SITE, StatusCode::FORBIDDEN),
    ] {
        for request in [update(&world, cookie, &plan), cancel(&world, cookie, &now)] {
            let request = request.header("origin", origin);
            assert_eq!(Answer::of(request).await.status, status, "{origin}");
        }
    }
    assert!(world.org.get(ACME).link_operation.is_none());
    world.org.expire_sessions();
    let answer = from_us(update(&world, &admin, &plan)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let nowhere = "/api/admin/organizations/00000000-0000-0000-0000-0000000000be/cancel";
    let admin = world.admin().await;
    let request = world.post(nowhere).header("cookie", &admin).json(&now);
    assert_eq!(from_us(request).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_same_over_grpc() {
    let world = linked().await;
    let token = token(&world, ADMIN).await;
    let mut admin = AdminServiceClient::new(channel(&world));
    let request = UpdateSubscriptionRequest {
        organization_id: ACME.to_string(),
        admin_email: Some("new@acme.com".to_owned()),
        deployment_type: None,
        plan_type: None,
    };
    let answer = admin.update_subscription(with(&token, request.clone()));
    let answer = answer.await.unwrap().into_inner();
    let operation = answer.operation.unwrap();
    assert_eq!(operation.kind(), LinkOperationKind::Update);
    assert_eq!(answer.organization.unwrap().admin_email, "new@acme.com");
    let again = admin.update_subscription(with(&token, request));
    assert_eq!(again.await.unwrap().into_inner().operation, None);

    let request = CancelSubscriptionRequest {
        organization_id: ACME.to_string(),
        mode: CancelMode::Now.into(),
    };
    let answer = admin.cancel_subscription(with(&token, request));
    let operation = answer.await.unwrap().into_inner().operation.unwrap();
    assert_eq!(operation.kind(), LinkOperationKind::Cancel);
    assert_eq!(operation.cancel_mode(), CancelMode::Now);
    assert_eq!(operation.state(), LinkOperationState::Running);
    assert_eq!(operation.error_code, "draining");

    let request = UpdateSubscriptionRequest {
        organization_id: "no-uuid".to_owned(),
        admin_email: None,
        deployment_type: Some(77),
        plan_type: Some(0),
    };
    let refused = admin.update_subscription(with(&token, request));
    let violations = billing_kit::Fault::from_status(refused.await.unwrap_err()).violations;
    let fields: Vec<_> = violations.iter().map(|v| &*v.field).collect();
    assert_eq!(fields, ["organization_id", "deployment_type", "plan_type"]);
    let request = CancelSubscriptionRequest {
        organization_id: ACME.to_string(),
        mode: 0,
    };
    let refused = admin.cancel_subscription(with(&token, request));
    assert_eq!(refused.await.unwrap_err().code(), Code::InvalidArgument);
}
