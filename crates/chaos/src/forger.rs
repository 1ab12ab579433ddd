//! Somebody who read the shared token out of an instance: reports in the name of organizations that
//! are billed, from elsewhere, with far more users and now and then another name and URL.

use std::sync::Arc;
use std::time::Duration;

use instance_sim::reporter::BILLING_API_TOKEN;
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use crate::journal::{ForgedAnswer, Journal, SentReport, Told};
use crate::schedule::pick;
use crate::world::World;

/// A forged report has so many users or more: no instance of the fleet has.
pub(crate) const USERS_MIN: i64 = 1_000_000;
/// The name that a forged report gives its organization.
pub(crate) const NAME: &str = "Forged";

const USERS: std::ops::Range<i64> = USERS_MIN..2_000_000;
/// Between two forged reports, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 200..900;
/// How far from now a forged report is stamped, in seconds. The clocks of two replicas may differ by
/// twenty, and five minutes ahead are taken.
const STAMP_S: std::ops::Range<i64> = -86_400..200;
const TIMEOUT: Duration = Duration::from_secs(20);
/// The networks that the reports come from.
const ADDRESSES: [&str; 3] = ["198.51.100.7", "203.0.113.9", "2001:db8:bad::1"];

/// Forges reports until told to stop, of organizations whose link is known and that never end.
pub(crate) async fn forge(
    world: Arc<World>,
    journal: Arc<Journal>,
    seed: u64,
    mut stop: watch::Receiver<bool>,
    lasting: impl Fn(Uuid) -> bool + Send,
) -> anyhow::Result<()> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0xF0_96ED);
    let client = instance_sim::http_client::client(TIMEOUT)?;
    loop {
        let pause = Duration::from_millis(rng.random_range(PAUSE_MS));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.changed() => return Ok(()),
        }
        // What was reported before the link is known is judged by nobody.
        let mut known = journal.known_as_billed();
        known.retain(|real| lasting(real.organization));
        let Some(first) = known.first().copied() else {
            continue;
        };
        let real = pick(&mut rng, &known, first);
        let sent = SentReport {
            organization: real.organization,
            // Every fourth has the timestamp of a report that was answered.
            at: if rng.random_range(0..4) == 0 {
                real.at
            } else {
                world.now().timestamp() + rng.random_range(STAMP_S)
            },
            user_count: rng.random_range(USERS),
        };
        let body = body(sent, rng.random_range(0..2) == 0);
        let request = client
            .post(format!("{}/api/usage-report", world.base_url))
            .bearer_auth(BILLING_API_TOKEN)
            .header("x-forwarded-for", pick(&mut rng, &ADDRESSES, ADDRESSES[0]))
            .json(&body);
        let answer = match request.send().await {
            Ok(answer) => ForgedAnswer::Status {
                status: answer.status().as_u16(),
            },
            Err(error) => ForgedAnswer::None {
                last: error.to_string(),
            },
        };
        journal.note(Told::Forged { sent, answer });
    }
}

/// The report, with the instance's own URL or another one.
fn body(sent: SentReport, is_own_url: bool) -> Value {
    let short = sent.organization.simple().to_string();
    let short = short.get(..8).unwrap_or_default();
    let url = if is_own_url {
        format!("{short}.vaultai.example")
    } else {
        "forged.example".to_owned()
    };
    let at = chrono::DateTime::from_timestamp(sent.at, 0).unwrap_or_default();
    json!({
        "organization_id": sent.organization,
        "organization_name": NAME,
        "instance_url": url,
        "user_count": sent.user_count,
        "timestamp": at.to_rfc3339(),
    })
}
