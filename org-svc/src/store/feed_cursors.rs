//! The table `org_feed_cursors`: how far each feed was read.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use sea_orm::{ConnectionTrait, FromQueryResult};

use super::statement;

/// stripe-svc's feed of subscriptions.
pub(crate) const SUBSCRIPTIONS: &str = "subscriptions";

const GET: &str = "SELECT cursor FROM org_feed_cursors WHERE feed = $1";

#[derive(FromQueryResult)]
struct Row {
    cursor: i64,
}

/// The cursor to go on from; 0 at the very beginning.
pub(crate) async fn get(db: &impl ConnectionTrait, feed: &str) -> Result<i64, Fault> {
    let row = Row::find_by_statement(statement(GET, [feed.into()]))
        .one(db)
        .await
        .map_err(db_fault)?;
    Ok(row.map_or(0, |row| row.cursor))
}

const ADVANCE: &str = r"
    INSERT INTO org_feed_cursors AS f (feed, cursor) VALUES ($1, $2)
    ON CONFLICT (feed) DO UPDATE SET cursor = greatest(f.cursor, excluded.cursor)";

/// Moves a cursor forward, in the transaction that stored what came before it. Several replicas read
/// the same feed: a slower one never moves it back.
pub(crate) async fn advance(
    db: &impl ConnectionTrait,
    feed: &str,
    cursor: i64,
) -> Result<(), Fault> {
    db.execute_raw(statement(ADVANCE, [feed.into(), cursor.into()]))
        .await
        .map_err(db_fault)?;
    Ok(())
}
