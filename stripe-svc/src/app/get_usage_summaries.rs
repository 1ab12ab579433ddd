//! `GetUsageSummaries`: what Stripe's meter counts for a customer, day by day.

use billing_kit::Fault;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use crate::{
    app::{App, list_invoices::read_fault},
    domain::{catalog::Formula, ids::CustomerId, usage_days::UsageDays},
};

/// What the meter counts.
#[derive(Debug)]
pub(crate) struct Usage {
    /// The days of which it counts anything, by their first moments, in order.
    pub(crate) days: Vec<(DateTime<Utc>, Decimal)>,
    /// Whether the newest event of a day may be sent again without changing any other day.
    pub(crate) resend_safe: bool,
}

/// Asks the meter about these days.
///
/// # Errors
/// Stripe did not say, or has no such customer.
pub(crate) async fn get_usage_summaries(
    app: &App,
    customer: &CustomerId,
    days: UsageDays,
) -> Result<Usage, Fault> {
    let meter = app.stripe.meter(&app.catalog.meter.event_name).await?;
    let days = app.stripe.metered_by_day(&meter, customer, days).await;
    let days = days.map_err(read_fault)?;
    let resend_safe = match app.catalog.meter.formula {
        Formula::Sum => true,
        // An earlier day that comes after a later one would stand for the whole period.
        Formula::Last => false,
    };
    Ok(Usage { days, resend_safe })
}
