//! `stripe_events`.

use billing_kit_db::query::{Scoped, row};
use sea_orm::{ExprTrait, entity::prelude::*};

use crate::domain::{ids::EventId, page::Position, webhook_event::EventState};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "stripe_events")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) event_id: String,
    pub(crate) event_type: String,
    pub(crate) is_thin: bool,
    pub(crate) payload: Json,
    pub(crate) created_at: Option<DateTimeUtc>,
    pub(crate) received_at: DateTimeUtc,
    pub(crate) state: String,
    pub(crate) attempt_count: i32,
    pub(crate) next_attempt_at: DateTimeUtc,
    pub(crate) ended_at: Option<DateTimeUtc>,
    pub(crate) error_code: Option<String>,
    pub(crate) error_message: Option<String>,
    pub(crate) lease_token: Option<Uuid>,
    pub(crate) lease_until: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Which events.
pub(crate) trait Scope: Scoped<Entity> {
    /// In this state.
    fn in_state(self, state: EventState) -> Self {
        self.filter(Column::State.eq(state.as_str()))
    }

    /// Behind a place in a list that has the latest first.
    fn behind(self, position: &Position) -> Self {
        let place = row([Column::ReceivedAt.into_expr(), Column::EventId.into_expr()]);
        let position = row([position.at.into(), position.id.as_str().into()]);
        self.filter(place.lt(position))
    }

    /// This event, queued under a lease that is still held.
    fn held(self, id: &EventId, token: Uuid) -> Self {
        self.filter(Column::EventId.eq(id.as_str()))
            .filter(Column::LeaseToken.eq(token))
            .in_state(EventState::Queued)
    }
}

impl<Q: Scoped<Entity>> Scope for Q {}
