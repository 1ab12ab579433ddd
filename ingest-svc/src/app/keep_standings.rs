//! Keeps what the feed tells of how organizations stand, and looks again at the reports that waited
//! for it.

use billing_kit::Fault;
use billing_kit_db::{StoreError, db_fault};
use sea_orm::TransactionTrait;
use uuid::Uuid;

use crate::{
    Parts,
    app::baselines::learn_unknown,
    domain::standing::Standing,
    store::{delivery, feed_cursors, ignored_organizations, reporting},
};

/// Stores standings and the cursor behind them in one transaction, so that neither is without the
/// other. The same standings again change nothing.
pub(crate) async fn keep_standings(
    parts: &Parts,
    standings: Vec<Standing>,
    ignored: &[(Uuid, bool)],
    cursor: i64,
) -> Result<(), Fault> {
    let has_changed = keep(parts, standings, ignored, cursor)
        .await
        .map_err(db_fault)?;
    if has_changed {
        // The users of ignored organizations are in no total.
        parts.touched_days.note_all(parts.deps.clock.now());
    }
    parts.queued.notify_one();
    Ok(())
}

/// Answers whether other organizations are ignored than before.
async fn keep(
    parts: &Parts,
    mut standings: Vec<Standing>,
    ignored: &[(Uuid, bool)],
    cursor: i64,
) -> Result<bool, StoreError> {
    // Of several standings of one organization the newest counts.
    standings.sort_by_key(|standing| (standing.organization_id, standing.version));
    standings.reverse();
    standings.dedup_by_key(|standing| standing.organization_id);
    let organizations: Vec<_> = standings.iter().map(|s| s.organization_id).collect();

    let linked: Vec<_> = standings
        .iter()
        .filter(|standing| standing.stripe_customer_id.is_some())
        .map(|standing| standing.organization_id)
        .collect();

    let txn = parts.db.begin().await?;
    reporting::lock_with_standings(&txn, &standings).await?;
    learn_unknown(&txn, parts.hold_rules, linked).await?;
    delivery::reconsider(&txn, organizations, parts.deps.clock.now()).await?;
    let has_changed = ignored_organizations::set(&txn, ignored).await?;
    feed_cursors::advance(&txn, feed_cursors::ORGANIZATIONS, cursor).await?;
    txn.commit().await?;
    Ok(has_changed)
}
