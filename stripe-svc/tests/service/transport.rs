//! What goes over the wire to Stripe, as somebody between us and Stripe sees it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use billing_proto::stripe::v1::{MeterEventAccepted, meter_event_outcome::Outcome};
use stripe_sim::{FaultEffect, FaultResponse};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{CUSTOMERS, World, answer, event, link, once};

/// Stands between the service and the simulator and keeps what was sent, a text per connection.
struct Wire {
    url: String,
    sent: Arc<Mutex<Vec<String>>>,
}

impl Wire {
    async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let sent = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&sent);
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                tokio::spawn(carry(from, to, Arc::clone(&kept)));
            }
        });
        Self { url, sent }
    }

    fn connections(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    /// The values of a header in all requests to a path, in the order of their connections.
    fn header(&self, request_line: &str, name: &str) -> Vec<String> {
        let sent = self.sent.lock().unwrap().join("");
        let mut values = Vec::new();
        for request in sent.split(request_line).skip(1) {
            let head = request.split("\r\n\r\n").next().unwrap();
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            let value = lines.find(|(it, _)| it.eq_ignore_ascii_case(name));
            values.push(value.map_or_else(String::new, |(_, value)| value.to_owned()));
        }
        values
    }
}

async fn carry(from: TcpStream, to: SocketAddr, kept: Arc<Mutex<Vec<String>>>) {
    let index = {
        let mut kept = kept.lock().unwrap();
        kept.push(String::new());
        kept.len() - 1
    };
    let (mut from_read, mut from_write) = from.into_split();
    let (mut to_read, mut to_write) = TcpStream::connect(to).await.unwrap().into_split();
    tokio::spawn(async move {
        drop(tokio::io::copy(&mut to_read, &mut from_write).await);
    });
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count) = from_read.read(&mut buffer).await {
        if count == 0 || to_write.write_all(&buffer[..count]).await.is_err() {
            return;
        }
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        kept.lock().unwrap()[index].push_str(&text);
    }
}

/// A connection for every request would be a TLS handshake for every event of the night.
#[tokio::test]
async fn connections_are_used_again() {
    let world = World::start().await;
    let wire = Wire::to(world.sim.addr()).await;
    let variables = [
        ("STRIPE_API_BASE", wire.url.as_str()),
        ("STRIPE_CONCURRENCY_MAX", "2"),
    ];
    let service = world.service_with(&variables).await;
    for _ in 0..3 {
        let mut events = Vec::new();
        for value in 0..20 {
            events.push(event(&world.customer().await, value, world.now()));
        }
        let outcomes = service.record(events).await;
        let accepted = Outcome::Accepted(MeterEventAccepted {});
        assert!(outcomes.iter().all(|it| *it == accepted));
    }
    let connections = wire.connections();
    assert!(
        (1..=2).contains(&connections),
        "{connections} for 60 events"
    );
}

/// async-stripe's own strategies either try once or make a new key for every request.
#[tokio::test]
async fn the_callers_key_goes_with_every_attempt_and_stripe_is_spoken_to_in_our_version() {
    let world = World::start().await;
    let wire = Wire::to(world.sim.addr()).await;
    let service = world.service_with(&[("STRIPE_API_BASE", &wire.url)]).await;
    let wait = FaultResponse {
        retry_after_s: Some(1),
        ..answer(429)
    };
    for response in [answer(409), wait, answer(424), answer(503)] {
        world.fault(once(CUSTOMERS, FaultEffect::Respond(response)));
    }
    let started = std::time::Instant::now();
    service.provisioned(&link()).await;
    assert!(
        started.elapsed().as_secs() >= 1,
        "Retry-After was not waited for"
    );
    world.one_of_each();
    world.assert_faults_struck();

    let line = "POST /v1/customers ";
    let keys = wire.header(line, "idempotency-key");
    assert_eq!(keys.len(), 5, "{keys:?}");
    assert!(
        keys.iter()
            .all(|key| *key == keys[0] && key.starts_with("create_customer-"))
    );
    let stored = "SELECT idempotency_key FROM stripe_calls WHERE step = 'create_customer'";
    let stored: String = world.row(stored).await.try_get_by_index(0).unwrap();
    assert_eq!(stored, keys[0]);
    assert_eq!(wire.header(line, "stripe-version")[0], "2026-09-30.endive");
    assert_eq!(
        wire.header(line, "authorization")[0],
        "Bearer sk_test_local"
    );
    assert_eq!(wire.connections(), 1);
}
