//! `feed_cursors`: how far each feed was read.

use billing_kit_db::{StoreError, query::greatest};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, Set,
    sea_query::{Expr, OnConflict},
};

use super::entities::feed_cursors::{ActiveModel, Column, Entity};

/// org-svc's feed of how organizations stand.
pub(crate) const ORGANIZATIONS: &str = "organizations";

/// The cursor to go on from; 0 at the very beginning.
pub(crate) async fn get(db: &impl ConnectionTrait, feed: &str) -> Result<i64, StoreError> {
    let row = Entity::find_by_id(feed).one(db).await?;
    Ok(row.map_or(0, |row| row.cursor))
}

/// Moves a cursor forward, in the transaction that stored what came before it. Several replicas read
/// the same feed: a slower one never moves it back.
pub(crate) async fn advance(
    db: &impl ConnectionTrait,
    feed: &str,
    cursor: i64,
) -> Result<(), StoreError> {
    let row = ActiveModel {
        feed: Set(feed.to_owned()),
        cursor: Set(cursor),
    };
    let further = greatest([Column::Cursor.into_expr(), Expr::val(cursor)]);
    let move_on = OnConflict::column(Column::Feed)
        .value(Column::Cursor, further)
        .to_owned();
    let insert = Entity::insert(row).on_conflict(move_on);
    insert.exec_without_returning(db).await?;
    Ok(())
}
