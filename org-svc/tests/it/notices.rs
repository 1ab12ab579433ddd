//! What the operator's own channel is told: over real HTTP, to a receiver that a test makes.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
    routing::post,
};
use billing_kit::proto_time;
use billing_proto::{
    common::v1::{
        CollectionPause, CollectionPauseBehavior, ListNoticesRequest, ListNoticesResponse,
        NoticeState, SubscriptionStatus,
    },
    org::v1::{
        CountOrganizationsRequest, LinkTerms, ListOrganizationsRequest, NoticeToRecord,
        RecordNoticesRequest,
    },
};
use chrono::TimeDelta;
use hmac::{Hmac, KeyInit, Mac};
use org_svc::ChannelConfig;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{net::TcpListener, task::JoinHandle};
use url::Url;
use uuid::Uuid;

use crate::{
    links::{card_declined, link, pending, terms},
    subscriptions::{eventually_at_cursor, state},
    support::{
        OrgSvc, World, eventually, new_id, nowhere, observation,
        stripe_svc::{Mood, StripeSvc},
    },
};

const SECRET: &str = "a secret of the operator's";

/// One delivery as it came.
#[derive(Debug, Clone)]
struct Delivery {
    headers: HeaderMap,
    body: Bytes,
}

impl Delivery {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// As docs/OPERATIONS.md tells a receiver to.
    fn is_signed(&self) -> bool {
        let signature = self.header("billing-signature");
        let (time, signature) = signature.split_once(',').unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(time.strip_prefix("t=").unwrap().as_bytes());
        mac.update(b".");
        mac.update(&self.body);
        let wanted = mac.finalize().into_bytes();
        let wanted: String = wanted.iter().map(|byte| format!("{byte:02x}")).collect();
        signature.strip_prefix("v1=") == Some(&*wanted)
    }
}

#[derive(Debug)]
struct Book {
    deliveries: Vec<Delivery>,
    answer: StatusCode,
    location: String,
}

