//! The server stack under clients that do not behave, and at its end.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use billing_devkit::pki::DevPki;
use billing_kit::{access::AccessTable, client, health::Health, server, tls::TlsFiles};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};
use url::Url;

const PATIENCE: Duration = Duration::from_secs(20);
const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;

struct Replica {
    addr: SocketAddr,
    health: Health,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Replica {
    async fn start(health: Health, tls: Option<TlsFiles>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let routes = server::reflection(&["billing.admin.v1.AdminService"]).unwrap();
        let (told, stopped) = (health.clone(), stop.clone());
        let served = tokio::spawn(async move {
            server::serve(
                listener,
                tls.as_ref(),
                routes,
                AccessTable::new(),
                told,
                stopped,
            )
            .await
            .unwrap();
        });
        Self {
            addr,
            health,
            stop,
            served,
        }
    }
}

fn channel(addr: SocketAddr) -> client::ServiceChannel {
    let url = Url::parse(&format!("http://{addr}")).unwrap();
    client::channel(&url, None, PATIENCE).unwrap()
}

async fn status_of(channel: client::ServiceChannel) -> Result<i32, tonic::Status> {
    let request = HealthCheckRequest::default();
    let answer = HealthClient::new(channel).check(request).await?;
    Ok(answer.into_inner().status)
}

/// Without TLS and with it, nothing, half of what a client says first, and all of it but a request.
#[tokio::test(start_paused = true)]
async fn fm34_a_connection_that_never_asks_anything_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let pki = DevPki::ensure(dir.path(), &["org-svc"]).unwrap();
    let (cert, key) = (pki.cert("org-svc"), pki.key("org-svc"));
    let files = TlsFiles::read(&cert, &key, &pki.ca()).unwrap();
    for tls in [None, Some(files)] {
        let replica = Replica::start(Health::always_ready(), tls).await;
        for said in [
            &b""[..],
            b"PRI * HTTP/2.0",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        ] {
            let begun = Instant::now();
            let mut stream = TcpStream::connect(replica.addr).await.unwrap();
            stream.write_all(said).await.unwrap();
            // A connection that is cut off may end in an error, which is an end too.
            let closed = async { while stream.read(&mut [0; 64]).await.is_ok_and(|it| it > 0) {} };
            assert!(timeout(PATIENCE, closed).await.is_ok(), "{said:?}");
            assert!(begun.elapsed() <= Duration::from_secs(11), "{said:?}");
        }
    }
}

#[tokio::test]
async fn fm24_health_without_a_name_says_what_readiness_says() {
    let ready = Arc::new(AtomicU32::new(1));
    let asked = Arc::clone(&ready);
    let health = Health::new(move || std::future::ready(asked.load(Ordering::Relaxed) == 1));
    let replica = Replica::start(health.clone(), None).await;
    let channel = channel(replica.addr);
    let eventually = async |status| {
        let deadline = Instant::now() + PATIENCE;
        while status_of(channel.clone()).await.unwrap() != status {
            assert!(Instant::now() < deadline, "never {status}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    eventually(SERVING).await;
    ready.store(0, Ordering::Relaxed);
    eventually(NOT_SERVING).await;
    ready.store(1, Ordering::Relaxed);
    eventually(SERVING).await;
    health.drain();
    eventually(NOT_SERVING).await;
}

#[tokio::test]
async fn fm27_open_streams_do_not_hold_up_the_end() {
    let replica = Replica::start(Health::always_ready(), None).await;
    let mut client = HealthClient::new(channel(replica.addr));
    let watched = client.watch(HealthCheckRequest::default());
    let mut watched = watched.await.unwrap().into_inner();
    watched.next().await.unwrap().unwrap();
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    // A caller that asks once and keeps its stream open.
    let requests = tokio_stream::iter([request]).chain(tokio_stream::pending());
    let mut raw = raw_reflection(replica.addr).await;
    let mut answers = raw
        .server_reflection_info(requests)
        .await
        .unwrap()
        .into_inner();
    answers.next().await.unwrap().unwrap();

    replica.stop.cancel();
    timeout(PATIENCE, replica.served).await.unwrap().unwrap();
    let end = async { while watched.next().await.is_some() {} };
    assert!(timeout(PATIENCE, end).await.is_ok());
    let end = async { while let Some(Ok(_)) = answers.next().await {} };
    assert!(timeout(PATIENCE, end).await.is_ok());
}

async fn raw_reflection(addr: SocketAddr) -> ServerReflectionClient<tonic::transport::Channel> {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{addr}")).unwrap();
    ServerReflectionClient::new(endpoint.connect_lazy())
}

/// Connects each client to one of the replicas in turn, and to none that is not ready, as a service of
/// Kubernetes does.
async fn balance(replicas: Vec<(SocketAddr, Health)>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for turn in 0.. {
            let (mut client, _) = listener.accept().await.unwrap();
            let ready: Vec<_> = replicas.iter().filter(|it| it.1.is_ready()).collect();
            let (replica, _) = ready[turn % ready.len()];
            let replica = *replica;
            tokio::spawn(async move {
                let mut server = TcpStream::connect(replica).await.unwrap();
                let _end = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    addr
}

/// A graceful stop failed 1 of 60 calls: connections that had just been made were closed, and a request
/// that met the end of its connection was not sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_stops_under_calls_fails_none() {
    for _ in 0..4 {
        let one = Replica::start(Health::always_ready(), None).await;
        let two = Replica::start(Health::always_ready(), None).await;
        let addr = balance(vec![
            (one.addr, one.health.clone()),
            (two.addr, two.health.clone()),
        ])
        .await;
        let count = Arc::new(AtomicU32::new(0));
        let over = CancellationToken::new();
        let callers = (0..8).map(|caller| {
            let (count, over) = (Arc::clone(&count), over.clone());
            tokio::spawn(async move {
                let kept = channel(addr);
                while !over.is_cancelled() {
                    // Every second caller connects anew for each call.
                    let channel = if caller % 2 == 0 {
                        kept.clone()
                    } else {
                        channel(addr)
                    };
                    let answer = status_of(channel).await;
                    answer.inspect_err(|status| println!("{status:?}"))?;
                    count.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, tonic::Status>(())
            })
        });
        let callers: Vec<_> = callers.collect();
        let until = async |least| {
            while count.load(Ordering::Relaxed) < least {
                assert!(
                    !callers.iter().any(JoinHandle::is_finished),
                    "a call failed"
                );
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, until(100)).await.unwrap();
        one.health.drain();
        one.stop.cancel();
        timeout(PATIENCE, one.served).await.unwrap().unwrap();
        let before = count.load(Ordering::Relaxed);
        timeout(PATIENCE, until(before + 100)).await.unwrap();
        over.cancel();
        for caller in callers {
            caller.await.unwrap().unwrap();
        }
    }
}
