//! `hold_group_decisions`.

use billing_kit_db::query::Scoped;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "hold_group_decisions")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) decided_at: DateTimeUtc,
    pub(crate) hold_reason: String,
    pub(crate) hold_cause: Option<String>,
    pub(crate) received_until: DateTimeUtc,
    pub(crate) decision: String,
    pub(crate) admin_user_id: Option<String>,
    pub(crate) admin_email: Option<String>,
    pub(crate) api_key_id: Option<Uuid>,
    pub(crate) client_address: Option<String>,
    pub(crate) request_id: String,
    pub(crate) after_id: Option<Uuid>,
    pub(crate) report_count: i64,
    pub(crate) finished_at: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Which decisions.
pub(crate) trait Scope: Scoped<Entity> {
    /// This one.
    fn with_id(self, id: Uuid) -> Self {
        self.filter(Column::Id.eq(id))
    }

    /// Which are being carried out.
    fn unfinished(self) -> Self {
        self.filter(Column::FinishedAt.is_null())
    }
}

impl<Q: Scoped<Entity>> Scope for Q {}
