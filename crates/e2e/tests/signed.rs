//! Goal: once an admin has confirmed a key of an organization, only what that key signed is billed; who
//! knows the shared token can neither forge a report nor keep the key from being confirmed.
//! Method: a whole system, over its public doors. The signatures are made here, from docs/INSTANCES.md.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use billing_e2e::actors::{Admin, Answer, Instance, TOKEN, http, now, terms};
use billing_e2e::{Service, System};
use billing_harness::eventually;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

/// A key of an instance, or of somebody who forges.
struct Key(Ed25519KeyPair);

impl Key {
    fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    fn public(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0.public_key())
    }

    fn sign(&self, message: &[u8]) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0.sign(message))
    }

    fn headers(&self, body: &[u8]) -> Vec<(&'static str, String)> {
        self.headers_at(now(), body)
    }

    fn headers_at(&self, at: DateTime<Utc>, body: &[u8]) -> Vec<(&'static str, String)> {
        let time = at.timestamp();
        let mut message = format!("vaultai-usage-report-v1\n{time}\n").into_bytes();
        message.extend_from_slice(body);
        let signature = self.sign(&message);
        vec![
            ("x-vaultai-key", format!("ed25519 {}", self.public())),
            ("x-vaultai-signature", format!("t={time},v1={signature}")),
        ]
    }

    /// The header by which this key says that another takes its place.
    fn replaced_by(&self, other: &Self, instance: &Instance) -> (&'static str, String) {
        let id = instance.organization;
        let message = format!("vaultai-key-replacement-v1\n{id}\n{}", other.public());
        let signature = self.sign(message.as_bytes());
        let value = format!("ed25519 {} {signature}", self.public());
        ("x-vaultai-replaces-key", value)
    }
}

