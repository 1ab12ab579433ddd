//! `stripe_sweeps`: whose turn the pass over all subscriptions is, and how far it is.

use billing_kit_db::StoreError;
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, EntityTrait, FromQueryResult, Set, raw_sql};
use uuid::Uuid;

use crate::{
    domain::{ids::SubscriptionId, subscription::FetchTicket},
    store::{
        Lease,
        entities::sweeps::{ActiveModel, Column, Entity, Scope as _},
    },
};

/// The only pass so far.
const NAME: &str = "subscriptions";

/// A pass that is this process's to go on with until the lease ends.
#[derive(Debug)]
pub(crate) struct Pass {
    /// What was fetched with it or later was seen in this pass.
    pub(crate) first_ticket: FetchTicket,
    /// The last subscription of the latest page.
    pub(crate) position: Option<SubscriptionId>,
}

/// Sees to it that the pass is planned; one that is stays as it is.
pub(crate) async fn plan(db: &impl ConnectionTrait, due: DateTime<Utc>) -> Result<(), StoreError> {
    let row = ActiveModel {
        name: Set(NAME.to_owned()),
        due_at: Set(due),
        ..Default::default()
    };
    Entity::insert(row)
        .on_conflict_do_nothing_on([Column::Name])
        .exec_without_returning(db)
        .await?;
    Ok(())
}

/// Takes the pass if it is due and nobody else's: a new one, or one that another process left.
pub(crate) async fn claim_due(
    db: &impl ConnectionTrait,
    now: DateTime<Utc>,
    lease: Lease,
) -> Result<Option<Pass>, StoreError> {
    #[derive(FromQueryResult)]
    struct Row {
        first_ticket: i64,
        position: Option<String>,
    }
    let claim = raw_sql!(
        Postgres,
        "UPDATE stripe_sweeps SET lease_token = {lease.token}, lease_until = {lease.until},
            first_ticket = coalesce(first_ticket, nextval('stripe_fetch_tickets'))
        WHERE name = {NAME} AND due_at <= {now} AND (lease_until IS NULL OR lease_until <= {now})
        RETURNING first_ticket, position"
    );
    let row = Row::find_by_statement(claim).one(db).await?;
    Ok(row.map(|row| Pass {
        first_ticket: FetchTicket(row.first_ticket),
        position: row.position.map(SubscriptionId::new),
    }))
}

/// Notes how far the pass is and extends its lease; `false` where another process took it over.
pub(crate) async fn advance(
    db: &impl ConnectionTrait,
    lease: Lease,
    position: Option<&SubscriptionId>,
) -> Result<bool, StoreError> {
    let mut advanced = ActiveModel {
        lease_until: Set(Some(lease.until)),
        ..Default::default()
    };
    if let Some(position) = position {
        advanced.position = Set(Some(position.as_str().to_owned()));
    }
    let done = update(db, lease.token, advanced).await?;
    Ok(done == 1)
}

/// Changes the pass while its lease is held; says of how many rows that is.
async fn update(
    db: &impl ConnectionTrait,
    token: Uuid,
    change: ActiveModel,
) -> Result<u64, StoreError> {
    let update = Entity::update_many().set(change).held(NAME, token);
    Ok(update.exec(db).await?.rows_affected)
}

/// Ends the pass and plans the next.
pub(crate) async fn end(
    db: &impl ConnectionTrait,
    token: Uuid,
    now: DateTime<Utc>,
    due: DateTime<Utc>,
) -> Result<(), StoreError> {
    let ended = ActiveModel {
        due_at: Set(due),
        last_ended_at: Set(Some(now)),
        first_ticket: Set(None),
        position: Set(None),
        lease_token: Set(None),
        lease_until: Set(None),
        ..Default::default()
    };
    update(db, token, ended).await?;
    Ok(())
}

/// Leaves a pass where it is, for whoever is first to go on after `due`.
pub(crate) async fn pause(
    db: &impl ConnectionTrait,
    token: Uuid,
    due: DateTime<Utc>,
) -> Result<(), StoreError> {
    let paused = ActiveModel {
        due_at: Set(due),
        lease_token: Set(None),
        lease_until: Set(None),
        ..Default::default()
    };
    update(db, token, paused).await?;
    Ok(())
}
