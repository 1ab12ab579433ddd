//! `billing_findings`.

use billing_kit_db::query::{Scoped, is_any};
use chrono::NaiveDate;
use sea_orm::{Condition, entity::prelude::*};

use crate::domain::finding::FindingKind;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "billing_findings")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) organization_id: Uuid,
    pub(crate) kind: String,
    pub(crate) day: Date,
    pub(crate) period_start_at: DateTimeUtc,
    pub(crate) period_end_at: DateTimeUtc,
    pub(crate) stripe_invoice_id: String,
    pub(crate) expected: i64,
    /// A number without limit, as a text.
    #[sea_orm(column_type = "Decimal(None)", select_as = "text")]
    pub(crate) found: String,
    pub(crate) resend_count: i32,
    pub(crate) first_seen_at: DateTimeUtc,
    pub(crate) last_seen_at: DateTimeUtc,
    pub(crate) resolved_at: Option<DateTimeUtc>,
    pub(crate) dismissed_at: Option<DateTimeUtc>,
    pub(crate) dismissed_by: Option<String>,
    pub(crate) dismiss_reason: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Which findings.
pub(crate) trait Scope: Scoped<Entity> {
    /// Of an organization.
    fn of_organization(self, id: Uuid) -> Self {
        self.filter(Column::OrganizationId.eq(id))
    }

    /// Of a kind.
    fn of_kind(self, kind: FindingKind) -> Self {
        self.filter(Column::Kind.eq(kind.as_str()))
    }

    /// Of these invoices.
    fn of_invoices(self, invoices: Vec<String>) -> Self {
        self.filter(is_any(Column::StripeInvoiceId, invoices))
    }

    /// Which still differ.
    fn unresolved(self) -> Self {
        self.filter(Column::ResolvedAt.is_null())
    }

    /// Which no person has dismissed.
    fn undismissed(self) -> Self {
        self.filter(Column::DismissedAt.is_null())
    }

    /// Behind a place in a list that has the latest day first.
    fn behind(self, (day, id): (NaiveDate, Uuid)) -> Self {
        let same_day = Condition::all()
            .add(Column::Day.eq(day))
            .add(Column::Id.gt(id));
        self.filter(Condition::any().add(Column::Day.lt(day)).add(same_day))
    }
}

impl<Q: Scoped<Entity>> Scope for Q {}