/// The operator's own channel.
struct Receiver {
    addr: SocketAddr,
    book: Arc<Mutex<Book>>,
    serving: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Receiver {
    async fn answering(answer: StatusCode) -> Self {
        let book = Arc::new(Mutex::new(Book {
            deliveries: Vec::new(),
            answer,
            location: String::new(),
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let routes = Router::new()
            .route("/hook", post(take))
            .with_state(Arc::clone(&book));
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            addr,
            book,
            serving,
        }
    }

    fn url(&self, scheme: &str, host: &str) -> Url {
        let port = self.addr.port();
        Url::parse(&format!("{scheme}://{host}:{port}/hook")).unwrap()
    }

    fn answer(&self, answer: StatusCode) {
        self.book.lock().unwrap().answer = answer;
    }

    fn deliveries(&self) -> Vec<Delivery> {
        self.book.lock().unwrap().deliveries.clone()
    }

    async fn eventually(&self, count: usize) -> Vec<Delivery> {
        eventually("the deliveries", async || {
            let deliveries = self.deliveries();
            (deliveries.len() >= count).then_some(deliveries)
        })
        .await
    }
}

async fn take(State(book): State<Arc<Mutex<Book>>>, headers: HeaderMap, body: Bytes) -> Response {
    let mut book = book.lock().unwrap();
    book.deliveries.push(Delivery { headers, body });
    (book.answer, [(LOCATION, book.location.clone())]).into_response()
}

/// A replica that tells a channel at this address.
async fn telling(world: &World, stripe_svc: &Url, url: Url, private_addresses: bool) -> OrgSvc {
    let mut config = world.config(stripe_svc);
    config.notices = Some(ChannelConfig {
        url,
        secret: SECRET.into(),
        private_addresses,
    });
    world.start_with(config).await
}

/// What is stored of the notices that are not under way: state, attempts, error.
async fn stored(world: &World) -> Vec<(String, i32, Option<String>)> {
    let sql = "SELECT state, attempt_count, error_message FROM notices WHERE lease_token IS NULL ORDER BY created_at, id";
    let rows = world.rows(sql).await;
    rows.iter()
        .map(|row| {
            (
                row.try_get_by_index(0).unwrap(),
                row.try_get_by_index(1).unwrap(),
                row.try_get_by_index(2).unwrap(),
            )
        })
        .collect()
}

async fn eventually_stored(world: &World, state: &str, attempts: i32) -> String {
    eventually("the notice's state", async || {
        let stored = stored(world).await;
        let [(found, count, error)] = &stored[..] else {
            return None;
        };
        (found == state && *count == attempts).then(|| error.clone().unwrap_or_default())
    })
    .await
}

/// A world whose channel takes everything.
async fn told(mood: Mood) -> (World, Receiver, StripeSvc, OrgSvc) {
    let world = World::new().await;
    let receiver = Receiver::answering(StatusCode::NO_CONTENT).await;
    let stripe_svc = StripeSvc::start(mood).await;
    let url = receiver.url("http", "127.0.0.1");
    let org_svc = telling(&world, &stripe_svc.url(), url, true).await;
    (world, receiver, stripe_svc, org_svc)
}

#[tokio::test]
async fn new_organizations_are_told_once_a_batch_and_signed() {
    let (world, receiver, _stripe_svc, org_svc) = told(Mood::Provision).await;
    let (one, two) = (new_id(), new_id());
    for _ in 0..2 {
        // Reported again it is nothing new.
        org_svc
            .observe(vec![
                observation(one, "Acme Corp", "acme.eu", world.now()),
                observation(two, "<b>Globex</b>", "globex.eu", world.now()),
            ])
            .await;
    }
    let told = receiver.eventually(1).await.remove(0);
    assert!(told.is_signed(), "{told:?}");
    assert_eq!(told.header("content-type"), "application/json");
    let body = told.json();
    assert_eq!(body["type"], "organizations.pending");
    assert_eq!(body["id"], told.header("billing-notice-id"));
    assert_eq!(body["occurred_at"], "2027-01-15T08:00:00.000Z");
    let mut named = body["data"]["organizations"].as_array().unwrap().clone();
    named.sort_by_key(|it| it["name"].as_str().unwrap().to_owned());
    assert_eq!(
        named,
        [
            json!({"id": two, "name": "<b>Globex</b>", "instance_url": "globex.eu"}),
            json!({"id": one, "name": "Acme Corp", "instance_url": "acme.eu"}),
        ]
    );
    assert_eq!(world.count("SELECT count(*) FROM notices").await, 1);
}

#[tokio::test]
async fn a_refusal_and_a_status_that_alarms_are_told_once() {
    let (world, receiver, stripe_svc, org_svc) = told(Mood::Refuse(card_declined())).await;
    let id = pending(&world, &org_svc).await;
    receiver.eventually(1).await;
    link(&world, &org_svc, id, terms()).await.unwrap_err();
    let told = receiver.eventually(2).await.remove(1).json();
    assert_eq!(told["type"], "operation.refused");
    let data = &told["data"];
    assert_eq!(data["organization_id"], id.to_string());
    assert_eq!(
        (
            &data["operation"],
            &data["code"],
            &data["organization_name"]
        ),
        (&json!("link"), &json!("email_invalid"), &json!("Acme Corp"))
    );

    stripe_svc.set_mood(Mood::Provision);
    let without_trial = LinkTerms {
        trial_days: Some(0),
        ..terms()
    };
    let linked = link(&world, &org_svc, id, without_trial).await.unwrap();
    let subscription = linked.organization.unwrap().stripe_subscription_id;
    for (version, status) in [
        (1, SubscriptionStatus::PastDue),
        (2, SubscriptionStatus::PastDue),
        (3, SubscriptionStatus::Active),
        (4, SubscriptionStatus::Canceled),
    ] {
        let mut state = state(id, version, status);
        state.stripe_subscription_id.clone_from(&subscription);
        stripe_svc.tell(vec![state]);
    }
    let told = receiver.eventually(4).await;
    let mut changes: Vec<_> = told[2..].iter().map(Delivery::json).collect();
    changes.sort_by_key(|it| it["data"]["after"].as_str().unwrap().to_owned());
    let changes: Vec<_> = changes
        .iter()
        .map(|it| (&it["type"], &it["data"]["before"], &it["data"]["after"]))
        .collect();
    let kind = json!("subscription.status_changed");
    assert_eq!(
        changes,
        [
            (&kind, &json!("active"), &json!("canceled")),
            (&kind, &json!("active"), &json!("past_due")),
        ]
    );
    let count = world.count("SELECT count(*) FROM notices").await;
    assert_eq!(count, 4, "each was stored once");
}

/// pay-rails/pay#659: collection was paused, every invoice voided, and the status said "active".
#[tokio::test]
async fn fm32_a_pause_of_collection_is_shown_counted_and_told_once_until_it_ends() {
    let (world, receiver, stripe_svc, org_svc) = told(Mood::Provision).await;
    let id = pending(&world, &org_svc).await;
    let linked = link(&world, &org_svc, id, terms()).await.unwrap();
    let subscription = linked.organization.unwrap().stripe_subscription_id;
    let pause = |behavior: CollectionPauseBehavior| CollectionPause {
        behavior: behavior.into(),
        first_seen_time: state(id, 0, SubscriptionStatus::Active).start_time,
        resume_time: None,
    };
    let shown = async |version, collection_pause| {
        let mut state = state(id, version, SubscriptionStatus::Active);
        state.stripe_subscription_id.clone_from(&subscription);
        state.collection_pause = collection_pause;
        stripe_svc.tell(vec![state]);
        eventually_at_cursor(&world, version).await;
        let mut client = org_svc.organizations.clone();
        let counts = client.count_organizations(CountOrganizationsRequest {});
        let count = counts.await.unwrap().into_inner().collection_paused_count;
        let request = ListOrganizationsRequest {
            collection_paused: true,
            ..ListOrganizationsRequest::default()
        };
        let listed = client.list_organizations(request).await;
        let listed = listed.unwrap().into_inner().organizations;
        assert!(listed.iter().all(|it| it.id == id.to_string()));
        let organization = org_svc.get(id).await;
        assert_eq!(
            organization.subscription_status(),
            SubscriptionStatus::Active
        );
        (organization.collection_pause, count, listed.len())
    };
    let [void, draft] = [
        CollectionPauseBehavior::Void,
        CollectionPauseBehavior::KeepAsDraft,
    ]
    .map(|behavior| Some(pause(behavior)));
    assert_eq!(shown(1, None).await, (None, 0, 0));
    assert_eq!(shown(2, void).await, (void, 1, 1));
    assert_eq!(shown(3, draft).await, (draft, 1, 1));
    assert_eq!(shown(4, None).await, (None, 0, 0));
    assert_eq!(shown(5, void).await, (void, 1, 1));
    // The organization that is pending, and each pause once.
    let told = receiver.eventually(3).await;
    let mut told: Vec<_> = told.iter().map(Delivery::json).collect();
    told.retain(|it| it["type"] == "subscription.collection_paused");
    let behaviors: Vec<_> = told.iter().map(|it| &it["data"]["behavior"]).collect();
    assert_eq!(behaviors, ["void", "void"]);
    assert_eq!(told[0]["data"]["organization_name"], "Acme Corp");
    assert_eq!(world.count("SELECT count(*) FROM notices").await, 3);
}

#[tokio::test]
async fn a_notice_that_is_not_taken_is_sent_again_the_same_until_it_is_given_up() {
    let world = World::new().await;
    let receiver = Receiver::answering(StatusCode::INTERNAL_SERVER_ERROR).await;
    let url = receiver.url("http", "127.0.0.1");
    let org_svc = telling(&world, &nowhere(), url, true).await;
    pending(&world, &org_svc).await;
    let error = eventually_stored(&world, "queued", 1).await;
    assert_eq!(error, "It answered with status 500.");
    world.pass(TimeDelta::seconds(11));
    eventually_stored(&world, "queued", 2).await;
    let told = receiver.deliveries();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].body, told[1].body);
    // Each attempt is signed with its own time.
    assert_ne!(
        told[0].header("billing-signature"),
        told[1].header("billing-signature")
    );
    assert!(told.iter().all(Delivery::is_signed));

    world.pass(TimeDelta::hours(72));
    eventually_stored(&world, "given_up", 3).await;
    receiver.answer(StatusCode::OK);
    world.pass(TimeDelta::days(1));
    // The next one is taken, and the other one stays where it can be seen.
    pending(&world, &org_svc).await;
    let told = receiver.eventually(4).await;
    assert_eq!(told.len(), 4);
    assert_ne!(told[3].body, told[0].body);
}

#[tokio::test]
async fn a_receiver_that_was_away_has_it_once_it_is_back_whoever_sends_it() {
    let world = World::new().await;
    let receiver = Receiver::answering(StatusCode::BAD_GATEWAY).await;
    let url = receiver.url("http", "127.0.0.1");
    let first = telling(&world, &nowhere(), url.clone(), true).await;
    let second = telling(&world, &nowhere(), url, true).await;
    pending(&world, &first).await;
    eventually_stored(&world, "queued", 1).await;
    first.life.stop.cancel();
    receiver.answer(StatusCode::OK);
    world.pass(TimeDelta::minutes(1));
    assert_eq!(eventually_stored(&world, "sent", 2).await, "");
    assert_eq!(receiver.deliveries().len(), 2, "one replica at a time");
    // Seen for a month.
    world.pass(TimeDelta::days(31));
    drop(second);
    let _third = telling(&world, &nowhere(), receiver.url("http", "127.0.0.1"), true).await;
    eventually("it is forgotten", async || {
        stored(&world).await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let world = World::new().await;
    let elsewhere = Receiver::answering(StatusCode::OK).await;
    let receiver = Receiver::answering(StatusCode::TEMPORARY_REDIRECT).await;
    receiver.book.lock().unwrap().location = elsewhere.url("http", "127.0.0.1").to_string();
    let url = receiver.url("http", "127.0.0.1");
    let org_svc = telling(&world, &nowhere(), url, true).await;
    pending(&world, &org_svc).await;
    let error = eventually_stored(&world, "queued", 1).await;
    assert_eq!(error, "It answered with status 307.");
    assert!(elsewhere.deliveries().is_empty());
}

/// The name is good, and points to where the configuration may not: found out once it is resolved.
#[tokio::test]
async fn a_name_of_a_private_address_is_not_connected_to() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = Url::parse(&format!("https://localhost:{port}/T0KEN")).unwrap();
    let org_svc = telling(&world, &nowhere(), url, false).await;
    pending(&world, &org_svc).await;
    let error = eventually_stored(&world, "queued", 1).await;
    assert!(error.contains("its address is private"), "{error}");
    assert!(!error.contains("T0KEN"), "{error}");
    let connected = futures::FutureExt::now_or_never(listener.accept());
    assert!(connected.is_none(), "it was connected to");
}

#[tokio::test]
async fn without_a_channel_nothing_is_stored() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    pending(&world, &org_svc).await;
    assert_eq!(world.count("SELECT count(*) FROM notices").await, 0);
}

fn held(world: &World, organization_id: Uuid, day: &str) -> NoticeToRecord {
    NoticeToRecord {
        key: format!("report.held/{organization_id}/{day}"),
        r#type: "report.held".to_owned(),
        organization_id: organization_id.to_string(),
        occur_time: Some(proto_time::to_proto(world.now())),
        data_json: r#"{"user_count": 4000}"#.to_owned(),
    }
}

async fn record(org_svc: &OrgSvc, notices: Vec<NoticeToRecord>) -> Vec<String> {
    let request = RecordNoticesRequest { notices };
    let answer = org_svc.notices.clone().record_notices(request).await;
    answer.unwrap().into_inner().settled_keys
}

#[tokio::test]
async fn what_another_service_knows_is_told_once_with_the_organizations_name() {
    let (world, receiver, _stripe_svc, org_svc) = told(Mood::Provision).await;
    let id = pending(&world, &org_svc).await;
    receiver.eventually(1).await;
    let stranger = new_id();
    let today = held(&world, id, "2027-01-15");
    let newer = NoticeToRecord {
        key: "report.lost/1".to_owned(),
        r#type: "report.lost".to_owned(),
        ..today.clone()
    };
    let of_nobody = held(&world, stranger, "2027-01-15");
    let keys = [today.key.clone(), of_nobody.key.clone()];
    for _ in 0..2 {
        // What this release does not know is not settled, and keeps nothing else from being told.
        let all = vec![today.clone(), newer.clone(), of_nobody.clone()];
        assert_eq!(record(&org_svc, all).await, keys);
    }
    let tomorrow = held(&world, id, "2027-01-16");
    record(&org_svc, vec![tomorrow]).await;
    let told = receiver.eventually(4).await;
    let mut told: Vec<_> = told[1..].iter().map(Delivery::json).collect();
    told.sort_by_key(|it| it["data"]["organization_name"].is_null());
    let named =
        json!({"organization_id": id, "organization_name": "Acme Corp", "user_count": 4000});
    let unnamed =
        json!({"organization_id": stranger, "organization_name": null, "user_count": 4000});
    for (told, data) in told.iter().zip([&named, &named, &unnamed]) {
        assert_eq!(
            (&told["type"], &told["data"]),
            (&json!("report.held"), data)
        );
        assert_eq!(told["occurred_at"], "2027-01-15T08:00:00.000Z");
    }
    assert_eq!(world.count("SELECT count(*) FROM notices").await, 4);
}

#[tokio::test]
async fn without_a_channel_what_another_service_knows_is_settled_and_not_stored() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    let notice = held(&world, new_id(), "2027-01-15");
    let key = notice.key.clone();
    assert_eq!(record(&org_svc, vec![notice]).await, [key]);
    assert_eq!(world.count("SELECT count(*) FROM notices").await, 0);
}

