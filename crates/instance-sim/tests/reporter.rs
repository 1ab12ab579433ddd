//! The reporter against a small local server that behaves as badly as networks do.
//!
//! What matters is that a report is one body: the billing service recognizes a report that it has
//! already recorded by its content, so a retry that differed would be counted or refused.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may unwrap as tests do"
)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{TimeZone as _, Utc};
use instance_sim::report::UsageReport;
use instance_sim::reporter::{BILLING_API_TOKEN, Outcome, Reporter};
use instance_sim::retry::RetryPolicy;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

const RECORDED: &str = r#"{"success":true,"message":"Usage report received","report_id":"r1","organization_status":"pending"}"#;

/// What the server does with one request.
#[derive(Clone, Copy)]
enum Act {
    /// Answers with this status, these headers and this body.
    Answer(&'static str, &'static str, &'static str),
    /// Closes the connection without a word, though it has read the request.
    Drop,
    /// Promises a longer body than it sends.
    CutBody,
}

/// A server that follows a script, one act per request, and remembers the requests.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(script: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&script), Arc::clone(&log)));
            }
        });
        Self { address, seen }
    }

    fn reporter(&self, max_attempts: u32) -> Reporter {
        let policy = RetryPolicy {
            max_attempts,
            base: Duration::from_millis(2),
            cap: Duration::from_millis(10),
            max_retry_after: Duration::from_secs(5),
        };
        let url = format!("http://{}/", self.address);
        Reporter::new(&url, &SecretString::from(BILLING_API_TOKEN), policy).unwrap()
    }

    fn bodies(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .map(|request| request.split_once("\r\n\r\n").unwrap().1.to_owned())
            .collect()
    }
}

async fn converse(
    mut stream: TcpStream,
    script: Arc<Mutex<VecDeque<Act>>>,
    log: Arc<Mutex<Vec<String>>>,
) {
    loop {
        let Some(request) = read_request(&mut stream).await else {
            return;
        };
        log.lock().unwrap().push(request);
        let act = script
            .lock()
            .unwrap()
            .pop_front()
            .expect("a request that the script foresees");
        let answer = match act {
            Act::Answer(status, headers, body) => {
                format!(
                    "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}",
                    body.len()
                )
            }
            Act::Drop => return,
            Act::CutBody => "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"succ".to_owned(),
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
        if matches!(act, Act::CutBody) {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let read = stream
            .read(&mut chunk)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            });
            if length.is_none_or(|length: usize| body.len() >= length) {
                return Some(text.into_owned());
            }
        }
    }
}

fn report() -> UsageReport {
    UsageReport {
        organization_id: Uuid::from_u128(7),
        organization_name: "Atelier \"Mérivaux\"".to_owned(),
        instance_url: "merivaux.vaultai.eu".to_owned(),
        user_count: 14,
        timestamp: Utc.with_ymd_and_hms(2026, 10, 1, 3, 0, 0).unwrap(),
    }
}

#[tokio::test]
async fn one_report_is_one_body_through_every_kind_of_trouble() {
    let server = Server::start([
        Act::Answer("503 Service Unavailable", "", ""),
        Act::Drop,
        Act::Answer("429 Too Many Requests", "retry-after: 0\r\n", "{}"),
        Act::CutBody,
        Act::Answer("500 Internal Server Error", "", ""),
        Act::Answer("200 OK", "", RECORDED),
    ])
    .await;
    let outcome = server.reporter(10).report(&report()).await.unwrap();
    let Outcome::Recorded { answer, attempts } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((answer.report_id.as_str(), attempts), ("r1", 6));
    let bodies = server.bodies();
    assert_eq!(bodies.len(), 6);
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:#?}");
    let sent: serde_json::Value = serde_json::from_str(&bodies[0]).unwrap();
    assert_eq!(sent["organization_name"], "Atelier \"Mérivaux\"");
    assert_eq!(sent["timestamp"], "2026-10-01T03:00:00Z");
}

#[tokio::test]
async fn the_request_is_the_specifications() {
    let server = Server::start([Act::Answer("200 OK", "", RECORDED)]).await;
    server.reporter(1).report(&report()).await.unwrap();
    let request = server.seen.lock().unwrap()[0].to_lowercase();
    assert!(
        request.starts_with("post /api/usage-report http/1.1\r\n"),
        "{request}"
    );
    let token = format!(
        "\r\nauthorization: bearer {}\r\n",
        BILLING_API_TOKEN.to_lowercase()
    );
    assert!(request.contains(&token), "{request}");
    assert!(
        request.contains("\r\ncontent-type: application/json\r\n"),
        "{request}"
    );
}

#[tokio::test]
async fn a_retry_after_is_waited_for() {
    let server = Server::start([
        Act::Answer("503 Service Unavailable", "retry-after: 1\r\n", ""),
        Act::Answer("200 OK", "", RECORDED),
    ])
    .await;
    let start = Instant::now();
    let outcome = server.reporter(3).report(&report()).await.unwrap();
    assert!(
        matches!(outcome, Outcome::Recorded { attempts: 2, .. }),
        "{outcome:?}"
    );
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_retry_after_beyond_all_patience_ends_the_attempts() {
    let server = Server::start([Act::Answer(
        "503 Service Unavailable",
        "retry-after: 86400\r\n",
        "",
    )])
    .await;
    let outcome = server.reporter(3).report(&report()).await.unwrap();
    assert!(
        matches!(outcome, Outcome::GaveUp { attempts: 1, .. }),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_refusal_is_final() {
    for status in [
        "400 Bad Request",
        "401 Unauthorized",
        "409 Conflict",
        "413 Too Large",
        "422 No",
    ] {
        let server = Server::start([Act::Answer(status, "retry-after: 0\r\n", "no")]).await;
        let outcome = server.reporter(5).report(&report()).await.unwrap();
        let Outcome::Refused {
            status: got,
            detail,
        } = outcome
        else {
            panic!("{outcome:?}")
        };
        assert!(
            status.starts_with(&got.to_string()) && detail == "no",
            "{got} {detail}"
        );
        assert_eq!(server.bodies().len(), 1, "{status}");
    }
}

/// The token is for the host that it was given for.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start([]).await;
    let location: &'static str =
        Box::leak(format!("location: http://{}/\r\n", elsewhere.address).into_boxed_str());
    let server = Server::start([Act::Answer("307 Temporary Redirect", location, "")]).await;
    let outcome = server.reporter(5).report(&report()).await.unwrap();
    assert!(
        matches!(outcome, Outcome::Refused { status: 307, .. }),
        "{outcome:?}"
    );
    assert!(elsewhere.bodies().is_empty());
}

#[tokio::test]
async fn the_attempts_are_bounded() {
    let server = Server::start([Act::Drop; 4]).await;
    let outcome = server.reporter(4).report(&report()).await.unwrap();
    assert!(
        matches!(outcome, Outcome::GaveUp { attempts: 4, .. }),
        "{outcome:?}"
    );
    assert_eq!(server.bodies().len(), 4);

    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let server = Server {
        address,
        seen: Arc::default(),
    };
    let outcome = server.reporter(2).report(&report()).await.unwrap();
    let Outcome::GaveUp { attempts: 2, last } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(!last.contains(BILLING_API_TOKEN), "{last}");
}
