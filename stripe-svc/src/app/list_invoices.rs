//! `ListInvoices`: a customer's invoices as Stripe has them, and the one that comes next.

use billing_kit::Fault;
use billing_proto::common::v1::ErrorReason;

use crate::{
    app::App,
    domain::invoice::{Invoice, InvoicePage, InvoicesWanted},
    stripe::ReadError,
};

/// A page of invoices; with the first page also the one that comes next.
///
/// # Errors
/// Stripe did not say, or has no such customer.
pub(crate) async fn list_invoices(
    app: &App,
    wanted: InvoicesWanted,
) -> Result<(InvoicePage, Option<Invoice>), Fault> {
    let InvoicesWanted {
        customer,
        subscription,
        size,
        after,
    } = wanted;
    let is_first = after.is_none();
    let page = app.stripe.invoices(&customer, size, after.as_deref()).await;
    let page = page.map_err(read_fault)?;
    let upcoming = match subscription.filter(|_| is_first) {
        Some(subscription) => app
            .stripe
            .upcoming_invoice(&customer, &subscription)
            .await
            .map_err(read_fault)?,
        None => None,
    };
    Ok((page, upcoming))
}

/// Of a read that Stripe may have a reason to refuse: its reason is for the admin to see.
pub(super) fn read_fault(error: ReadError) -> Fault {
    match error {
        ReadError::Unknown(unknown) => unknown.into(),
        ReadError::Refused(refusal) => Fault::new(ErrorReason::StripeRefused, refusal.message)
            .with("stripe_code", refusal.code)
            .with("stripe_request_id", refusal.request_id.unwrap_or_default()),
    }
}