async fn listed(
    world: &World,
    org_svc: &OrgSvc,
    request: ListNoticesRequest,
) -> ListNoticesResponse {
    let request = world.as_admin(request);
    let answer = org_svc.notices.clone().list_notices(request).await;
    answer.unwrap().into_inner()
}

#[tokio::test]
async fn what_waits_and_what_was_given_up_is_listed_for_admins() {
    let world = World::new().await;
    let receiver = Receiver::answering(StatusCode::BAD_GATEWAY).await;
    let url = receiver.url("http", "127.0.0.1");
    let org_svc = telling(&world, &nowhere(), url, true).await;
    let none = ListNoticesRequest::default;
    let stranger = org_svc.notices.clone().list_notices(none()).await;
    assert_eq!(stranger.unwrap_err().code(), tonic::Code::Unauthenticated);
    pending(&world, &org_svc).await;
    eventually_stored(&world, "queued", 1).await;
    world.pass(TimeDelta::hours(73));
    eventually_stored(&world, "given_up", 2).await;
    let id = new_id();
    record(&org_svc, vec![held(&world, id, "2027-01-18")]).await;
    let waiting = ListNoticesRequest {
        state: NoticeState::Queued.into(),
        ..none()
    };
    let waiting = eventually("the first attempt failed", async || {
        let mut found = listed(&world, &org_svc, waiting.clone()).await.notices;
        let notice = found.pop()?;
        (!notice.error_message.is_empty()).then_some(notice)
    })
    .await;
    assert_eq!(waiting.r#type, "report.held");
    assert_eq!(waiting.error_message, "It answered with status 502.");
    assert!(waiting.next_attempt_time.is_some() && waiting.end_time.is_none());
    let data: Value = serde_json::from_str(&waiting.data_json).unwrap();
    assert_eq!(data["organization_id"], id.to_string());

    let mut pages = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListNoticesRequest {
            page_size: 1,
            page_token,
            ..none()
        };
        let page = listed(&world, &org_svc, request).await;
        pages.extend(page.notices);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let [_, given_up] = &pages[..] else {
        panic!("{pages:?}");
    };
    assert_eq!(pages[0].id, waiting.id, "the latest first");
    assert_eq!(given_up.state(), NoticeState::GivenUp);
    assert!(given_up.next_attempt_time.is_none() && given_up.end_time.is_some());
    let request = ListNoticesRequest {
        state: NoticeState::GivenUp.into(),
        ..none()
    };
    let given_up_alone = listed(&world, &org_svc, request).await.notices;
    assert_eq!(given_up_alone, std::slice::from_ref(given_up));

    // What was sent is not among them.
    receiver.answer(StatusCode::OK);
    world.pass(TimeDelta::minutes(1));
    eventually("only what was given up is left", async || {
        let left = listed(&world, &org_svc, none()).await.notices;
        (left == given_up_alone).then_some(())
    })
    .await;
}
