//! Lists an organization's invoices, as Stripe has them now.

use billing_kit::Fault;
use billing_proto::{
    common::v1::Invoice,
    stripe::v1::{ListInvoicesRequest, ListInvoicesResponse},
};
use uuid::Uuid;

use super::{Admin, App};
use crate::{domain::organization::is_linked, upstream::internal_fault};

/// A page of invoices, the newest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct InvoicePage {
    /// The invoices.
    pub invoices: Vec<Invoice>,
    /// Where the next page begins; `None` after the last.
    pub next_page_token: Option<String>,
    /// The one that comes next, as it would be now; only with the first page.
    pub upcoming: Option<Invoice>,
}

impl App {
    /// A page of an organization's invoices: none where it never had a Stripe customer.
    ///
    /// # Errors
    /// ORGANIZATION_NOT_FOUND; a page token that is none; STRIPE_REFUSED where Stripe has the customer
    /// no more; Stripe did not say.
    pub(crate) async fn list_invoices(
        &self,
        admin: &Admin,
        id: Uuid,
        page_size: i32,
        page_token: String,
    ) -> Result<InvoicePage, Fault> {
        let organization = self.get_organization(admin, id).await?;
        if !is_linked(&organization) {
            return Ok(InvoicePage::default());
        }
        let request = admin.request(ListInvoicesRequest {
            stripe_customer_id: organization.stripe_customer_id,
            stripe_subscription_id: organization.stripe_subscription_id,
            page_size,
            page_token,
        });
        let ListInvoicesResponse {
            invoices,
            next_page_token,
            upcoming,
        } = self
            .upstream
            .customers
            .clone()
            .list_invoices(request)
            .await
            .map_err(internal_fault)?
            .into_inner();
        Ok(InvoicePage {
            invoices,
            next_page_token: (!next_page_token.is_empty()).then_some(next_page_token),
            upcoming,
        })
    }
}
