//! `usage_reports`, but for what no query of this entity reads.

use billing_kit_db::query::{Scoped, is_any, row};
use chrono::{DateTime, Utc};
use sea_orm::{ExprTrait, entity::prelude::*, sea_query::Func};

use crate::domain::{delivery::DeliveryState, hold::HoldReason};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "usage_reports")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) organization_id: Option<Uuid>,
    pub(crate) user_count: i32,
    pub(crate) deployment_type: String,
    pub(crate) reported_at: Option<DateTimeUtc>,
    pub(crate) stripe_meter_event_id: Option<String>,
    pub(crate) adopted: bool,
    pub(crate) organization_name: Option<String>,
    pub(crate) instance_url: Option<String>,
    pub(crate) received_at: Option<DateTimeUtc>,
    pub(crate) delivery_state: String,
    pub(crate) attempt_count: i32,
    pub(crate) next_attempt_at: Option<DateTimeUtc>,
    pub(crate) error_code: Option<String>,
    pub(crate) error_message: Option<String>,
    pub(crate) settled_at: Option<DateTimeUtc>,
    pub(crate) resend_count: i32,
    pub(crate) first_sent_at: Option<DateTimeUtc>,
    pub(crate) hold_reason: Option<String>,
    pub(crate) sent_customer_id: Option<String>,
    pub(crate) retry_count: i32,
    pub(crate) count_low: bool,
    pub(crate) compared_with: Option<Json>,
    pub(crate) hold_cause: Option<String>,
    pub(crate) source_address: Option<IpNetwork>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Which reports.
pub(crate) trait Scope: Scoped<Entity> {
    /// With this id.
    fn with_id(self, id: Uuid) -> Self {
        self.filter(Column::Id.eq(id))
    }

    /// With one of these ids.
    fn among(self, ids: Vec<Uuid>) -> Self {
        self.filter(is_any(Column::Id, ids))
    }

    /// Of an organization.
    fn of_organization(self, id: Uuid) -> Self {
        self.filter(Column::OrganizationId.eq(id))
    }

    /// With a time: not one of the older system that has none.
    fn timed(self) -> Self {
        self.filter(Column::ReportedAt.is_not_null())
    }

    /// In this state.
    fn in_state(self, state: DeliveryState) -> Self {
        self.filter(Column::DeliveryState.eq(state.as_str()))
    }

    /// In one of these states.
    fn in_states<const N: usize>(self, states: [DeliveryState; N]) -> Self {
        self.filter(Column::DeliveryState.is_in(states.map(DeliveryState::as_str)))
    }

    /// Held, for this reason and cause, as far as they had come by then; whatever the cause where none
    /// is given.
    fn held_for(self, reason: HoldReason, cause: Option<&str>, until: DateTime<Utc>) -> Self {
        let held = self
            .in_state(DeliveryState::Held)
            .filter(Column::HoldReason.eq(reason.as_str()))
            .filter(Column::ReceivedAt.lte(until));
        match cause {
            Some(cause) => {
                let stored = Func::coalesce([Column::HoldCause.into_expr(), "".into()]);
                held.filter(Expr::from(stored).eq(cause))
            }
            None => held,
        }
    }

    /// Behind a place in an organization's list, which has the latest first.
    fn before(self, (time, id): (DateTime<Utc>, Uuid)) -> Self {
        let place = row([Column::ReportedAt.into_expr(), Column::Id.into_expr()]);
        self.filter(place.lt(row([time.into(), id.into()])))
    }

    /// Behind a place in the order of organization, time and id.
    fn behind(self, (organization, time, id): (Uuid, DateTime<Utc>, Uuid)) -> Self {
        let place = row([
            Column::OrganizationId.into_expr(),
            Column::ReportedAt.into_expr(),
            Column::Id.into_expr(),
        ]);
        self.filter(place.gt(row([organization.into(), time.into(), id.into()])))
    }
}

impl<Q: Scoped<Entity>> Scope for Q {}
