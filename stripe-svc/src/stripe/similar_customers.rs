//! Customers in Stripe that may be an organization's own.

use std::collections::{BTreeMap, HashSet};

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
const SIMILAR_MAX: usize = 10;
/// How many Stripe is asked for in each way.
const PAGE: i64 = 10;

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
    /// Customers with this organization in their metadata, and then those with this e-mail address. The
    /// search does not mind upper and lower case and lags behind; the list is of now and compares the
    /// letters as they are. For a person to look at, never to decide by.
    ///
    /// # Errors
    /// Stripe did not say.
    pub(crate) async fn similar_customers(
        &self,
        email: &str,
        organization: OrganizationId,
    ) -> Result<Vec<SimilarCustomer>, Unknown> {
        let address = quoted(email);
        let query = format!("metadata['{ORGANIZATION_ID}']:'{organization}' OR email:{address}");
        let searched: ListOf<FoundCustomer> = SearchCustomer::new(query)
            .limit(PAGE)
            .build()
            .customize()
            .send(&self.transport)
            .await
            .map_err(Unknown::from)?;
        let listed: ListOf<FoundCustomer> = ListCustomer::new()
            .email(email)
            .limit(PAGE)
            .build()
            .customize()
            .send(&self.transport)
            .await
            .map_err(Unknown::from)?;
        let found = searched.data.into_iter().chain(listed.data);
        let mut similar = found.map(read).collect::<Result<Vec<_>, _>>()?;
        let organization = organization.to_string();
        similar.sort_by_key(|it| it.organization_id != organization);
        let mut seen = HashSet::new();
        similar.retain(|it| seen.insert(it.id.clone()));
        similar.truncate(SIMILAR_MAX);
        Ok(similar)
    }
}

/// A text in Stripe's search language.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
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

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_quote_in_an_address_does_not_end_the_text() {
        assert_eq!(quoted("o'neil@x.example"), r"'o\'neil@x.example'");
        assert_eq!(quoted(r"a\' OR name~'b"), r"'a\\\' OR name~\'b'");
    }
}
