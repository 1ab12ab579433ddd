//! Customers.

use std::collections::HashMap;

use stripe_client_core::StripeRequest;
use stripe_core::customer::{CreateCustomer, ListCustomer, SearchCustomer, UpdateCustomer};

use crate::{
    domain::{
        call::CallRequest,
        ids::{CustomerId, OperationId, OrganizationId},
        provision::Provision,
    },
    stripe::{
        PAGE_SIZE, PAGES_MAX, Stripe,
        form::to_stored,
        objects::{ListOf, MarkedObject},
        unknown::{Unknown, UnknownKind},
    },
};

/// Metadata key of our operation.
pub(super) const OPERATION_ID: &str = "operation_id";
/// Metadata key of the organization.
pub(super) const ORGANIZATION_ID: &str = "organization_id";

pub(super) fn metadata(
    operation: OperationId,
    organization: OrganizationId,
) -> HashMap<String, String> {
    HashMap::from([
        (OPERATION_ID.to_owned(), operation.to_string()),
        (ORGANIZATION_ID.to_owned(), organization.to_string()),
    ])
}

/// The request that creates an organization's customer.
pub(crate) fn create_request(terms: &Provision) -> CallRequest {
    let request = CreateCustomer::new()
        .name(&*terms.organization_name)
        .email(&*terms.admin_email)
        .metadata(metadata(terms.operation_id, terms.organization_id));
    to_stored(request.build())
}

/// The request that brings a customer that is there to an operation's terms.
pub(crate) fn update_request(customer: &CustomerId, terms: &Provision) -> CallRequest {
    let request = UpdateCustomer::new(customer.as_str())
        .name(&*terms.organization_name)
        .email(&*terms.admin_email)
        .metadata(metadata(terms.operation_id, terms.organization_id));
    to_stored(request.build())
}

/// The request that changes the address that invoices go to.
pub(crate) fn email_request(customer: &CustomerId, email: &str) -> CallRequest {
    let request = UpdateCustomer::new(customer.as_str()).email(email);
    to_stored(request.build())
}

/// The request that takes a customer's address away.
pub(crate) fn no_email_request(customer: &CustomerId) -> CallRequest {
    email_request(customer, "")
}

impl Stripe {
    /// The customer that an operation created, if it did.
    ///
    /// The list shows what was created before it was asked for; the search, which would lag behind,
    /// only finds a customer whose e-mail address somebody has changed since.
    ///
    /// # Errors
    /// Stripe did not say.
    pub(crate) async fn find_customer(
        &self,
        email: &str,
        operation: OperationId,
        organization: OrganizationId,
    ) -> Result<Option<CustomerId>, Unknown> {
        let mut list = ListCustomer::new().email(email).limit(PAGE_SIZE);
        for _ in 0..PAGES_MAX {
            let page: ListOf<MarkedObject> = list
                .build()
                .customize()
                .send(&self.transport)
                .await
                .map_err(Unknown::from)?;
            if let Some(found) = page.data.iter().find(|it| it.is_of(operation)) {
                return Ok(Some(CustomerId::new(&*found.id)));
            }
            match page.data.last().filter(|_| page.has_more == Some(true)) {
                Some(last) => list = list.starting_after(&*last.id),
                None => return self.search_customer(operation, organization).await,
            }
        }
        Err(too_many_pages())
    }

    async fn search_customer(
        &self,
        operation: OperationId,
        organization: OrganizationId,
    ) -> Result<Option<CustomerId>, Unknown> {
        let query = format!(
            "metadata['{OPERATION_ID}']:'{operation}' AND metadata['{ORGANIZATION_ID}']:'{organization}'"
        );
        let page: ListOf<MarkedObject> = SearchCustomer::new(query)
            .build()
            .customize()
            .send(&self.transport)
            .await
            .map_err(Unknown::from)?;
        Ok(page.data.first().map(|found| CustomerId::new(&*found.id)))
    }
}

pub(super) fn too_many_pages() -> Unknown {
    let message = format!("A list in Stripe has more than {PAGES_MAX} pages.");
    Unknown::new(UnknownKind::Unreadable, "list_too_long", message)
}
