//! A few connections that ask for much and send little, beside ordinary traffic.
//!
//! The product holds if no ordinary request and no health check fails, if the gateway's memory stays
//! below [`MEMORY_MIB_MAX`], and if connections that say nothing are closed.

mod frames;
pub(crate) mod ordinary;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use futures::future::try_join_all;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use crate::flood::frames::{Answers, Connection, Request};
use crate::flood::ordinary::Traffic;
use crate::target::Target;
use crate::{Verdict, say};

/// The pod's limit is 256 MiB.
const MEMORY_MIB_MAX: u64 = 200;
const SIGN_IN: &str = "/api/auth/sign-in/email";
const LIST: &str = "/billing.admin.v1.AdminService/ListOrganizations";
/// The requests of a round are opened at once, on each connection.
const STREAMS: usize = 1_000;
const ROUND_EVERY: Duration = Duration::from_secs(2);
const SILENT_CONNECTIONS: usize = 200;
/// A connection that never finishes its handshake is closed within this time.
const SILENT_MAX: Duration = Duration::from_secs(30);
/// The last of the answers are waited for, and ordinary traffic must go well after the attack, too.
const AFTER: Duration = Duration::from_secs(2);

/// Streams that never send a body, or that carry too many fields.
struct Streams {
    what: &'static str,
    path: &'static str,
    connections: usize,
    content_type: &'static str,
    cookies: usize,
}

const ATTACKS: [Streams; 3] = [
    Streams {
        what: "requests without their body",
        path: SIGN_IN,
        connections: 13,
        content_type: "application/json",
        cookies: 0,
    },
    Streams {
        what: "gRPC calls without their message",
        path: LIST,
        connections: 13,
        content_type: "application/grpc",
        cookies: 0,
    },
    Streams {
        what: "requests with 800 cookie fields",
        path: SIGN_IN,
        connections: 8,
        content_type: "application/json",
        cookies: 800,
    },
];

/// Makes each attack beside ordinary traffic.
///
/// # Errors
/// There is no verdict: an admin cannot sign in, or the gateway's memory cannot be read.
pub(crate) async fn run(target: &Target, short: bool) -> anyhow::Result<Verdict> {
    let rounds = if short { 2 } else { 8 };
    let mut traffic = Traffic::begin(target).await?;
    sleep(AFTER).await;
    say(&format!(
        "before the attacks: {} requests and {} health checks went well, memory {} MiB",
        traffic.requests.ok(),
        traffic.health.ok(),
        peak_memory_mib(target.gateway_pid)?
    ));
    for attack in &ATTACKS {
        flood(target, attack, rounds).await;
    }
    let GrpcPorts(ports) = GrpcPorts::of(target);
    let mut open = 0;
    for (name, addr) in ports {
        let left = say_nothing(addr).await?;
        say(&format!(
            "{SILENT_CONNECTIONS} connections that say nothing to {name}: {left} left open"
        ));
        open += left;
    }
    sleep(AFTER).await;
    traffic.end().await;
    let memory = peak_memory_mib(target.gateway_pid)?;
    let (requests, health) = (&traffic.requests, &traffic.health);
    let failed = requests.failed() + health.failed();
    Ok(Verdict {
        line: format!(
            "ordinary {} ok {} failed, health {} ok {} failed, silent {open} left, peak memory {memory} MiB",
            requests.ok(),
            requests.failed(),
            health.ok(),
            health.failed()
        ),
        held: failed == 0 && open == 0 && requests.ok() > 0 && memory < MEMORY_MIB_MAX,
    })
}

/// The ports on which only services have business.
struct GrpcPorts([(&'static str, SocketAddr); 3]);

impl GrpcPorts {
    fn of(target: &Target) -> Self {
        Self([
            ("ingest-svc", target.grpc.ingest),
            ("org-svc", target.grpc.org),
            ("stripe-svc", target.grpc.stripe),
        ])
    }
}

/// Opens all streams at once, and again each round. A connection that the server closed is made anew.
async fn flood(target: &Target, attack: &Streams, rounds: usize) {
    let Streams {
        what,
        path,
        connections,
        content_type,
        cookies,
    } = *attack;
    let answers = Arc::new(Answers::default());
    let request = Request::post(path, content_type, cookies);
    let mut open: Vec<Option<Connection>> = Vec::new();
    open.resize_with(connections, || None);
    for _ in 0..rounds {
        for connection in &mut open {
            // A connection that cannot be made is a refusal, which is as good.
            let _refused = round(target, connection, &request, &answers).await;
        }
        sleep(ROUND_EVERY).await;
    }
    say(&format!(
        "{what}: {rounds} rounds of {connections} connections with {STREAMS} streams each, {} answered, {} reset",
        answers.answered.load(Ordering::Relaxed),
        answers.reset.load(Ordering::Relaxed)
    ));
}

async fn round(
    target: &Target,
    connection: &mut Option<Connection>,
    request: &Request,
    answers: &Arc<Answers>,
) -> std::io::Result<()> {
    if let Some(connection) = connection
        && connection.open(STREAMS, request).await.is_ok()
    {
        return Ok(());
    }
    *connection = None;
    let stream = TcpStream::connect(target.grpc.gateway).await?;
    let made = connection.insert(Connection::begin(stream, Arc::clone(answers)).await?);
    made.open(STREAMS, request).await
}

/// Connects so many times, says nothing, and tells how many connections the server leaves open.
async fn say_nothing(addr: SocketAddr) -> anyhow::Result<usize> {
    let connect = (0..SILENT_CONNECTIONS).map(|_| TcpStream::connect(addr));
    let streams = try_join_all(connect).await.context("a port is closed")?;
    let deadline = Instant::now() + SILENT_MAX;
    let mut left = 0;
    for mut stream in streams {
        let mut byte = [0; 64];
        // A server may say something first; what counts is that it ends.
        let closed = async { while stream.read(&mut byte).await.is_ok_and(|length| length > 0) {} };
        if timeout_at(deadline, closed).await.is_err() {
            left += 1;
        }
    }
    Ok(left)
}

/// The most memory that a process has held since it began.
fn peak_memory_mib(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("{path} is not there"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: u64 = kib.context("no VmHWM")?.parse()?;
    Ok(kib / 1024)
}
