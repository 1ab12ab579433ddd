//! `stripe_sweeps`.

use billing_kit_db::query::Scoped;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "stripe_sweeps")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) name: String,
    pub(crate) due_at: DateTimeUtc,
    pub(crate) first_ticket: Option<i64>,
    pub(crate) position: Option<String>,
    pub(crate) last_ended_at: Option<DateTimeUtc>,
    pub(crate) lease_token: Option<Uuid>,
    pub(crate) lease_until: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Which passes.
pub(crate) trait Scope: Scoped<Entity> {
    /// Of this name, under a lease that is still held.
    fn held(self, name: &str, token: Uuid) -> Self {
        self.filter(Column::Name.eq(name))
            .filter(Column::LeaseToken.eq(token))
    }
}

impl<Q: Scoped<Entity>> Scope for Q {}
