//! `stripe_meter_errors`.

use billing_kit_db::query::{Scoped, row};
use chrono::{DateTime, Utc};
use sea_orm::{ExprTrait, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "stripe_meter_errors")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) event_id: String,
    pub(crate) stripe_meter_id: Option<String>,
    pub(crate) error_code: String,
    pub(crate) error_message: String,
    pub(crate) error_count: i64,
    pub(crate) sample_identifiers: Vec<String>,
    pub(crate) validation_start_at: Option<DateTimeUtc>,
    pub(crate) validation_end_at: Option<DateTimeUtc>,
    pub(crate) found_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Which errors.
pub(crate) trait Scope: Scoped<Entity> {
    /// Behind a place in a list that has the latest first.
    fn behind(self, (at, id): (DateTime<Utc>, Uuid)) -> Self {
        let place = row([Column::FoundAt.into_expr(), Column::Id.into_expr()]);
        self.filter(place.lt(row([at.into(), id.into()])))
    }
}

impl<Q: Scoped<Entity>> Scope for Q {}
