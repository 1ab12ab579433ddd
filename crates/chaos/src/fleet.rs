//! Instances that report all the time: on time, late, twice, and again after they were answered.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use instance_sim::report::UsageReport;
use instance_sim::reporter::{BILLING_API_TOKEN, Outcome, Reporter};
use instance_sim::retry::RetryPolicy;
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};
use secrecy::SecretString;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::journal::{Journal, ReportAnswer, SentReport, Told};
use crate::world::World;

/// How many instances report.
pub(crate) const INSTANCES: u32 = 24;
/// Between two reports of one instance, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 200..1_200;
/// Reports of one instance under way at once.
const UNDER_WAY_MAX: usize = 6;
/// How late the latest reports are, in seconds: five days.
const LATE_S_MAX: i64 = 5 * 86_400;
/// Users of an instance: no two counts are so far apart that one would be held for a person.
const USERS: std::ops::Range<i64> = 50..100;
/// An instance gives up only when the run is long over.
const POLICY: RetryPolicy = RetryPolicy {
    max_attempts: 100_000,
    base: Duration::from_millis(200),
    cap: Duration::from_secs(1),
    max_retry_after: Duration::from_secs(60),
};

/// The organizations of a seed.
pub(crate) fn organizations(seed: u64) -> Vec<Uuid> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0xF1EE7);
    (0..INSTANCES)
        .map(|_| uuid::Builder::from_random_bytes(rng.random()).into_uuid())
        .collect()
}

/// An organization that is none of those.
pub(crate) fn newcomer(seed: u64) -> Uuid {
    let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0x0E11);
    uuid::Builder::from_random_bytes(rng.random()).into_uuid()
}

/// Has an instance report until it is told to stop, and waits for the last answer.
pub(crate) async fn report_on(
    world: Arc<World>,
    journal: Arc<Journal>,
    organization: Uuid,
    seed: u64,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let token = SecretString::from(BILLING_API_TOKEN);
    let reporter = Reporter::new(&world.base_url, &token, POLICY)?;
    let instance = Instance::new(reporter, journal, organization);
    let mut taken = BTreeSet::new();
    let mut under_way = JoinSet::new();
    while !*stop.borrow() {
        let pause = Duration::from_millis(rng.random_range(PAUSE_MS));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // Told, or nobody is left to tell.
            _ = stop.changed() => break,
        }
        let late_s = match rng.random_range(0..10) {
            0..6 => 0,
            6..9 => rng.random_range(0..86_400),
            _ => rng.random_range(0..LATE_S_MAX),
        };
        let mut at = world.now().timestamp() - late_s;
        while !taken.insert(at) {
            at -= 1;
        }
        let sent = SentReport {
            organization,
            at,
            user_count: rng.random_range(USERS),
        };
        let habit = rng.random_range(0..20);
        under_way.spawn(instance.clone().send(sent, habit));
    }
    while under_way.join_next().await.is_some() {}
    Ok(())
}

/// An instance of one organization.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    reporter: Reporter,
    journal: Arc<Journal>,
    pub(crate) organization: Uuid,
    room: Arc<Semaphore>,
}

impl Instance {
    pub(crate) fn new(reporter: Reporter, journal: Arc<Journal>, organization: Uuid) -> Self {
        Self {
            reporter,
            journal,
            organization,
            room: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
        }
    }

    /// Sends a report: in one case of ten twice at once, in one of ten again afterwards, and in one
    /// of twenty with another count afterwards, which must be refused.
    async fn send(self, sent: SentReport, habit: u32) {
        let Ok(_room) = Arc::clone(&self.room).acquire_owned().await else {
            return;
        };
        match habit {
            0 | 1 => {
                tokio::join!(self.once(sent), self.once(sent));
            }
            2 | 3 => {
                self.once(sent).await;
                self.once(sent).await;
            }
            4 => {
                self.once(sent).await;
                self.once(SentReport {
                    user_count: sent.user_count + 1,
                    ..sent
                })
                .await;
            }
            _ => self.once(sent).await,
        }
    }

    /// Sends a report until it is answered.
    pub(crate) async fn once(&self, sent: SentReport) {
        let short = self.organization.simple().to_string();
        let short = short.get(..8).unwrap_or_default();
        let report = UsageReport {
            organization_id: sent.organization,
            organization_name: format!("Chaos {short}"),
            instance_url: format!("{short}.vaultai.example"),
            user_count: sent.user_count,
            timestamp: chrono::DateTime::from_timestamp(sent.at, 0).unwrap_or_default(),
        };
        let answer = match self.reporter.report(&report).await {
            Ok(Outcome::Recorded { answer, .. }) => ReportAnswer::Recorded {
                report_id: answer.report_id,
                status: answer.organization_status,
            },
            Ok(Outcome::Refused { status, detail }) => ReportAnswer::Refused { status, detail },
            Ok(Outcome::GaveUp { last, .. }) => ReportAnswer::None { last },
            Err(error) => ReportAnswer::None {
                last: error.to_string(),
            },
        };
        self.journal.note(Told::Report { sent, answer });
    }
}
