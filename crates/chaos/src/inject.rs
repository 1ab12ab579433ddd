//! Lets the faults of a schedule strike, each at its moment.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::database::fill_connections;
use crate::journal::{Journal, Told};
use crate::schedule::{Fault, Planned, Weather};
use crate::world::World;

const HOUR_S: u64 = 3_600;
/// How long a blackout lasts on the machine's clock: longer than anything is slowed.
const BLACKOUT: Duration = Duration::from_secs(2);

/// Strikes with all of them, and waits until the last is over.
pub(crate) async fn inject(world: &Arc<World>, journal: &Arc<Journal>, planned: Vec<Planned>) {
    let start = Instant::now();
    let mut under_way = JoinSet::new();
    for Planned { at, fault } in planned {
        tokio::time::sleep_until(start + at).await;
        let (world, journal) = (Arc::clone(world), Arc::clone(journal));
        under_way.spawn(async move {
            let problem = strike(&world, fault).await.err();
            journal.note(Told::Fault {
                fault: fault.to_string(),
                problem: problem.map(|problem| format!("{problem:#}")),
            });
        });
    }
    while under_way.join_next().await.is_some() {}
}

async fn strike(world: &World, fault: Fault) -> anyhow::Result<()> {
    match fault {
        Fault::Kill { part, down } => world.kill_for(part, down).await,
        Fault::Freeze { part, lasting } => world.freeze(part, lasting).await,
        Fault::Skew { part, seconds } => world.skew(part, seconds).await,
        Fault::CrashPostgres => world.crash_postgres().await,
        Fault::FillConnections { lasting } => {
            let taken = fill_connections(&world.database_url, lasting).await?;
            anyhow::ensure!(taken > 0, "no connection could be taken");
            Ok(())
        }
        Fault::Weather {
            way,
            weather,
            lasting,
        } => {
            world.set(way, weather);
            tokio::time::sleep(lasting).await;
            world.set(way, Weather::Clear);
            Ok(())
        }
        Fault::Stripe {
            route,
            mischief,
            calls,
            ms,
        } => world.stripe.misbehave(route, mischief, calls, ms).await,
        Fault::Webhooks(disorder) => world.stripe.deliver_webhooks(disorder).await,
        Fault::StripeClock { seconds } => world.stripe_clock_ahead(seconds).await,
        Fault::Blackout { hours } => {
            let passing = Duration::from_secs(hours * HOUR_S);
            world.blackout(passing, BLACKOUT).await
        }
    }
}
