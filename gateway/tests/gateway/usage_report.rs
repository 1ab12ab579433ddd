//! `POST /api/usage-report`, and what is between it and ingest-svc.

use std::time::Duration;

use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    ingest::report_id,
    world::{Answer, Away, TOKEN, World, eventually, report_of},
};

/// 2024-11-03T03:00:00Z.
const TIMESTAMP: i64 = 1_730_602_800;
const ORGANIZATION: Uuid = Uuid::from_u128(0xabc);

#[tokio::test]
async fn the_answer_is_the_specifications() {
    let world = World::new().await;
    let answer = world.report(&report_of(ORGANIZATION)).await;
    let id = report_id(&ORGANIZATION.to_string(), TIMESTAMP);
    assert_eq!(answer.status, StatusCode::OK);
    // The specified fields come first, as they are specified; what helps the instance follows.
    let specified = format!(
        r#"{{"success":true,"message":"Usage report received","report_id":"{id}","organization_status":"pending","#
    );
    assert!(answer.text.starts_with(&specified), "{}", answer.text);
    assert_eq!(answer.json()["key_pinned"], false);
    assert!(answer.json()["server_time"].is_string());
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(!answer.header("x-request-id").is_empty());
    let again = world.report(&report_of(ORGANIZATION)).await;
    assert!(again.text.starts_with(&specified), "{}", again.text);
    let recorded = world.ingest.recorded();
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0].report_time.unwrap().seconds, TIMESTAMP);
}

