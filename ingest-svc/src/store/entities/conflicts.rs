//! `report_conflicts`.

use sea_orm::{entity::prelude::*, prelude::IpNetwork};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "report_conflicts")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) organization_id: Uuid,
    pub(crate) reported_at: DateTimeUtc,
    pub(crate) user_count: i32,
    pub(crate) organization_name: String,
    pub(crate) instance_url: String,
    pub(crate) source_address: Option<IpNetwork>,
    pub(crate) first_refused_at: DateTimeUtc,
    pub(crate) last_refused_at: DateTimeUtc,
    pub(crate) refused_count: i64,
    pub(crate) replaced_at: Option<DateTimeUtc>,
    pub(crate) replacement_id: Option<Uuid>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
