//! `stripe_calls`.

use billing_kit_db::query::Scoped;
use sea_orm::entity::prelude::*;

use crate::domain::{
    call::{Call, Step},
    ids::{IdempotencyKey, OperationId},
};

/// The states of a call.
pub(crate) const OPEN: &str = "open";
pub(crate) const SUCCEEDED: &str = "succeeded";
pub(crate) const REFUSED: &str = "refused";

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "stripe_calls")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) operation_id: Uuid,
    pub(crate) step: String,
    pub(crate) organization_id: Uuid,
    pub(crate) idempotency_key: String,
    pub(crate) params: Json,
    pub(crate) state: String,
    pub(crate) attempt_count: i32,
    pub(crate) first_sent_at: Option<DateTimeUtc>,
    pub(crate) last_sent_at: Option<DateTimeUtc>,
    pub(crate) response: Option<Json>,
    pub(crate) stripe_object_id: Option<String>,
    pub(crate) stripe_request_id: Option<String>,
    pub(crate) error_code: Option<String>,
    pub(crate) error_message: Option<String>,
    pub(crate) error_param: Option<String>,
    pub(crate) created_at: DateTimeUtc,
    pub(crate) settled_at: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Which calls.
pub(crate) trait Scope: Scoped<Entity> {
    /// Of an operation.
    fn of_operation(self, operation: OperationId) -> Self {
        self.filter(Column::OperationId.eq(operation.0))
    }

    /// Of a step; with its operation that is one call.
    fn of_step(self, step: Step) -> Self {
        self.filter(Column::Step.eq(step.as_str()))
    }

    /// This call, while it is not settled.
    fn still_open(self, call: &Call) -> Self {
        self.filter(Column::Id.eq(call.id.0))
            .filter(Column::State.eq(OPEN))
    }

    /// Sent under this key.
    fn with_key(self, key: &IdempotencyKey) -> Self {
        self.filter(Column::IdempotencyKey.eq(key.as_str()))
    }
}

impl<Q: Scoped<Entity>> Scope for Q {}
