//! `CreatePortalSession`: a link with which a customer sees and pays its invoices.
//!
//! The one thing that is made in Stripe without a stored call: it bills nothing, ends by itself
//! within minutes, and a second one does no harm.

use billing_kit::{Fault, assertion::Admin};

use crate::{
    app::{App, list_invoices::read_fault},
    domain::ids::CustomerId,
};

/// Makes a link.
///
/// # Errors
/// Stripe refused, with its reason, or did not say.
pub(crate) async fn create_portal_session(
    app: &App,
    admin: &Admin,
    customer: &CustomerId,
) -> Result<String, Fault> {
    let url = app.stripe.portal_session(customer).await;
    let url = url.map_err(read_fault)?;
    tracing::info!(
        admin_user_id = admin.user_id,
        stripe_customer_id = %customer,
        "made a link to the customer portal"
    );
    Ok(url)
}
