//! `stripe_subscriptions`.

use billing_kit_db::query::{Scoped, greatest, is_any};
use chrono::{DateTime, Utc};
use sea_orm::{
    Condition, ExprTrait,
    entity::prelude::*,
    sea_query::{Expr, Func},
};

use crate::domain::{
    ids::{CustomerId, SubscriptionId},
    subscription::FetchTicket,
};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "stripe_subscriptions")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) stripe_subscription_id: String,
    pub(crate) stripe_customer_id: String,
    pub(crate) organization_id: Option<Uuid>,
    pub(crate) subscription_status: String,
    pub(crate) trial_end: Option<DateTimeUtc>,
    pub(crate) start_at: DateTimeUtc,
    pub(crate) current_period_start_at: Option<DateTimeUtc>,
    pub(crate) current_period_end_at: Option<DateTimeUtc>,
    pub(crate) cancel_at: Option<DateTimeUtc>,
    pub(crate) ended_at: Option<DateTimeUtc>,
    pub(crate) customer_deleted: bool,
    pub(crate) fetch_ticket: i64,
    pub(crate) observed_at: DateTimeUtc,
    pub(crate) version: i64,
    pub(crate) invoiced_until: Option<DateTimeUtc>,
    pub(crate) collection_pause: Option<String>,
    pub(crate) collection_paused_at: Option<DateTimeUtc>,
    pub(crate) collection_resumes_at: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Which subscriptions.
pub(crate) trait Scope: Scoped<Entity> {
    /// Of a customer.
    fn of_customer(self, customer: &CustomerId) -> Self {
        self.filter(Column::StripeCustomerId.eq(customer.as_str()))
    }

    /// With one of these ids.
    fn among(self, ids: Vec<String>) -> Self {
        self.filter(is_any(Column::StripeSubscriptionId, ids))
    }

    /// Behind this one in the order of their ids.
    fn behind(self, after: Option<&SubscriptionId>) -> Self {
        let after = after.map_or("", SubscriptionId::as_str);
        self.filter(Column::StripeSubscriptionId.gt(after))
    }

    /// Not fetched with this ticket or a later one.
    fn not_fetched_since(self, ticket: FetchTicket) -> Self {
        self.filter(Column::FetchTicket.lt(ticket.0))
    }

    /// Not over for good.
    fn not_ended(self) -> Self {
        self.filter(Column::SubscriptionStatus.is_not_in(["canceled", "incomplete_expired"]))
    }

    /// Not known to be invoiced up to this moment.
    fn invoiced_before(self, until: DateTime<Utc>) -> Self {
        self.filter(
            Condition::any()
                .add(Column::InvoicedUntil.is_null())
                .add(Column::InvoicedUntil.lt(until)),
        )
    }

    /// An organization's, of which a period has ended since then and is not known to be invoiced for
    /// good.
    fn uninvoiced(self, since: DateTime<Utc>) -> Self {
        let period_start = Func::coalesce([
            Column::EndedAt.into_expr(),
            Column::CurrentPeriodStartAt.into_expr(),
        ]);
        let invoiced = greatest([
            Expr::val(since),
            Column::InvoicedUntil.into_expr(),
            Column::TrialEnd.into_expr(),
            Column::StartAt.into_expr(),
        ]);
        self.filter(Column::OrganizationId.is_not_null())
            .filter(Expr::from(period_start).gt(invoiced))
    }
}

impl<Q: Scoped<Entity>> Scope for Q {}