async fn post(system: &System, body: Vec<u8>, headers: Vec<(&'static str, String)>) -> Answer {
    let url = format!("{}/api/usage-report", system.base_url());
    let mut request = http().post(url).bearer_auth(TOKEN).body(body);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer {
        status,
        headers,
        json: response.json().await.unwrap(),
    }
}

/// An organization that is linked, and how its instance reports.
struct Scene {
    system: System,
    admin: Admin,
    instance: Instance,
}

impl Scene {
    /// Linked so many days ago, by Stripe's clock, with a report a moment before.
    async fn linked_days_ago(days: i64) -> Self {
        let system = System::start().await;
        let admin = Admin::sign_in(&system).await;
        let instance = Instance::of(&system);
        let start = now() - TimeDelta::days(days);
        let first = instance.report(45, start - TimeDelta::hours(1)).await;
        assert_eq!(first.status, StatusCode::OK, "{:?}", first.json);
        system.stripe.set_clock(start.timestamp());
        let link = admin.link(instance.organization, &terms()).await;
        assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
        system.stripe.set_clock(now().timestamp());
        Self {
            system,
            admin,
            instance,
        }
    }

    fn body(&self, users: i64, at: DateTime<Utc>) -> Vec<u8> {
        serde_json::to_vec(&self.instance.report_body(users, at)).unwrap()
    }

    async fn signed(&self, key: &Key, users: i64, at: DateTime<Utc>) -> Answer {
        let body = self.body(users, at);
        let headers = key.headers(&body);
        let answer = post(&self.system, body, headers).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
        answer
    }

    async fn unsigned(&self, users: i64, at: DateTime<Utc>) -> Answer {
        let answer = self.instance.report(users, at).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
        answer
    }

    /// Where a report came to, and why.
    async fn ends_as(&self, report: &Answer, state: &str) -> Value {
        let id = report.text("/report_id");
        let row = self
            .admin
            .delivered(self.instance.organization, id, &[state])
            .await;
        row["error"]["code"].clone()
    }

    fn keys_path(&self) -> String {
        let id = self.instance.organization;
        format!("/api/admin/organizations/{id}/signing-keys")
    }

    async fn keys(&self) -> Value {
        let answer = self.admin.get(&self.keys_path()).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
        answer.json
    }

    async fn pin(&self, fingerprint: &str) -> Answer {
        let path = format!("{}/pin", self.keys_path());
        let body = json!({ "fingerprint": fingerprint });
        self.admin.post(&path, &body).await
    }

    async fn intake(&self) -> Value {
        let id = self.instance.organization;
        let path = format!("/api/admin/organizations/{id}/intake");
        self.admin.get(&path).await.json
    }

    async fn actions(&self) -> Vec<String> {
        let id = self.instance.organization;
        let path = format!("/api/admin/audit-events?organization_id={id}");
        let answer = self.admin.get(&path).await;
        let events = answer.json["events"].as_array().unwrap().iter();
        let actions = events.map(|event| event["action"].as_str().unwrap().to_owned());
        actions
            .filter(|action| action.starts_with("signing_key."))
            .collect()
    }
}

/// The fingerprints of a list, those that are pinned marked.
fn fingerprints(keys: &Value) -> Vec<(String, bool)> {
    let keys = keys["keys"].as_array().unwrap().iter();
    keys.map(|key| {
        let fingerprint = key["fingerprint"].as_str().unwrap().to_owned();
        (fingerprint, key["pinned"] == true)
    })
    .collect()
}

fn minutes_ago(minutes: i64) -> DateTime<Utc> {
    now() - TimeDelta::minutes(minutes)
}

#[tokio::test(flavor = "multi_thread")]
async fn once_a_key_is_pinned_only_what_it_signed_is_billed() {
    let scene = Scene::linked_days_ago(3).await;
    let (own, forger) = (Key::new(1), Key::new(2));
    let answer = scene.signed(&own, 46, minutes_ago(50)).await;
    scene.ends_as(&answer, "sent").await;
    assert_eq!(answer.json["key_pinned"], false);
    assert!(
        answer.json.get("missing_days").is_none(),
        "{:?}",
        answer.json
    );
    let own_fingerprint = fingerprints(&scene.keys().await).remove(0).0;
    // A key that anybody can show is a candidate, and no more.
    scene.signed(&forger, 46, minutes_ago(49)).await;
    let seen = fingerprints(&scene.keys().await);
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|(_, is_pinned)| !is_pinned));

    let wrong = scene.pin("a1b2").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert_eq!(wrong.text("/error/fields/0/field"), "fingerprint");
    let typed = own_fingerprint.to_uppercase().replace('-', " ");
    for _ in 0..2 {
        let pinned = scene.pin(&typed).await;
        assert_eq!(pinned.status, StatusCode::OK, "{:?}", pinned.json);
        assert_eq!(
            fingerprints(&pinned.json)[0],
            (own_fingerprint.clone(), true)
        );
    }
    let unsigned = scene.unsigned(46, minutes_ago(40)).await;
    assert_eq!(unsigned.json["key_pinned"], true);
    assert_eq!(scene.ends_as(&unsigned, "held").await, "unsigned");
    let forged = scene.signed(&forger, 46, minutes_ago(39)).await;
    assert_eq!(scene.ends_as(&forged, "held").await, "other_key");
    // What is held is what the next report is not compared with.
    let good = scene.signed(&own, 47, minutes_ago(38)).await;
    scene.ends_as(&good, "sent").await;
    // The same request again is the same report.
    let body = scene.body(47, minutes_ago(37));
    let headers = own.headers(&body);
    let once = post(&scene.system, body.clone(), headers.clone()).await;
    let twice = post(&scene.system, body.clone(), headers).await;
    assert_eq!(once.text("/report_id"), twice.text("/report_id"));

    // A signature that does not fit is refused, and has no effect.
    let other = scene.body(48, minutes_ago(30));
    let refused = post(&scene.system, other, own.headers(&body)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(refused.text("/error/code"), "report_signature_invalid");
    let shown = scene.intake().await;
    let message = refused.text("/error/message");
    assert_eq!(shown["last_refusal"]["message"], message, "{shown}");
    let free = scene.unsigned(48, minutes_ago(30)).await;
    assert!(!free.text("/report_id").is_empty(), "its time is not taken");

    let path = format!("{}/reset", scene.keys_path());
    let reset = scene.admin.post(&path, &json!({})).await;
    assert_eq!(reset.status, StatusCode::OK, "{:?}", reset.json);
    let unsigned = scene.unsigned(47, minutes_ago(20)).await;
    assert_eq!(unsigned.json["key_pinned"], false);
    scene.ends_as(&unsigned, "sent").await;
    eventually("both decisions are in the audit trail", async || {
        (scene.actions().await == ["signing_key.reset", "signing_key.confirmed"]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_key_hands_over_to_the_new_one() {
    let scene = Scene::linked_days_ago(3).await;
    let (old, new, forger) = (Key::new(1), Key::new(2), Key::new(3));
    scene.signed(&old, 46, minutes_ago(50)).await;
    let fingerprint = fingerprints(&scene.keys().await).remove(0).0;
    assert_eq!(scene.pin(&fingerprint).await.status, StatusCode::OK);

    let replace = async |from: &Key, to: &Key, at| {
        let body = scene.body(46, at);
        let mut headers = to.headers(&body);
        headers.push(from.replaced_by(to, &scene.instance));
        post(&scene.system, body, headers).await
    };
    // A key that is not pinned hands over nothing.
    let forged = replace(&forger, &new, minutes_ago(40)).await;
    assert_eq!(scene.ends_as(&forged, "held").await, "other_key");
    let replaced = replace(&old, &new, minutes_ago(30)).await;
    assert_eq!(replaced.status, StatusCode::OK, "{:?}", replaced.json);
    scene.ends_as(&replaced, "sent").await;
    let with_new = scene.signed(&new, 46, minutes_ago(20)).await;
    scene.ends_as(&with_new, "sent").await;
    let with_old = scene.signed(&old, 46, minutes_ago(10)).await;
    assert_eq!(scene.ends_as(&with_old, "held").await, "other_key");
    eventually("the replacement is in the audit trail", async || {
        let actions = scene.actions().await;
        (actions == ["signing_key.replaced", "signing_key.confirmed"]).then_some(())
    })
    .await;
}

/// Who knows the shared token can fill the places of keys. The real one is confirmed all the same.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_keep_a_key_from_being_confirmed() {
    let scene = Scene::linked_days_ago(3).await;
    let own = Key::new(100);
    scene.signed(&own, 46, minutes_ago(100)).await;
    let fingerprint = fingerprints(&scene.keys().await).remove(0).0;
    for n in 1..=6 {
        let minutes = 100 - i64::from(n);
        scene.signed(&Key::new(n), 46, minutes_ago(minutes)).await;
    }
    let seen = fingerprints(&scene.keys().await);
    assert_eq!(seen.len(), 5, "at most five are kept");
    assert!(seen.iter().all(|(known, _)| *known != fingerprint));

    let awaited = scene.pin(&fingerprint).await;
    assert_eq!(awaited.status, StatusCode::OK, "{:?}", awaited.json);
    assert_eq!(awaited.json["awaited_fingerprint"], fingerprint.as_str());
    // Until it has signed a report nothing is held: a slip of the keys does no harm.
    let unsigned = scene.unsigned(46, minutes_ago(60)).await;
    assert_eq!(unsigned.json["key_pinned"], false);
    let answer = scene.signed(&own, 46, minutes_ago(50)).await;
    assert_eq!(answer.json["key_pinned"], true);
    let keys = scene.keys().await;
    assert_eq!(keys["awaited_fingerprint"], Value::Null);
    assert_eq!(fingerprints(&keys)[0], (fingerprint, true));
    let unsigned = scene.unsigned(46, minutes_ago(40)).await;
    assert_eq!(scene.ends_as(&unsigned, "held").await, "unsigned");
}

/// While org-svc is away reports wait in the spool, and their signatures with them.
/// Who guesses the time and the count of a report can send it first, unsigned.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_twin_gives_way_to_the_signed_report() {
    let mut scene = Scene::linked_days_ago(3).await;
    let own = Key::new(1);
    scene.signed(&own, 45, minutes_ago(60)).await;
    let fingerprint = fingerprints(&scene.keys().await).remove(0).0;
    assert_eq!(scene.pin(&fingerprint).await.status, StatusCode::OK);

    let at = minutes_ago(50);
    let forged = scene.unsigned(46, at).await;
    scene.ends_as(&forged, "held").await;
    let genuine = scene.signed(&own, 46, at).await;
    assert_eq!(genuine.text("/report_id"), forged.text("/report_id"));
    scene.ends_as(&genuine, "sent").await;

    // Discarded by an admin, it still comes back by the signature of the key alone.
    let at = minutes_ago(40);
    let forged = scene.unsigned(47, at).await;
    scene.ends_as(&forged, "held").await;
    let id = scene.instance.organization;
    let path = format!("/api/admin/organizations/{id}/held-reports/discard");
    let body = json!({ "report_ids": [forged.text("/report_id")] });
    assert_eq!(scene.admin.post(&path, &body).await.status, StatusCode::OK);
    scene.unsigned(47, at).await;
    scene.ends_as(&forged, "not_billed").await;
    scene.signed(&own, 47, at).await;
    scene.ends_as(&forged, "sent").await;

    // In the spool, too.
    scene.system.kill_service(Service::Org);
    let at = minutes_ago(30);
    let forged = scene.unsigned(48, at).await;
    let genuine = scene.signed(&own, 48, at).await;
    assert_eq!(genuine.text("/report_id"), forged.text("/report_id"));
    scene.system.start_service(Service::Org);
    eventually("org-svc answers", async || {
        let answer = scene.admin.get("/api/admin/organizations").await;
        (answer.status == StatusCode::OK).then_some(())
    })
    .await;
    scene.ends_as(&genuine, "sent").await;
}

/// The key is confirmed while the organization is pending.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_pinned_before_the_link_protects_what_the_admin_sees() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = Instance::of(&system);
    let scene = Scene {
        system,
        admin,
        instance,
    };
    let own = Key::new(1);
    scene.signed(&own, 45, minutes_ago(60)).await;
    let fingerprint = fingerprints(&scene.keys().await).remove(0).0;
    assert_eq!(scene.pin(&fingerprint).await.status, StatusCode::OK);
    let mut body = scene.instance.report_body(9_000, minutes_ago(50));
    body["organization_name"] = json!("Forged");
    body["instance_url"] = json!("forged.example");
    let forged = scene.instance.post(Some(TOKEN), &body).await;
    assert_eq!(forged.status, StatusCode::OK, "{:?}", forged.json);
    let id = scene.instance.organization;
    let listed = scene.admin.listed("pending", id).await.unwrap();
    assert_eq!(listed["user_count"], 45, "{listed}");
    assert_eq!(listed["name"], "Acme Corp", "{listed}");

    let link = scene.admin.link(id, &terms()).await;
    assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
    let good = scene.signed(&own, 46, now()).await;
    scene.ends_as(&good, "sent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_the_spool_is_judged_by_its_signature_too() {
    let mut scene = Scene::linked_days_ago(3).await;
    let own = Key::new(1);
    scene.signed(&own, 46, minutes_ago(50)).await;
    let fingerprint = fingerprints(&scene.keys().await).remove(0).0;
    assert_eq!(scene.pin(&fingerprint).await.status, StatusCode::OK);
    scene.system.kill_service(Service::Org);
    let good = scene.signed(&own, 46, minutes_ago(40)).await;
    assert_eq!(good.json["key_pinned"], true);
    let unsigned = scene.unsigned(46, minutes_ago(39)).await;
    let forged = scene.signed(&Key::new(2), 46, minutes_ago(38)).await;
    scene.system.start_service(Service::Org);
    scene.ends_as(&good, "sent").await;
    assert_eq!(scene.ends_as(&unsigned, "held").await, "unsigned");
    assert_eq!(scene.ends_as(&forged, "held").await, "other_key");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_tells_the_holder_of_the_key_which_days_are_missing() {
    let scene = Scene::linked_days_ago(6).await;
    let own = Key::new(1);
    let days_ago = |days| now() - TimeDelta::days(days);
    // The first report is of an hour before the link.
    let first = days_ago(6) - TimeDelta::hours(1);
    let mut counting = vec![first, days_ago(5), minutes_ago(50), minutes_ago(40)];
    let missing = |counting: &[DateTime<Utc>]| -> Vec<String> {
        let days: BTreeSet<_> = counting.iter().map(DateTime::date_naive).collect();
        let all = first.date_naive().iter_days();
        all.take_while(|day| *day < now().date_naive())
            .filter(|day| !days.contains(day))
            .map(|day| day.to_string())
            .collect()
    };
    scene.signed(&own, 46, days_ago(5)).await;
    let answer = scene.signed(&own, 46, minutes_ago(50)).await;
    assert!(
        answer.json.get("missing_days").is_none(),
        "{:?}",
        answer.json
    );
    let next: DateTime<Utc> = answer.text("/next_report_expected_at").parse().unwrap();
    let in_a_day = minutes_ago(50) + TimeDelta::days(1);
    assert!((in_a_day - next).abs() < TimeDelta::minutes(1), "{next}");
    let server_time: DateTime<Utc> = answer.text("/server_time").parse().unwrap();
    assert!((now() - server_time).abs() < TimeDelta::minutes(1));

    let fingerprint = fingerprints(&scene.keys().await).remove(0).0;
    assert_eq!(scene.pin(&fingerprint).await.status, StatusCode::OK);
    let answer = scene.signed(&own, 46, minutes_ago(40)).await;
    assert_eq!(answer.json["missing_days"], json!(missing(&counting)));
    // Nobody else is told: it would say which days can be made up.
    let unsigned = scene.unsigned(46, minutes_ago(30)).await;
    assert!(unsigned.json.get("missing_days").is_none());
    let forged = scene.signed(&Key::new(2), 46, minutes_ago(29)).await;
    assert!(forged.json.get("missing_days").is_none());

    // A report of the day fills the gap; one that is held does not.
    scene.signed(&own, 46, days_ago(3)).await;
    scene.unsigned(46, days_ago(2)).await;
    counting.push(days_ago(3));
    let answer = scene.signed(&own, 46, minutes_ago(20)).await;
    assert_eq!(answer.json["missing_days"], json!(missing(&counting)));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_pinned_key_a_network_that_counted_before_is_told_the_missing_days() {
    let first = now() - TimeDelta::days(10);
    let later = first + TimeDelta::days(3);
    let system = System::start_at(first).await;
    let admin = Admin::sign_in(&system).await;
    let home = Instance::of(&system).at_address("203.0.113.7");
    let (neighbour, stranger) = (
        home.at_address("203.0.113.200"),
        home.at_address("198.51.100.9"),
    );
    let missing = async |instance: &Instance, at| {
        let answer = instance.report(45, at).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
        answer.json.get("missing_days").cloned()
    };
    // On its first day nobody counted before.
    assert_eq!(missing(&home, first).await, None);
    system.set_time(later).await;
    let gaps: Vec<_> = [1, 2]
        .map(|days| (first + TimeDelta::days(days)).date_naive().to_string())
        .into();
    assert_eq!(missing(&home, later).await, Some(json!(gaps)));
    let after = |seconds| later + TimeDelta::seconds(seconds);
    assert_eq!(missing(&neighbour, after(1)).await, Some(json!(gaps)));
    assert_eq!(missing(&stranger, after(2)).await, None);
    // Nor does its own report of today make its network one that counted before.
    assert_eq!(missing(&stranger, after(3)).await, None);

    // Once a key is pinned only its holder is told.
    let key = Key::new(1);
    let signed = async |at| {
        let body = serde_json::to_vec(&home.report_body(45, at)).unwrap();
        let headers = key.headers_at(at, &body);
        let answer = post(&system, body, headers).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
        answer.json.get("missing_days").cloned()
    };
    signed(after(4)).await;
    let path = format!(
        "/api/admin/organizations/{}/signing-keys",
        home.organization
    );
    let keys = admin.get(&path).await.json;
    let body = json!({ "fingerprint": fingerprints(&keys).remove(0).0 });
    let pinned = admin.post(&format!("{path}/pin"), &body).await;
    assert_eq!(pinned.status, StatusCode::OK, "{:?}", pinned.json);
    assert_eq!(missing(&home, after(5)).await, None);
    assert_eq!(signed(after(6)).await, Some(json!(gaps)));
}
