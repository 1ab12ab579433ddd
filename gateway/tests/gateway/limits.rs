//! What a client may not do: hold a connection for nothing, and report without end. Where the clock
//! stands still it leaps whenever everybody waits.

use futures::future::join_all;
use reqwest::{StatusCode, header::HeaderValue};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use uuid::Uuid;

use crate::world::{Answer, Away, TOKEN, World, report_of};

/// Sends the bytes and reads to the end; says after how many seconds it came.
async fn hold(bytes: &str) -> (String, u64) {
    let world = World::new().await;
    let begun = Instant::now();
    let mut stream = TcpStream::connect(world.addr).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is cut off may end in an error, which is an end too.
    let _end = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    (answer, begun.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_nothing_is_sent_away() {
    for said in [
        "",
        "PRI * HTTP/2",
        "POST /api/usage-report HTTP/1.1\r\nHost: x\r\n",
    ] {
        let (answer, seconds) = hold(said).await;
        assert_eq!((&*answer, seconds), ("", 15), "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let (answer, seconds) = hold(&format!(
        "POST /api/usage-report HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\n{{"
    ))
    .await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("malformed_body"), "{answer}");
    assert_eq!(seconds, 10);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_later_than_an_ingress_would() {
    let (answer, seconds) = hold("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(seconds, 75);
}

/// Sends so many reports of different organizations, as if from this address, and says how many were
/// taken; the others were turned away in our own form.
async fn report_from(world: &World, address: impl Into<Vec<u8>>, count: u128) -> usize {
    let address = HeaderValue::from_bytes(&address.into()).unwrap();
    let answers = join_all((1..=count).map(|n| {
        let request = world.post("/api/usage-report").bearer_auth(TOKEN);
        let request = request.header("x-forwarded-for", address.clone());
        Answer::of(request.json(&report_of(Uuid::from_u128(n))))
    }));
    let answers = answers.await;
    let (taken, limited): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .partition(|answer| answer.status == StatusCode::OK);
    limited.iter().for_each(assert_limited);
    taken.len()
}

fn assert_limited(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.error().0, "rate_limited");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=10).contains(&wait), "{wait}");
}

/// react-doctor#1677, frappe/atlas#142: with a shared token one source could report for everybody, as
/// often as it liked.
#[tokio::test]
async fn fm17_one_source_cannot_report_without_end_and_keeps_nobody_else_from_it() {
    let variables = [
        ("REPORTS_PER_MINUTE_PER_ADDRESS", "60"),
        ("TRUSTED_PROXIES", "127.0.0.0/8"),
    ];
    let world = World::start(&variables, Away::Nothing).await;
    let taken = report_from(&world, "203.0.113.9", 200).await;
    // What fills up again while the others are sent, too.
    assert!((60..150).contains(&taken), "{taken}");
    assert_eq!(report_from(&world, "203.0.113.10", 50).await, 50);
    // What it writes before the proxy's own entry does not hide it.
    let hidden = report_from(&world, *b"\x80, 203.0.113.9", 60).await;
    assert!(hidden < 30, "{hidden}");
    let network = report_from(&world, "2001:db8::1", 60).await;
    assert_eq!(network, 60);
    let same_network = report_from(&world, "2001:db8::2", 60).await;
    assert!(same_network < 30, "{same_network}");
}

/// The same, for one organization wherever its reports come from.
#[tokio::test]
async fn fm17_one_organization_cannot_be_reported_without_end() {
    let world = World::new().await;
    let body = report_of(Uuid::from_u128(7));
    let answers = join_all((0..200).map(|_| world.report(&body))).await;
    let limited = answers
        .iter()
        .filter(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS);
    let limited: Vec<_> = limited.collect();
    assert!((50..=140).contains(&limited.len()), "{}", limited.len());
    limited.into_iter().for_each(assert_limited);
    let other = world.report(&report_of(Uuid::from_u128(8))).await;
    assert_eq!(other.status, StatusCode::OK);
}

/// Were the ingress counted as the source, all instances would be turned away together.
#[tokio::test]
async fn a_proxy_that_nobody_named_is_not_taken_for_one_instance() {
    let variables = [("REPORTS_PER_MINUTE_PER_ADDRESS", "60")];
    let world = World::start(&variables, Away::Nothing).await;
    assert_eq!(report_from(&world, "203.0.113.9", 150).await, 150);
}
