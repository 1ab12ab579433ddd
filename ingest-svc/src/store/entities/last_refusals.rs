//! `last_refusals`.

use sea_orm::{entity::prelude::*, prelude::IpNetwork};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "last_refusals")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) organization_id: Uuid,
    pub(crate) refused_at: DateTimeUtc,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) source_address: Option<IpNetwork>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
