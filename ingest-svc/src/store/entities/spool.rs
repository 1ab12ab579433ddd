//! `usage_report_spool`.

use billing_kit_db::query::{Scoped, is_any};
use sea_orm::{entity::prelude::*, prelude::IpNetwork};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "usage_report_spool")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) organization_id: Uuid,
    pub(crate) organization_name: String,
    pub(crate) instance_url: String,
    pub(crate) user_count: i32,
    pub(crate) reported_at: DateTimeUtc,
    pub(crate) received_at: DateTimeUtc,
    pub(crate) parked_at: Option<DateTimeUtc>,
    pub(crate) error_message: Option<String>,
    pub(crate) source_address: Option<IpNetwork>,
    pub(crate) signing_key: Option<Vec<u8>>,
    pub(crate) replaced_signing_key: Option<Vec<u8>>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Which reports.
pub(crate) trait Scope: Scoped<Entity> {
    /// With one of these ids.
    fn among(self, ids: Vec<Uuid>) -> Self {
        self.filter(is_any(Column::Id, ids))
    }

    /// Not put aside.
    fn waiting(self) -> Self {
        self.filter(Column::ParkedAt.is_null())
    }
}

impl<Q: Scoped<Entity>> Scope for Q {}
