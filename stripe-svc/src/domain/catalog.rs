//! The catalog: what is sold, measured how, at which price.
//!
//! It is a file and the truth; `stripe-svc catalog apply` makes Stripe agree with it, and the server
//! finds Stripe's objects by the names that stand here.

use rust_decimal::Decimal;

use crate::domain::{
    ids::CustomerId,
    terms::{DeploymentType, PlanType},
};

/// How a meter turns the events of a period into one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Formula {
    /// Every day counts as it was.
    Sum,
    /// The period's last event counts.
    Last,
}

impl Formula {
    pub(crate) const ALL: [Self; 2] = [Self::Sum, Self::Last];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Last => "last",
        }
    }
}

/// How often Stripe invoices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interval {
    Day,
    Week,
    Month,
    Year,
}

impl Interval {
    pub(crate) const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Year];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

/// Whether an amount has its tax in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaxBehavior {
    Exclusive,
    Inclusive,
    Unspecified,
}

impl TaxBehavior {
    pub(crate) const ALL: [Self; 3] = [Self::Exclusive, Self::Inclusive, Self::Unspecified];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Inclusive => "inclusive",
            Self::Unspecified => "unspecified",
        }
    }
}

/// The one window that is known: within a UTC day the event that Stripe received last counts. It is
/// what makes sending an event again harmless, so there is no choice.
pub(crate) const EVENT_TIME_WINDOW: &str = "day";

/// The meter that counts seats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CatalogMeter {
    pub(crate) event_name: String,
    pub(crate) display_name: String,
    pub(crate) formula: Formula,
    /// The payload's key of the customer.
    pub(crate) customer_key: String,
    /// The payload's key of the number.
    pub(crate) value_key: String,
}

impl CatalogMeter {
    /// The payload of an event.
    pub(crate) fn payload(&self, customer: &CustomerId, seats: i64) -> [(String, String); 2] {
        [
            (self.customer_key.clone(), customer.to_string()),
            (self.value_key.clone(), seats.to_string()),
        ]
    }
}

/// What the invoice's lines are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CatalogProduct {
    /// Our choice, so that it can be found again.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) unit_label: String,
}

/// The price of one plan on one deployment type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CatalogPrice {
    pub(crate) plan_type: PlanType,
    pub(crate) deployment_type: DeploymentType,
    pub(crate) lookup_key: String,
    /// Of one seat-day (`sum`) or one seat (`last`), in the currency's smallest unit: cents.
    pub(crate) unit_amount: Decimal,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    /// The amounts are examples, never to be asked of anybody.
    pub(crate) sample: bool,
    /// ISO 4217, in lower case.
    pub(crate) currency: String,
    pub(crate) interval: Interval,
    pub(crate) tax_behavior: TaxBehavior,
    /// How long a customer has to pay an invoice.
    pub(crate) days_until_due: u32,
    pub(crate) meter: CatalogMeter,
    pub(crate) product: CatalogProduct,
    pub(crate) prices: Vec<CatalogPrice>,
}

impl Catalog {
    /// The price of a plan on a deployment type.
    pub(crate) fn price(
        &self,
        plan: PlanType,
        deployment: DeploymentType,
    ) -> Option<&CatalogPrice> {
        self.prices
            .iter()
            .find(|price| price.plan_type == plan && price.deployment_type == deployment)
    }
}
