//! Goal: what somebody does in Stripe's own dashboard shows in ours, by itself.
//! Method: a whole system whose Stripe delivers its webhooks doubled, late and shuffled.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use billing_e2e::actors::{Admin, http, linked_instance};
use billing_e2e::{STRIPE_KEY, System};
use billing_harness::eventually;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn stripe(system: &System, method: Method, path: &str, form: &[(&str, &str)]) {
    let url = format!("{}{path}", system.stripe.base_url());
    let request = http().request(method, url);
    let request = request.basic_auth(STRIPE_KEY, None::<&str>);
    let answer = request.form(form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
}

/// cashier-stripe#1201, onetimesecret#3692, adcp#6654.
#[tokio::test(flavor = "multi_thread")]
async fn fm12_statuses_converge_to_stripes_however_its_webhooks_come() {
    let system = System::start().await;
    let url = format!("{}/_sim/webhooks", system.stripe.base_url());
    let disorder = json!({"duplicate": 0.5, "delay_ms": [0, 300], "shuffle": true});
    let answer = http().post(url).json(&disorder).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);

    let admin = Admin::sign_in(&system).await;
    let (instance, link) = linked_instance(&system, &admin).await;
    let subscription = link.text("/organization/stripe_subscription_id").to_owned();
    let path = format!("/v1/subscriptions/{subscription}");
    for flag in ["true", "false", "true"] {
        let later = [("cancel_at_period_end", flag)];
        stripe(&system, Method::POST, &path, &later).await;
    }
    stripe(&system, Method::DELETE, &path, &[]).await;
    eventually("the organization is canceled", async || {
        let listed = admin.listed("linked", instance.organization).await?;
        (listed["subscription_status"] == "canceled").then_some(())
    })
    .await;
    eventually("every event is worked off", async || {
        let events = admin.get("/api/admin/webhook-events?state=queued").await;
        (events.json["events"] == json!([])).then_some(())
    })
    .await;
    // Nothing that came late took it back.
    let listed = admin.listed("linked", instance.organization).await.unwrap();
    assert_eq!(listed["subscription_status"], "canceled");
    let dead = admin.get("/api/admin/webhook-events?state=dead").await;
    assert_eq!(dead.json["events"], Value::Array(Vec::new()));
}

/// pay-rails/pay#659: collection was paused, every invoice voided, and the status said "active".
#[tokio::test(flavor = "multi_thread")]
async fn fm32_paused_collection_shows_beside_the_status_until_it_ends() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let (instance, link) = linked_instance(&system, &admin).await;
    let id = instance.organization;
    let subscription = link.text("/organization/stripe_subscription_id").to_owned();
    let path = format!("/v1/subscriptions/{subscription}");
    let paused = [("pause_collection[behavior]", "void")];
    stripe(&system, Method::POST, &path, &paused).await;
    let pause = eventually("the pause is shown", async || {
        let listed = admin.listed("linked", id).await?;
        assert_eq!(listed["subscription_status"], "trial");
        let pause = listed["collection_pause"].clone();
        pause.is_object().then_some(pause)
    })
    .await;
    assert_eq!(pause["behavior"], "void");
    assert!(pause["since"].is_string() && pause["resumes_at"].is_null());
    let found = admin
        .get("/api/admin/organizations?collection_paused=true")
        .await;
    assert_eq!(found.json["collection_paused_count"], 1);
    assert_eq!(
        found.json["organizations"]["linked"][0]["id"],
        id.to_string()
    );
    assert_eq!(found.json["organizations"]["pending"], json!([]));

    stripe(&system, Method::POST, &path, &[("pause_collection", "")]).await;
    eventually("the pause is gone", async || {
        let listed = admin.listed("linked", id).await?;
        listed.get("collection_pause").is_none().then_some(())
    })
    .await;
    let found = admin
        .get("/api/admin/organizations?collection_paused=true")
        .await;
    assert_eq!(found.json["organizations"]["linked"], json!([]));
    assert_eq!(found.json["collection_paused_count"], 0);
}
