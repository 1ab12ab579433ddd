//! `stripe_sweeps`: whose turn the pass over all subscriptions is, and how far it is.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use uuid::Uuid;

use crate::{
    domain::{ids::SubscriptionId, subscription::FetchTicket},
    store::{Lease, sql},
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
pub(crate) async fn plan(db: &impl ConnectionTrait, due: DateTime<Utc>) -> Result<(), DbErr> {
    const PLAN: &str =
        "INSERT INTO stripe_sweeps (name, due_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    db.execute_raw(sql(PLAN, [NAME.into(), due.into()]))
        .await
        .map(drop)
}

/// Takes the pass if it is due and nobody else's: a new one, or one that another process left.
pub(crate) async fn claim_due(
    db: &impl ConnectionTrait,
    now: DateTime<Utc>,
    lease: Lease,
) -> Result<Option<Pass>, DbErr> {
    const CLAIM: &str = "
        UPDATE stripe_sweeps SET lease_token = $3, lease_until = $4,
            first_ticket = coalesce(first_ticket, nextval('stripe_fetch_tickets'))
        WHERE name = $1 AND due_at <= $2 AND (lease_until IS NULL OR lease_until <= $2)
        RETURNING first_ticket, position";
    #[derive(FromQueryResult)]
    struct Row {
        first_ticket: i64,
        position: Option<String>,
    }
    let values = [
        NAME.into(),
        now.into(),
        lease.token.into(),
        lease.until.into(),
    ];
    let row = Row::find_by_statement(sql(CLAIM, values)).one(db).await?;
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
) -> Result<bool, DbErr> {
    const ADVANCE: &str = "
        UPDATE stripe_sweeps SET position = coalesce($3, position), lease_until = $4
        WHERE name = $1 AND lease_token = $2";
    let values = [
        NAME.into(),
        lease.token.into(),
        position.map(|id| id.as_str().to_owned()).into(),
        lease.until.into(),
    ];
    let done = db.execute_raw(sql(ADVANCE, values)).await?;
    Ok(done.rows_affected() == 1)
}

/// Ends the pass and plans the next.
pub(crate) async fn end(
    db: &impl ConnectionTrait,
    token: Uuid,
    now: DateTime<Utc>,
    due: DateTime<Utc>,
) -> Result<(), DbErr> {
    const END: &str = "
        UPDATE stripe_sweeps SET due_at = $4, last_ended_at = $3, first_ticket = NULL,
            position = NULL, lease_token = NULL, lease_until = NULL
        WHERE name = $1 AND lease_token = $2";
    let values = [NAME.into(), token.into(), now.into(), due.into()];
    db.execute_raw(sql(END, values)).await.map(drop)
}

/// Leaves a pass where it is, for whoever is first to go on after `due`.
pub(crate) async fn pause(
    db: &impl ConnectionTrait,
    token: Uuid,
    due: DateTime<Utc>,
) -> Result<(), DbErr> {
    const PAUSE: &str = "
        UPDATE stripe_sweeps SET due_at = $3, lease_token = NULL, lease_until = NULL
        WHERE name = $1 AND lease_token = $2";
    let values = [NAME.into(), token.into(), due.into()];
    db.execute_raw(sql(PAUSE, values)).await.map(drop)
}
