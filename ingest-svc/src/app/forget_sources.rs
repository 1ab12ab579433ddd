//! Forgets where reports came from once that is no longer needed.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{Days, TimeDelta};

use crate::{Parts, store::sources};

/// How long a full address is kept.
const ADDRESS_KEPT: TimeDelta = TimeDelta::days(30);
/// For how many days a network is kept.
const NETWORK_KEPT: Days = Days::new(400);
/// The most rows of a table that one step changes.
const BATCH_MAX: i64 = 1_000;

/// Takes one step. Answers how many rows it changed; 0 when there is nothing to forget.
pub(crate) async fn forget_sources(parts: &Parts) -> Result<u64, Fault> {
    let now = parts.deps.clock.now();
    let addresses = sources::forget_addresses(&parts.db, now - ADDRESS_KEPT, BATCH_MAX)
        .await
        .map_err(db_fault)?;
    let oldest = now.date_naive() - NETWORK_KEPT;
    let networks = sources::forget_networks(&parts.db, oldest, BATCH_MAX)
        .await
        .map_err(db_fault)?;
    Ok(addresses + networks)
}
