//! `stripe_meter_events`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "stripe_meter_events")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) identifier: String,
    pub(crate) stripe_customer_id: String,
    pub(crate) event_name: String,
    pub(crate) value: i64,
    pub(crate) event_at: DateTimeUtc,
    pub(crate) state: String,
    pub(crate) attempt_count: i32,
    pub(crate) first_sent_at: Option<DateTimeUtc>,
    pub(crate) last_sent_at: Option<DateTimeUtc>,
    pub(crate) stripe_request_id: Option<String>,
    pub(crate) error_code: Option<String>,
    pub(crate) error_message: Option<String>,
    pub(crate) created_at: DateTimeUtc,
    pub(crate) settled_at: Option<DateTimeUtc>,
    pub(crate) resend_count: i32,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
