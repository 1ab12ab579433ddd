//! Follows `WatchOrganizations` from a stored cursor.
//!
//! Two rules keep the copy right when a connection or a process ends. The cursor is stored together with the
//! changes before it. Of two messages about one organization the greater `standing_version` is kept.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use billing_proto::org::v1::{
    OrganizationStanding, WatchOrganizationsRequest,
    organization_service_client::OrganizationServiceClient,
};
use serde::{Deserialize, Serialize};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

/// Between two attempts to open the stream.
const PAUSE: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An open stream may be silent for hours: these notice that the other side is gone.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// What this service keeps. In a real one it is a table, and the cursor a row beside it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Copy {
    /// The cursor of the last change that is stored.
    pub(crate) cursor: i64,
    /// By their ids.
    pub(crate) organizations: BTreeMap<String, Organization>,
}

/// What it keeps of an organization.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Organization {
    pub(crate) version: i64,
    pub(crate) status: String,
    pub(crate) stripe_customer_id: String,
}

impl Copy {
    /// What the file holds; nothing before the first run.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        match fs::read(path) {
            Ok(json) => Ok(serde_json::from_slice(&json)?),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces the file in one step: the cursor is never stored without what came before it.
    fn save(&self, path: &Path) -> anyhow::Result<()> {
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_vec_pretty(self)?)?;
        Ok(fs::rename(&new, path)?)
    }

    /// Takes a change, unless it is known or older than what is known.
    fn take(&mut self, change: &OrganizationStanding) -> bool {
        let known = self.organizations.get(&change.organization_id);
        if known.is_some_and(|known| known.version >= change.standing_version) {
            return false;
        }
        let organization = Organization {
            version: change.standing_version,
            status: change.subscription_status().as_str_name().to_owned(),
            stripe_customer_id: change.stripe_customer_id.clone(),
        };
        self.organizations
            .insert(change.organization_id.clone(), organization);
        true
    }
}

/// Follows the feed for ever, and opens it again where it breaks. `tls` has the certificate that this
/// service shows, and the authority that it believes.
///
/// # Errors
/// The address cannot be used, or the copy cannot be read or written. An org-svc that is away is not an error.
pub(crate) async fn follow(
    url: &str,
    tls: ClientTlsConfig,
    copy: PathBuf,
    mut on_change: impl FnMut(&OrganizationStanding),
) -> anyhow::Result<Infallible> {
    let channel = Endpoint::from_shared(url.to_owned())?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .tls_config(tls)
        .context("the certificates cannot be used")?
        .connect_lazy();
    loop {
        read(channel.clone(), &copy, &mut on_change).await?;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Reads until the stream ends or breaks: org-svc ends it when it stops.
async fn read(
    channel: Channel,
    path: &Path,
    on_change: &mut impl FnMut(&OrganizationStanding),
) -> anyhow::Result<()> {
    let mut copy = Copy::load(path).with_context(|| path.display().to_string())?;
    let request = WatchOrganizationsRequest {
        cursor: copy.cursor,
    };
    let mut client = OrganizationServiceClient::new(channel);
    let Ok(answer) = client.watch_organizations(request).await else {
        return Ok(());
    };
    let mut feed = answer.into_inner();
    while let Ok(Some(message)) = feed.message().await {
        for change in &message.standings {
            if copy.take(change) {
                on_change(change);
            }
        }
        copy.cursor = message.cursor;
        copy.save(path)
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}
