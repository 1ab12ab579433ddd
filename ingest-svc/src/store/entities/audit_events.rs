//! `audit_events_to_tell`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_events_to_tell")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) occurred_at: DateTimeUtc,
    pub(crate) action: String,
    pub(crate) organization_id: Uuid,
    pub(crate) admin_user_id: Option<String>,
    pub(crate) api_key_id: Option<Uuid>,
    pub(crate) client_address: Option<String>,
    pub(crate) request_id: String,
    pub(crate) before: Option<Json>,
    pub(crate) after: Json,
    pub(crate) attempt_count: i32,
    pub(crate) next_attempt_at: DateTimeUtc,
    pub(crate) lease_token: Option<Uuid>,
    pub(crate) lease_until: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
