//! Waiting until something answers, and telling others where everything is.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use billing_devkit::files;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const READY_TIMEOUT: Duration = Duration::from_secs(60);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
const PROBE_EVERY: Duration = Duration::from_millis(100);
/// Longest beginning of an answer that is looked at; its first line is all that matters.
const MAX_ANSWER_BYTES: u64 = 1024;

/// What `--ready-file` holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) base_url: String,
    pub(crate) admin_email: String,
    pub(crate) admin_password: String,
    pub(crate) stripe_api_base: String,
    pub(crate) stripe_secret_key: String,
    pub(crate) database_url: String,
    pub(crate) grpc: GrpcAddresses,
    pub(crate) tls: TlsFiles,
    /// The gateway's process, whose memory attacks are measured by.
    pub(crate) gateway_pid: u32,
}

/// HOST:PORT of each service's gRPC: the gateway's in plain text, the others' behind mTLS.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GrpcAddresses {
    pub(crate) gateway: String,
    pub(crate) ingest: String,
    pub(crate) org: String,
    pub(crate) stripe: String,
}

/// An identity that may read from org-svc, as another internal service would.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TlsFiles {
    pub(crate) ca: PathBuf,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Ready {
    /// Passwords are in it: it is its owner's to read.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_vec_pretty(self)?;
        files::write_atomically(path, &json, files::PRIVATE)
    }

    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }
}

/// A service's gRPC, by the name that certificates are checked against.
pub(crate) fn tls_url(address: &str) -> String {
    format!("https://{}", address.replace("127.0.0.1", "localhost"))
}

/// Waits until the path on the port answers as it should.
pub(crate) async fn wait_for(
    name: &str,
    port: u16,
    path: &str,
    is_good: impl Fn(u16) -> bool,
) -> anyhow::Result<()> {
    let probe = async {
        loop {
            match tokio::time::timeout(PROBE_TIMEOUT, status_of(port, path)).await {
                Ok(Ok(status)) if is_good(status) => return,
                Ok(Ok(_) | Err(_)) | Err(_) => tokio::time::sleep(PROBE_EVERY).await,
            }
        }
    };
    let in_time = tokio::time::timeout(READY_TIMEOUT, probe).await;
    anyhow::ensure!(
        in_time.is_ok(),
        "{name} was not ready within {} s (http://127.0.0.1:{port}{path}). Its lines above say what it waits for.",
        READY_TIMEOUT.as_secs()
    );
    Ok(())
}

/// The status that a GET is answered with. This little HTTP saves xtask a client library.
async fn status_of(port: u16, path: &str) -> anyhow::Result<u16> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect(address).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream
        .take(MAX_ANSWER_BYTES)
        .read_to_end(&mut answer)
        .await?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split_whitespace().nth(1);
    status
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| anyhow::anyhow!("this is no HTTP answer"))
}
