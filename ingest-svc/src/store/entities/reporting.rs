//! `organization_reporting`.

use billing_kit_db::query::{Scoped, is_any};
use chrono::{DateTime, Utc};
use sea_orm::{Condition, ExprTrait, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "organization_reporting")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) organization_id: Uuid,
    pub(crate) user_count: Option<i32>,
    pub(crate) last_reported_at: Option<DateTimeUtc>,
    pub(crate) subscription_status: String,
    pub(crate) deployment_type: Option<String>,
    pub(crate) stripe_customer_id: Option<String>,
    pub(crate) billing_start_at: Option<DateTimeUtc>,
    pub(crate) billable: bool,
    pub(crate) standing_version: i64,
    pub(crate) next_delivery_at: Option<DateTimeUtc>,
    pub(crate) lease_token: Option<Uuid>,
    pub(crate) lease_until: Option<DateTimeUtc>,
    pub(crate) draining: bool,
    pub(crate) drained_version: Option<i64>,
    pub(crate) drain_acknowledged_version: Option<i64>,
    pub(crate) drain_attempt_count: i32,
    pub(crate) drain_step_at: Option<DateTimeUtc>,
    pub(crate) baseline_user_count: Option<i32>,
    pub(crate) baseline_reported_at: Option<DateTimeUtc>,
    pub(crate) baseline_instance_url: Option<String>,
    pub(crate) billing_end_at: Option<DateTimeUtc>,
    pub(crate) trial_end_at: Option<DateTimeUtc>,
    pub(crate) invoiced_until: Option<DateTimeUtc>,
    pub(crate) drained: bool,
    pub(crate) silence_told_since: Option<DateTimeUtc>,
    pub(crate) hold_deadline_told: Option<DateTimeUtc>,
    pub(crate) period_start_at: Option<DateTimeUtc>,
    pub(crate) period_end_at: Option<DateTimeUtc>,
    pub(crate) day_user_counts: Option<Vec<i32>>,
    pub(crate) day_reported_at: Option<Vec<DateTimeUtc>>,
    pub(crate) anchor_user_count: Option<i32>,
    pub(crate) anchor_at: Option<DateTimeUtc>,
    pub(crate) anchor_days: Option<i16>,
    pub(crate) low_since: Option<DateTimeUtc>,
    pub(crate) pinned_key: Option<Vec<u8>>,
    pub(crate) pinned_at: Option<DateTimeUtc>,
    pub(crate) awaited_fingerprint: Option<Vec<u8>>,
    pub(crate) last_signing_key: Option<Vec<u8>>,
    pub(crate) gap_seen_on: Date,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Which organizations.
pub(crate) trait Scope: Scoped<Entity> {
    /// This one.
    fn of_organization(self, id: Uuid) -> Self {
        self.filter(Column::OrganizationId.eq(id))
    }

    /// These.
    fn among(self, ids: Vec<Uuid>) -> Self {
        self.filter(is_any(Column::OrganizationId, ids))
    }

    /// Behind this one in the order of their ids.
    fn behind(self, after: Uuid) -> Self {
        self.filter(Column::OrganizationId.gt(after))
    }

    /// With a customer in Stripe.
    fn linked(self) -> Self {
        self.filter(Column::StripeCustomerId.is_not_null())
    }

    /// With a subscription that has a start.
    fn with_start(self) -> Self {
        self.linked().filter(Column::BillingStartAt.is_not_null())
    }

    /// Which have reported.
    fn reported(self) -> Self {
        self.filter(Column::LastReportedAt.is_not_null())
    }

    /// Whose queue is leased under this token.
    fn leased(self, token: Uuid) -> Self {
        self.filter(Column::LeaseToken.eq(token))
    }

    /// Which stand as they did under this version.
    fn standing_as(self, version: i64) -> Self {
        self.filter(Column::StandingVersion.eq(version))
    }

    /// Whose drain is due and not known to org-svc.
    fn drain_due(self, now: DateTime<Utc>) -> Self {
        let unknown = Condition::any()
            .add(Column::DrainAcknowledgedVersion.is_null())
            .add(
                Column::DrainAcknowledgedVersion
                    .into_expr()
                    .ne(Column::StandingVersion.into_expr()),
            );
        let due = Condition::any()
            .add(Column::DrainStepAt.is_null())
            .add(Column::DrainStepAt.lte(now));
        self.filter(Column::Draining.eq(true))
            .filter(Column::Drained.eq(false))
            .filter(unknown)
            .filter(due)
    }
}

impl<Q: Scoped<Entity>> Scope for Q {}
