//! A receiver of webhooks, which answers as it is told to and remembers what it got.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) signature: String,
    pub(crate) body: String,
}

impl Letter {
    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn kind(&self) -> String {
        self.value()["type"].as_str().unwrap().to_owned()
    }

    /// Whether it was signed with this secret, at what time. Worked out from RFC 2104, without the
    /// code that signs.
    pub(crate) fn signed_at(&self, secret: &str) -> Option<i64> {
        let mut parts = self
            .signature
            .split(',')
            .map(|it| it.split_once('=').unwrap());
        let (time, signature) = (parts.next().unwrap(), parts.next().unwrap());
        assert_eq!((time.0, signature.0, parts.next()), ("t", "v1", None));
        let mut key = [0_u8; 64];
        key[..secret.len()].copy_from_slice(secret.as_bytes());
        let pad = |with: u8| key.map(|byte| byte ^ with);
        let text = format!("{}.{}", time.1, self.body);
        let inner = Sha256::digest([&pad(0x36)[..], text.as_bytes()].concat());
        let outer = Sha256::digest([&pad(0x5c)[..], &inner[..]].concat());
        let hex: String = outer.iter().map(|byte| format!("{byte:02x}")).collect();
        (hex == signature.1).then(|| time.1.parse().unwrap())
    }
}

#[derive(Debug, Default)]
struct Inbox {
    letters: Vec<Letter>,
    /// Statuses to answer with before it is all 200.
    statuses: VecDeque<u16>,
}

#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    inbox: Arc<Mutex<Inbox>>,
}

impl Receiver {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://{}/hooks?from=stripe",
            listener.local_addr().unwrap()
        );
        let inbox = Arc::new(Mutex::new(Inbox::default()));
        let receiver = Self {
            url,
            inbox: Arc::clone(&inbox),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inbox = Arc::clone(&inbox);
                tokio::spawn(async move {
                    let service = service_fn(move |request| take(Arc::clone(&inbox), request));
                    http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .ok();
                });
            }
        });
        receiver
    }

    pub(crate) fn answer_with(&self, statuses: &[u16]) {
        self.inbox.lock().unwrap().statuses.extend(statuses);
    }

    pub(crate) fn letters(&self) -> Vec<Letter> {
        self.inbox.lock().unwrap().letters.clone()
    }

    pub(crate) fn kinds(&self) -> Vec<String> {
        self.letters().iter().map(Letter::kind).collect()
    }

    pub(crate) async fn wait_for(&self, count: usize) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while self.letters().len() < count {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{count} letters never came: {:?}",
                self.kinds()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn take(
    inbox: Arc<Mutex<Inbox>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    assert_eq!(head.uri.to_string(), "/hooks?from=stripe");
    let body = body.collect().await.unwrap().to_bytes();
    let letter = Letter {
        signature: head.headers["stripe-signature"]
            .to_str()
            .unwrap()
            .to_owned(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let mut inbox = inbox.lock().unwrap();
    inbox.letters.push(letter);
    let status = inbox.statuses.pop_front().unwrap_or(200);
    let response = Response::builder().status(status);
    Ok(response.body(Full::default()).unwrap())
}
