//! At the limit of open files. Alone in its process, because the limit is the process's.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::Write,
    net::TcpStream,
    sync::{Arc, Mutex},
    time::Duration,
};

use billing_kit::{access::AccessTable, client, health::Health, server};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{net::TcpListener, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use url::Url;

const PATIENCE: Duration = Duration::from_secs(20);
const LINE: &str = "connections cannot be accepted";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines(&self) -> usize {
        let text = String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned();
        text.matches(LINE).count()
    }
}

/// The accept loop of the gRPC ports went round without a pause and wrote nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fm23_without_file_descriptors_the_port_says_so_once_and_recovers() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .init();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let routes = server::reflection(&["billing.admin.v1.AdminService"]).unwrap();
    tokio::spawn(async move {
        let (table, health) = (AccessTable::new(), Health::always_ready());
        let stop = CancellationToken::new();
        server::serve(listener, None, routes, table, health, stop).await
    });

    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 64, hard).unwrap();
    let mut clients = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while log.lines() == 0 {
        assert!(Instant::now() < deadline, "nothing was logged");
        // When no client can be made any more either, there is nothing left to accept with.
        clients.extend(TcpStream::connect(addr));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The log line does not repeat with each attempt.
    assert_eq!(log.lines(), 1);
    drop(clients);
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();

    let url = Url::parse(&format!("http://{addr}")).unwrap();
    let channel = client::channel(&url, None, PATIENCE).unwrap();
    let mut client = HealthClient::new(channel);
    let answer = client.check(HealthCheckRequest::default());
    assert_eq!(answer.await.unwrap().into_inner().status, 1);
}
