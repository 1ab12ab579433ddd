//! `stripe_subscription_changes`.

use billing_kit_db::query::Scoped;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "stripe_subscription_changes")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) cursor: i64,
    pub(crate) stripe_subscription_id: String,
    pub(crate) changed_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Which changes.
pub(crate) trait Scope: Scoped<Entity> {
    /// Behind a cursor of the feed.
    fn behind(self, cursor: i64) -> Self {
        self.filter(Column::Cursor.gt(cursor))
    }
}

impl<Q: Scoped<Entity>> Scope for Q {}
