//! `stripe_subscription_changes`: the feed of subscriptions.

use std::collections::BTreeMap;

use billing_kit_db::{StoreError, query::column};
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, EntityTrait, QueryOrder, QuerySelect, raw_sql};

use crate::{
    domain::{ids::SubscriptionId, subscription::SubscriptionState},
    store::{
        entities::subscription_changes::{Column, Entity, Scope as _},
        subscriptions,
    },
};

/// How many changes one message of the feed holds.
pub(crate) const CHANGES_PER_MESSAGE_MAX: u64 = 500;

/// Tells the feed that these subscriptions changed. The last thing that a transaction does: it waits
/// for every other writer of the feed, and makes them wait to its own end.
pub(super) async fn append(
    db: &impl ConnectionTrait,
    ids: &[SubscriptionId],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    // Held to the end of the transaction. Whoever is given a cursor commits before the next one is
    // given out, so a reader that has seen a cursor has seen every smaller one.
    let lock = "SELECT pg_advisory_xact_lock(hashtext('stripe_subscription_changes'))";
    db.execute_unprepared(lock).await?;
    let ids = column(ids, SubscriptionId::to_string);
    let append = raw_sql!(
        Postgres,
        "WITH change AS (
            INSERT INTO stripe_subscription_changes (stripe_subscription_id, changed_at)
            SELECT id, {now} FROM unnest({ids}::text[]) AS changed (id) ORDER BY id
            RETURNING stripe_subscription_id, cursor
        )
        UPDATE stripe_subscriptions AS s SET version = change.cursor
        FROM change WHERE s.stripe_subscription_id = change.stripe_subscription_id"
    );
    db.execute_raw(append).await?;
    Ok(())
}

/// The changes behind a cursor, each with its subscription as it stands now, and the cursor to go on
/// from; `None` where there are none.
pub(crate) async fn read(
    db: &impl ConnectionTrait,
    cursor: i64,
) -> Result<Option<(Vec<SubscriptionState>, i64)>, StoreError> {
    let changes = Entity::find()
        .behind(cursor)
        .order_by_asc(Column::Cursor)
        .limit(CHANGES_PER_MESSAGE_MAX)
        .all(db)
        .await?;
    let Some(last) = changes.last().map(|change| change.cursor) else {
        return Ok(None);
    };
    let ids: Vec<_> = changes
        .into_iter()
        .map(|change| SubscriptionId::new(change.stripe_subscription_id))
        .collect();
    let states = subscriptions::get_many(db, &ids).await?;
    let standing: BTreeMap<_, _> = states
        .into_iter()
        .map(|state| (state.subscription.id.clone(), state))
        .collect();
    let in_order = ids.iter().filter_map(|id| standing.get(id).cloned());
    Ok(Some((in_order.collect(), last)))
}
