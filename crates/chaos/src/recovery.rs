//! How soon reports are taken again after a part was away, on a system that is otherwise well: a
//! measurement, and no verdict.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use instance_sim::reporter::{BILLING_API_TOKEN, Reporter};
use instance_sim::retry::RetryPolicy;
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use crate::fleet::Instance;
use crate::journal::{Journal, SentReport};
use crate::schedule::Part;
use crate::world::World;

/// How often each part is taken away.
const ROUNDS: u32 = 3;
/// A report begins this often, however long those before it take.
const PROBE_EVERY: Duration = Duration::from_millis(20);
/// One that was not acknowledged is sent again as soon, or as late as it was told.
const POLICY: RetryPolicy = RetryPolicy {
    max_attempts: 100_000,
    base: Duration::from_millis(20),
    cap: Duration::from_millis(20),
    max_retry_after: Duration::from_secs(60),
};
/// Slower than this is not measured.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Between two rounds: everybody has found everybody again.
const PAUSE: Duration = Duration::from_secs(1);

/// What is taken away: a service with all its replicas, or the database.
#[derive(Debug, Clone, Copy)]
enum Away {
    Service(&'static str, &'static [Part]),
    Postgres,
}

impl Away {
    const ALL: [Self; 5] = [
        Self::Service("gateway", &[Part::Gateway]),
        Self::Service("ingest-svc", &[Part::IngestA, Part::IngestB]),
        Self::Service("org-svc", &[Part::OrgA, Part::OrgB]),
        Self::Service("stripe-svc", &[Part::StripeSvc]),
        Self::Postgres,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Service(name, _) => name,
            Self::Postgres => "PostgreSQL",
        }
    }

    /// Takes it away and answers when it took connections again.
    async fn and_back(self, world: &World) -> anyhow::Result<Instant> {
        match self {
            Self::Service(_, parts) => world.restart(parts).await,
            Self::Postgres => {
                world.crash_postgres().await?;
                Ok(Instant::now())
            }
        }
    }
}

/// The longest time, for each part, from when it took connections again to the first report that was
/// acknowledged after that.
#[derive(Debug)]
pub(crate) struct Recovery(Vec<(&'static str, Duration)>);

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("recovery:")?;
        for (place, (name, worst)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let (whole, part) = (worst.as_secs(), worst.subsec_millis() / 10);
            write!(f, "{comma} {name} {whole}.{part:02} s")?;
        }
        Ok(())
    }
}

/// Takes every part away in turn, several times, while this organization's instance reports all the
/// time.
pub(crate) async fn measure(
    world: &Arc<World>,
    journal: &Arc<Journal>,
    organization: Uuid,
) -> anyhow::Result<Recovery> {
    let token = SecretString::from(BILLING_API_TOKEN);
    let instance = Instance::new(
        Reporter::new(&world.base_url, &token, POLICY)?,
        Arc::clone(journal),
        organization,
    );
    let (told, mut acknowledged) = mpsc::unbounded_channel();
    let mut worst = Vec::new();
    let prober = tokio::spawn(probe(instance, Arc::clone(world), told));
    for away in Away::ALL {
        let mut longest = Duration::ZERO;
        for _ in 0..ROUNDS {
            tokio::time::sleep(PAUSE).await;
            let back = away.and_back(world).await?;
            let first = first_after(&mut acknowledged, back);
            let first = tokio::time::timeout(TIMEOUT, first).await;
            let first = first.with_context(|| format!("after {} came back", away.name()))??;
            longest = longest.max(first - back);
        }
        worst.push((away.name(), longest));
    }
    // The prober ends where nobody listens any more, and its reports end before it does.
    drop(acknowledged);
    tokio::time::timeout(TIMEOUT, prober).await???;
    world.wait_until_ready().await?;
    Ok(Recovery(worst))
}

async fn first_after(
    acknowledged: &mut mpsc::UnboundedReceiver<Instant>,
    back: Instant,
) -> anyhow::Result<Instant> {
    loop {
        let at = acknowledged.recv().await.context("nobody reports")?;
        if at >= back {
            return Ok(at);
        }
    }
}

/// Reports until nobody listens.
async fn probe(
    instance: Instance,
    world: Arc<World>,
    told: mpsc::UnboundedSender<Instant>,
) -> anyhow::Result<()> {
    let organization = instance.organization;
    // Reports tell time in seconds: each takes one of its own, back from now.
    let mut at = world.now().timestamp();
    let mut under_way = JoinSet::new();
    while !told.is_closed() {
        at -= 1;
        let sent = SentReport {
            organization,
            at,
            user_count: 1,
        };
        let (instance, told) = (instance.clone(), told.clone());
        under_way.spawn(async move {
            instance.once(sent).await;
            // That nobody listens any more is as good.
            let _ = told.send(Instant::now());
        });
        tokio::time::sleep(PROBE_EVERY).await;
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_hundredths() {
        let recovery = Recovery(vec![
            ("gateway", Duration::from_millis(214)),
            ("PostgreSQL", Duration::from_millis(1_009)),
        ]);
        assert_eq!(
            recovery.to_string(),
            "recovery: gateway 0.21 s, PostgreSQL 1.00 s"
        );
    }
}
