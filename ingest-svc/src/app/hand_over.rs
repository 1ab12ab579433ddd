//! Hands another service what an outbox has for it: lease, call, forget.
//!
//! No transaction is held across the call. A crash in between leaves a lease that ends by itself, and the
//! receiver stores each row once by its key. It is never given up: the receiver comes back.

use std::{collections::HashSet, future::Future};

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt;

use crate::{
    Parts,
    domain::delivery::backoff,
    store::outbox::{self, Leased},
};

/// How many rows are handed over at once.
const BATCH_MAX: i64 = 100;
/// Longer than the call's deadline, so that a lease that ended belongs to a call that ended.
const LEASE: TimeDelta = TimeDelta::seconds(30);

/// What can be handed over.
pub(super) trait Told: Leased {
    /// What these rows are called in the log.
    const NAME: &'static str;

    /// Hands rows over; answers the keys of those that the receiver needs no more.
    fn tell(
        parts: &Parts,
        due: &[Self],
    ) -> impl Future<Output = Result<HashSet<String>, Fault>> + Send;
}

/// Hands over what is due. Answers how many rows were; 0 when nothing is due.
///
/// # Errors
/// The database or the receiver is away. What was leased is put off, or its lease ends by itself.
pub(super) async fn hand_over<T: Told>(parts: &Parts) -> Result<usize, Fault> {
    let token = parts.deps.ids.next();
    let now = parts.deps.clock.now();
    let due: Vec<T> = outbox::lease(&parts.db, token, now, now + LEASE, BATCH_MAX)
        .await
        .map_err(db_fault)?;
    if due.is_empty() {
        return Ok(0);
    }
    let (settled, told) = match T::tell(parts, &due).await {
        Ok(settled) => (settled, Ok(due.len())),
        Err(fault) => (HashSet::new(), Err(fault)),
    };
    let (settled, open): (Vec<_>, Vec<_>) =
        due.into_iter().partition(|it| settled.contains(&it.key()));
    if told.is_ok() && !open.is_empty() {
        let count = open.len();
        tracing::warn!(
            count,
            "org-svc cannot read {}; they are told again",
            T::NAME
        );
    }
    let keys = settled.iter().map(T::key).collect();
    outbox::forget::<T>(&parts.db, token, keys)
        .await
        .map_err(db_fault)?;
    let now = parts.deps.clock.now();
    let next: Vec<_> = open.iter().map(|it| next_attempt(it, now)).collect();
    outbox::postpone::<T>(&parts.db, token, &next)
        .await
        .map_err(db_fault)?;
    told
}

/// When one that was not taken is told again; with jitter, so that not all come back together.
fn next_attempt(row: &impl Leased, now: DateTime<Utc>) -> (String, DateTime<Utc>) {
    let wait = backoff(row.attempt_count().saturating_add(1));
    let wait = rand::rng().random_range(wait / 2..=wait);
    (row.key(), now + wait)
}
