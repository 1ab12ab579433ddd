//! Makes the deliveries: signed as Stripe signs, over plain HTTP.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use tokio::net::TcpStream;
use url::Url;

use crate::events::API_VERSION;
use crate::sim::Sim;
use crate::webhook_queue::Delivery;

/// How long a receiver may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often the worker looks at the clock when nothing wakes it.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The shortest rest, so that a delivery that is a moment away is not waited for in a circle.
const SHORTEST_REST: Duration = Duration::from_millis(1);
/// What is read of an answer, which nobody looks at, in bytes.
const MAX_ANSWER: usize = 1 << 16;

/// One attempt, ready to be sent.
#[derive(Debug)]
struct Letter {
    number: u64,
    url: String,
    body: String,
    signature: String,
}

/// `t=…,v1=…` as in a `Stripe-Signature` header.
fn sign(secret: &str, unix_s: i64, body: &str) -> String {
    // A key of any length will do for HMAC.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{unix_s}.{body}").as_bytes());
    let digest = mac.finalize().into_bytes();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={unix_s},v1={hex}")
}

fn real_unix_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or_default()
}

/// Delivers until the simulator stops, and lets happen what time alone makes due.
pub(crate) async fn deliver(sim: Arc<Sim>) {
    loop {
        let (letters, rest) = next(&sim);
        for letter in letters {
            sim.tasks.spawn(attempt(Arc::clone(&sim), letter));
        }
        tokio::select! {
            () = sim.wake.notified() => {}
            () = tokio::time::sleep(rest) => {}
            () = sim.stopping.cancelled() => return,
        }
    }
}

fn next(sim: &Sim) -> (Vec<Letter>, Duration) {
    let told = sim.lock().world.events.count;
    let mut inner = sim.settled();
    if inner.world.events.count != told {
        sim.changed.notify_one();
    }
    let now_ms = sim.clock.now_ms();
    let taken = inner.world.webhooks.take_due(now_ms);
    let skew_s = inner.world.webhooks.disorder.signature_skew_s;
    let mut letters = Vec::with_capacity(taken.len());
    for delivery in taken {
        let letter = letter(&inner.world, &delivery, real_unix_s() + skew_s);
        match letter {
            Some(letter) => letters.push(letter),
            None => inner.world.webhooks.give_up(delivery.number),
        }
    }
    let rest_ms = inner.world.webhooks.rest_ms(now_ms);
    let rest = rest_ms.map(|rest| Duration::from_millis(rest.unsigned_abs()));
    (
        letters,
        rest.unwrap_or(LOOK_EVERY).clamp(SHORTEST_REST, LOOK_EVERY),
    )
}

fn letter(world: &crate::world::World, delivery: &Delivery, unix_s: i64) -> Option<Letter> {
    let endpoint = world.webhooks.endpoints.get(&delivery.endpoint)?;
    let endpoint = Some(endpoint).filter(|it| it.is_on())?;
    let value = if delivery.thin {
        world.events.thin.get(&delivery.event)?.notice()
    } else {
        let version = endpoint.api_version.as_deref().unwrap_or(API_VERSION);
        let event = world.events.snapshots.get(&delivery.event)?;
        event.to_value(version, world.webhooks.pending_of(&delivery.event))
    };
    let body = value.to_string();
    Some(Letter {
        number: delivery.number,
        url: endpoint.url.clone(),
        signature: sign(&endpoint.secret, unix_s, &body),
        body,
    })
}

async fn attempt(sim: Arc<Sim>, letter: Letter) {
    let number = letter.number;
    let outcome = tokio::select! {
        sent = tokio::time::timeout(TIMEOUT, send(letter)) => match sent {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("timed out".to_owned()),
        },
        () = sim.stopping.cancelled() => return,
    };
    if let Err(error) = &outcome {
        tracing::debug!(%error, "a webhook was not delivered");
    }
    let now_ms = sim.clock.now_ms();
    sim.lock().world.webhooks.attempted(number, outcome, now_ms);
    sim.touched();
}

async fn send(letter: Letter) -> anyhow::Result<u16> {
    let url = Url::parse(&letter.url)?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let port = url.port_or_known_default().unwrap_or(80);
    let plain_host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((plain_host, port)).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, format!("{host}:{port}"))
        .header(CONTENT_TYPE, "application/json; charset=utf-8")
        .header(USER_AGENT, "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
        .header("stripe-signature", letter.signature)
        .body(Full::new(Bytes::from(letter.body)))?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        // The receiver's answer counts from its first line; the rest is only let in.
        Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await
            .ok();
        anyhow::Ok(status)
    };
    tokio::pin!(exchange);
    tokio::select! {
        status = &mut exchange => status,
        closed = connection => {
            closed?;
            exchange.await
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_signature_is_the_one_that_openssl_makes() {
        // printf '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test
        let signed = super::sign("whsec_test", 1_700_000_000, r#"{"id":"evt_1"}"#);
        assert_eq!(
            signed,
            "t=1700000000,v1=c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925"
        );
    }
}
