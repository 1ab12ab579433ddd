//! `reconciliation_pass`: one row.

use billing_kit_db::query::Scoped;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "reconciliation_pass")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: bool,
    pub(crate) started_at: Option<DateTimeUtc>,
    pub(crate) after_id: Option<Uuid>,
    pub(crate) attempt_count: i32,
    pub(crate) skipped_count: i32,
    pub(crate) next_step_at: Option<DateTimeUtc>,
    pub(crate) lease_token: Option<Uuid>,
    pub(crate) lease_until: Option<DateTimeUtc>,
    pub(crate) last_full_pass_at: Option<DateTimeUtc>,
    pub(crate) last_skipped_count: i32,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The pass, on a condition.
pub(crate) trait Scope: Scoped<Entity> {
    /// While this lease of it is held.
    fn held(self, token: Uuid) -> Self {
        self.filter(Column::LeaseToken.eq(token))
    }
}

impl<Q: Scoped<Entity>> Scope for Q {}