#[tokio::test]
async fn a_caller_with_curl_need_not_name_its_content_type() {
    let world = World::new().await;
    let request = world
        .post("/api/usage-report")
        .header("authorization", format!("bearer {TOKEN}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(report_of(ORGANIZATION).to_string());
    assert_eq!(Answer::of(request).await.status, StatusCode::OK);
}

#[tokio::test]
async fn without_a_good_token_nothing_is_read() {
    let world = World::start(&[("BILLING_API_TOKENS", "old,new")], Away::Nothing).await;
    let body = report_of(ORGANIZATION);
    for (token, status) in [
        (None, StatusCode::UNAUTHORIZED),
        (Some("Bearer nope"), StatusCode::UNAUTHORIZED),
        (Some("Bearer "), StatusCode::UNAUTHORIZED),
        (Some("Basic old"), StatusCode::UNAUTHORIZED),
        (Some(&*format!("Bearer {TOKEN}")), StatusCode::UNAUTHORIZED),
        (Some("Bearer old"), StatusCode::OK),
        (Some("Bearer new"), StatusCode::OK),
    ] {
        let mut request = world.post("/api/usage-report").json(&body);
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, status, "{token:?}");
        if status == StatusCode::UNAUTHORIZED {
            assert_eq!(answer.error().0, "unauthenticated");
        }
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused() {
    let world = World::new().await;
    let large = format!("{{\"organization_name\":\"{}\"}}", "x".repeat(16 * 1024));
    let huge = "x".repeat(900 * 1024);
    for (body, status, code) in [
        ("", StatusCode::BAD_REQUEST, "malformed_body"),
        ("{", StatusCode::BAD_REQUEST, "malformed_body"),
        ("[]", StatusCode::BAD_REQUEST, "malformed_body"),
        ("7", StatusCode::BAD_REQUEST, "malformed_body"),
        (
            "{\"user_count\":1e999}",
            StatusCode::BAD_REQUEST,
            "malformed_body",
        ),
        (
            "{\"a\":\"\\ud800\"",
            StatusCode::BAD_REQUEST,
            "malformed_body",
        ),
        (&large, StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
        (&huge, StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
    ] {
        let request = world.post("/api/usage-report").bearer_auth(TOKEN);
        let answer = Answer::of(request.body(body.to_owned())).await;
        assert_eq!(answer.status, status, "{} bytes", body.len());
        assert_eq!(answer.error().0, code);
    }
    assert!(world.ingest.batches().is_empty());
}

/// A report by these headers and this body.
async fn post(world: &World, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let mut request = world.post("/api/usage-report").bearer_auth(TOKEN);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::of(request.body(body)).await
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_byte_order_mark_and_gzip_are_taken_and_other_encodings_are_named() {
    let world = World::new().await;
    let body = report_of(ORGANIZATION).to_string().into_bytes();
    let marked = [&b"\xef\xbb\xbf"[..], &body].concat();
    assert_eq!(post(&world, &[], marked).await.status, StatusCode::OK);
    let zipped = [("content-encoding", "gzip")];
    let answer = post(&world, &zipped, gzip(&body)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(world.ingest.recorded().len(), 1);

    let too_large = gzip(&vec![b' '; 16 * 1024 + 1]);
    let answer = post(&world, &zipped, too_large).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let answer = post(&world, &[("content-encoding", "br")], body.clone()).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(answer.error().0, "unsupported_encoding");

    let mut latin = report_of(ORGANIZATION);
    latin["organization_name"] = json!("Caf#");
    let mut latin = latin.to_string().into_bytes();
    for byte in &mut latin {
        if *byte == b'#' {
            *byte = 0xe9;
        }
    }
    let declared = [("content-type", "application/json; charset=iso-8859-1")];
    for (headers, body, part) in [
        (&[][..], latin.clone(), "ISO-8859-1"),
        (&declared[..], latin, "iso-8859-1"),
        (&[][..], gzip(&body), "Content-Encoding: gzip"),
        (&zipped[..], body, "decompressed"),
    ] {
        let answer = post(&world, headers, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{part}");
        assert_eq!(answer.error().0, "malformed_body", "{part}");
        assert!(answer.text.contains(part), "{part}: {}", answer.text);
    }
}

#[tokio::test]
async fn fm28_half_a_character_names_its_field_and_ingest_svc_is_told() {
    let world = World::new().await;
    let body = report_of(ORGANIZATION).to_string();
    let body = body.replace("\"Acme", "\"\\ud83d Acme");
    assert!(body.contains("ud83d"), "{body}");
    let answer = post(&world, &[], body.into_bytes()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let want = (
        "invalid_argument".to_owned(),
        vec!["organization_name".to_owned()],
    );
    assert_eq!(answer.error(), want);
    assert!(
        answer.text.contains("half of a character"),
        "{}",
        answer.text
    );
    // A body that cannot be read at all is told of, too, where its organization is legible.
    let broken = format!("{{\"organization_id\":\"{ORGANIZATION}\",");
    let answer = post(&world, &[], broken.into_bytes()).await;
    assert_eq!(answer.error().0, "malformed_body");
    assert_eq!(
        post(&world, &[], b"{".to_vec()).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(world.ingest.batches(), [1, 1]);
    assert_eq!(world.ingest.recorded(), []);
}

#[tokio::test]
async fn every_bad_value_is_named_and_nothing_is_stored() {
    let world = World::new().await;
    let long = "x".repeat(201);
    let long_url = "x".repeat(256);
    let ahead = billing_kit::Clock::system().now() + chrono::TimeDelta::hours(2);
    let ahead = ahead.to_rfc3339();
    let rows = [
        ("organization_id", json!("abc-123-def-456")),
        ("organization_id", json!(7)),
        ("organization_id", Value::Null),
        ("organization_name", json!(" ")),
        ("organization_name", json!(long)),
        ("organization_name", json!("Acme\u{7}")),
        ("organization_name", json!(["Acme"])),
        ("instance_url", json!("")),
        ("instance_url", json!(long_url)),
        ("instance_url", json!(false)),
        ("user_count", json!(-1)),
        ("user_count", json!(10_000_001)),
        ("user_count", json!("many")),
        ("user_count", json!("45")),
        ("user_count", json!(45.0)),
        ("user_count", json!(4.5)),
        ("user_count", json!(1e30)),
        ("user_count", json!(u64::MAX)),
        ("user_count", Value::Null),
        ("timestamp", json!("yesterday")),
        ("timestamp", json!("2024-11-03T03:00:00")),
        ("timestamp", json!(TIMESTAMP)),
        ("timestamp", json!(ahead)),
        ("timestamp", Value::Null),
    ];
    for (field, value) in rows {
        let mut body = report_of(ORGANIZATION);
        body[field] = value.clone();
        let answer = world.report(&body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{field}: {value}");
        let want = ("invalid_argument".to_owned(), vec![field.to_owned()]);
        assert_eq!(answer.error(), want, "{value}");
    }
    assert_eq!(world.ingest.recorded(), []);
}

#[tokio::test]
async fn what_has_the_wrong_type_and_what_makes_no_sense_are_told_together() {
    let world = World::new().await;
    let body = json!({"organization_id": "no-uuid", "organization_name": "Acme", "instance_url": 1,
        "user_count": -1, "timestamp": "yesterday", "unknown": {"ignored": true}});
    let answer = world.report(&body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let (_, fields) = answer.error();
    assert_eq!(
        fields,
        ["organization_id", "instance_url", "user_count", "timestamp"]
    );
    let messages = &answer.json()["error"]["fields"];
    assert_eq!(messages[0]["message"], "ingest-svc will not have it.");
    assert_eq!(messages[1]["message"], "It must be a text.");
}

#[tokio::test]
async fn a_missing_body_names_all_five() {
    let world = World::new().await;
    let (_, fields) = world.report(&json!({})).await.error();
    assert_eq!(
        fields,
        [
            "organization_id",
            "organization_name",
            "instance_url",
            "user_count",
            "timestamp"
        ]
    );
}

#[tokio::test]
async fn other_content_for_the_same_timestamp_is_a_conflict() {
    let world = World::new().await;
    world.report(&report_of(ORGANIZATION)).await;
    let mut other = report_of(ORGANIZATION);
    other["user_count"] = json!(46);
    let answer = world.report(&other).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(answer.error().0, "report_conflict");
    assert_eq!(world.ingest.recorded()[0].user_count, Some(45));
}

#[tokio::test]
async fn while_ingest_svc_is_away_a_report_may_come_again() {
    let world = World::without(Away::Ingest).await;
    let mut waits = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let answer = world.report(&report_of(ORGANIZATION)).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.error().0, "unavailable");
        let seconds: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=5).contains(&seconds), "{seconds}");
        waits.insert(seconds);
    }
    assert!(waits.len() > 1, "all come back together: {waits:?}");
    // What is wrong with a report is told whether ingest-svc is there or not.
    let answer = world.report(&json!({"user_count": "many"})).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.error().1.len(), 5);
}

#[tokio::test]
async fn when_it_is_quiet_a_report_goes_out_at_once_and_alone() {
    let world = World::new().await;
    for n in 1..=3 {
        world.report(&report_of(Uuid::from_u128(n))).await;
    }
    assert_eq!(world.ingest.batches(), [1, 1, 1]);
}

#[tokio::test]
async fn of_many_concurrent_reports_each_gets_its_own_outcome() {
    const REPORTS: u128 = 300;
    let world = World::new().await;
    let reports = (1..=REPORTS).map(|n| {
        let world = &world;
        async move {
            let mut body = report_of(Uuid::from_u128(n));
            let is_bad = n % 10 == 0;
            if is_bad {
                body["user_count"] = json!(-1);
            }
            let answer = world.report(&body).await;
            if is_bad {
                assert_eq!(answer.status, StatusCode::BAD_REQUEST);
                assert_eq!(answer.error().1, ["user_count"]);
            } else {
                assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
                let id = report_id(&Uuid::from_u128(n).to_string(), TIMESTAMP);
                assert_eq!(answer.json()["report_id"], json!(id));
            }
        }
    });
    join_all(reports).await;
    let sent: usize = world.ingest.batches().iter().sum();
    assert_eq!(sent, 300, "each was sent once");
    assert_eq!(world.ingest.recorded().len(), 270);
}

#[tokio::test]
async fn a_client_that_leaves_takes_nobody_with_it() {
    let world = World::new().await;
    world.ingest.hold();
    let gone = Uuid::from_u128(1);
    let stays = Uuid::from_u128(2);
    let report = report_of(gone);
    let left = tokio::time::timeout(Duration::from_millis(200), world.report(&report));
    assert!(left.await.is_err(), "it was answered");
    eventually("it was sent", || world.ingest.batches() == [1]).await;
    let report = report_of(stays);
    let (answer, ()) = tokio::join!(world.report(&report), async {
        eventually("both were sent", || world.ingest.batches() == [1, 1]).await;
        world.ingest.go_on();
    });
    assert_eq!(answer.status, StatusCode::OK);
    eventually("both are recorded", || world.ingest.recorded().len() == 2).await;
}

#[tokio::test]
async fn what_got_in_is_answered_before_the_gateway_ends() {
    const REPORTS: usize = 3;
    let world = World::new().await;
    world.ingest.hold();
    let reports = (1..=REPORTS).map(|n| {
        let body = report_of(Uuid::from_u128(u128::try_from(n).unwrap()));
        let world = &world;
        async move { world.report(&body).await.status }
    });
    let end = async {
        let sent = || world.ingest.batches().iter().sum::<usize>();
        eventually("all are on their way", || sent() == REPORTS).await;
        world.life.stop.cancel();
        let refused = || std::net::TcpStream::connect(world.addr).is_err();
        eventually("the port is closed", refused).await;
        world.ingest.go_on();
        world.life.drain(Duration::from_secs(20)).await
    };
    let (statuses, drained) = tokio::join!(join_all(reports), end);
    assert!(drained);
    assert_eq!(statuses, [StatusCode::OK; REPORTS]);
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let world = World::new().await;
    world.report(&report_of(ORGANIZATION)).await;
    assert!(world.life.drain(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_in_our_shape() {
    let world = World::new().await;
    for path in ["/api/nothing", "/nothing", "/api/admin/organizations/a/b"] {
        let answer = Answer::of(world.get(path)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.error().0, "not_found");
    }
    for (path, allow) in [
        ("/api/usage-report", "POST"),
        ("/api/admin/organizations", "GET,HEAD"),
        ("/sign-in", "GET,HEAD,POST"),
        ("/healthz", "GET,HEAD"),
    ] {
        let answer = Answer::of(world.request(Method::DELETE, path)).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(answer.header("allow"), allow, "{path}");
        assert_eq!(answer.error().0, "not_found");
    }
    let answer = Answer::of(world.get("/healthz")).await;
    assert_eq!((answer.status, &*answer.text), (StatusCode::OK, "ok\n"));
}

#[tokio::test]
async fn a_stranger_does_not_choose_the_request_id() {
    let world = World::new().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = world.get("/api/nothing").header("x-request-id", "abc-1");
    let answer = Answer::of(request.header("traceparent", trace)).await;
    let id = answer.header("x-request-id");
    assert!(
        id.len() == 32 && id != "4bf92f3577b34da6a3ce929d0e0e4736",
        "{id}"
    );
    answer.error();
}

/// axum's own answer to a path like these is a text in its own words.
#[tokio::test]
async fn a_path_that_is_no_text_is_refused_in_our_shape() {
    let world = World::new().await;
    let cookie = world.admin().await;
    for path in [
        "/api/admin/organizations/%ff",
        "/api/admin/organizations/%C3%28/usage",
        "/api/nothing/%80",
        "/organizations/%ff",
    ] {
        let answer = Answer::of(world.get(path).header("cookie", &cookie)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(answer.error().0, "invalid_argument", "{path}");
    }
}
