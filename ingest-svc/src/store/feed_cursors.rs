//! `feed_cursors`: how far each feed was read.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::sql;

/// org-svc's feed of how organizations stand.
pub(crate) const ORGANIZATIONS: &str = "organizations";

#[derive(Debug, FromQueryResult)]
struct CursorRow {
    cursor: i64,
}

/// The cursor to go on from; 0 at the very beginning.
pub(crate) async fn get(db: &impl ConnectionTrait, feed: &str) -> Result<i64, DbErr> {
    const GET: &str = "SELECT cursor FROM feed_cursors WHERE feed = $1";
    let row = CursorRow::find_by_statement(sql(GET, [feed.into()]))
        .one(db)
        .await?;
    Ok(row.map_or(0, |row| row.cursor))
}

/// Moves a cursor forward, in the transaction that stored what came before it. Several replicas read
/// the same feed: a slower one never moves it back.
pub(crate) async fn advance(
    db: &impl ConnectionTrait,
    feed: &str,
    cursor: i64,
) -> Result<(), DbErr> {
    const ADVANCE: &str = "
        INSERT INTO feed_cursors AS f (feed, cursor) VALUES ($1, $2)
        ON CONFLICT (feed) DO UPDATE SET cursor = greatest(f.cursor, excluded.cursor)";
    db.execute_raw(sql(ADVANCE, [feed.into(), cursor.into()]))
        .await
        .map(drop)
}
