//! Customers in Stripe that may be an organization's own.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use stripe_client_core::StripeRequest;
use stripe_core::customer::{ListCustomer, SearchCustomer};

use crate::{
    domain::{
        ids::{CustomerId, OrganizationId},
        preview::SimilarCustomer,
    },
    stripe::{
        Stripe, customers::ORGANIZATION_ID, objects::ListOf, subscription_state::time,
        unknown::Unknown,
    },
};

/// How many are shown: a person chooses among them.
const SIMILAR_MAX: i64 = 10;

#[derive(Debug, miniserde::Deserialize)]
struct FoundCustomer {
    id: String,
    name: Option<String>,
    email: Option<String>,
    /// Unix seconds.
    created: i64,
    metadata: Option<BTreeMap<String, String>>,
}

impl Stripe {
    /// Customers with this e-mail address or with this organization in their metadata; the latter by
    /// Stripe's search, which lags behind: for a person to look at, never to decide by.
    ///
    /// # Errors
    /// Stripe did not say.
    pub(crate) async fn similar_customers(
        &self,
        email: &str,
        organization: OrganizationId,
    ) -> Result<Vec<SimilarCustomer>, Unknown> {
        let query = format!("metadata['{ORGANIZATION_ID}']:'{organization}'");
        let of_organization: ListOf<FoundCustomer> = SearchCustomer::new(query)
            .limit(SIMILAR_MAX)
            .build()
            .customize()
            .send(&self.transport)
            .await
            .map_err(Unknown::from)?;
        let of_address: ListOf<FoundCustomer> = ListCustomer::new()
            .email(email)
            .limit(SIMILAR_MAX)
            .build()
            .customize()
            .send(&self.transport)
            .await
            .map_err(Unknown::from)?;
        let mut similar: Vec<SimilarCustomer> = Vec::new();
        for found in of_organization.data.into_iter().chain(of_address.data) {
            let found = read(found)?;
            let is_room = i64::try_from(similar.len()).is_ok_and(|count| count < SIMILAR_MAX);
            if is_room && similar.iter().all(|known| known.id != found.id) {
                similar.push(found);
            }
        }
        Ok(similar)
    }
}

fn read(found: FoundCustomer) -> Result<SimilarCustomer, Unknown> {
    let FoundCustomer {
        id,
        name,
        email,
        created,
        metadata,
    } = found;
    let created_at: DateTime<Utc> = time(created)?;
    let organization_id = metadata.and_then(|mut it| it.remove(ORGANIZATION_ID));
    Ok(SimilarCustomer {
        id: CustomerId::new(id),
        name: name.unwrap_or_default(),
        email: email.unwrap_or_default(),
        created_at,
        organization_id: organization_id.unwrap_or_default(),
        subscription: None,
    })
}
