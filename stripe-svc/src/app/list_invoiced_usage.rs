//! `ListInvoicedUsage`: what a customer's invoices ask for what the meter counted.

use billing_kit::Fault;
use chrono::{DateTime, Utc};

use crate::{
    app::{App, list_invoices::read_fault},
    domain::{
        catalog::Formula,
        ids::CustomerId,
        metered_invoice::{InvoicedUsage, MeteredInvoice},
    },
};

/// What was invoiced.
#[derive(Debug)]
pub(crate) struct Invoiced {
    /// One entry per invoice with metered usage, the latest first.
    pub(crate) usage: Vec<InvoicedUsage>,
    /// Whether a quantity is the sum of its days.
    pub(crate) sums_days: bool,
}

/// Asks Stripe for the invoices that were made since then.
///
/// # Errors
/// Stripe did not say, or has no such customer.
pub(crate) async fn list_invoiced_usage(
    app: &App,
    customer: &CustomerId,
    since: DateTime<Utc>,
) -> Result<Invoiced, Fault> {
    let product = &app.catalog.product.id;
    let invoices = app.stripe.invoices_since(customer, since, product).await;
    let invoices = invoices.map_err(read_fault)?;
    let sums_days = match app.catalog.meter.formula {
        Formula::Sum => true,
        Formula::Last => false,
    };
    Ok(Invoiced {
        usage: invoices.iter().filter_map(MeteredInvoice::usage).collect(),
        sums_days,
    })
}
