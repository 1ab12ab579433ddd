//! `notices_to_tell`.

use billing_kit_db::query::Scoped;
use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "notices_to_tell")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) key: String,
    pub(crate) kind: String,
    pub(crate) organization_id: Option<Uuid>,
    pub(crate) occurred_at: DateTimeUtc,
    pub(crate) data: Json,
    pub(crate) attempt_count: i32,
    pub(crate) next_attempt_at: DateTimeUtc,
    pub(crate) lease_token: Option<Uuid>,
    pub(crate) lease_until: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Which notices.
pub(crate) trait Scope: Scoped<Entity> {
    /// Of silent instances, still being gathered: not due, not tried, and nobody hands it over.
    fn gathering(self, now: DateTime<Utc>) -> Self {
        self.filter(Column::Kind.eq("instances.silent"))
            .filter(Column::NextAttemptAt.gt(now))
            .filter(Column::AttemptCount.eq(0))
            .filter(Column::LeaseToken.is_null())
    }
}

impl<Q: Scoped<Entity>> Scope for Q {}
