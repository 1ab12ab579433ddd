//! A subscription's state, read from Stripe's JSON of it.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use stripe_client_core::{RequestBuilder, StripeMethod};
use url::form_urlencoded;
use uuid::Uuid;

use crate::{
    domain::{
        ids::{CustomerId, OrganizationId, SubscriptionId},
        subscription::{CollectionPause, PauseBehavior, Subscription},
        terms::SubscriptionStatus,
    },
    stripe::{
        Answer, Budget, PAGE_SIZE, ReadError, Stripe,
        customers::ORGANIZATION_ID,
        unknown::{Unknown, UnknownKind},
    },
};

#[derive(Deserialize)]
struct SubscriptionJson {
    id: String,
    customer: CustomerJson,
    status: String,
    #[serde(default)]
    metadata: std::collections::BTreeMap<String, String>,
    trial_end: Option<i64>,
    start_date: i64,
    #[serde(default)]
    items: ItemsJson,
    cancel_at: Option<i64>,
    #[serde(default)]
    cancel_at_period_end: bool,
    ended_at: Option<i64>,
    pause_collection: Option<PauseJson>,
}

#[derive(Deserialize)]
struct PauseJson {
    behavior: String,
    resumes_at: Option<i64>,
}

/// The id, or the object where it was asked to be expanded.
#[derive(Deserialize)]
#[serde(untagged)]
enum CustomerJson {
    Id(String),
    Expanded {
        id: String,
        #[serde(default)]
        deleted: bool,
    },
}

#[derive(Deserialize, Default)]
struct ItemsJson {
    data: Vec<ItemJson>,
}

/// Periods are the items': all of ours have one.
#[derive(Deserialize)]
struct ItemJson {
    current_period_start: Option<i64>,
    current_period_end: Option<i64>,
}

/// A page of all subscriptions.
#[derive(Debug)]
pub(crate) struct SubscriptionPage {
    pub(crate) subscriptions: Vec<Subscription>,
    /// Those that could not be read: no reason to look at none.
    pub(crate) unreadable: Vec<Unknown>,
    /// Behind which the next page begins; none after the last.
    pub(crate) next: Option<SubscriptionId>,
}

/// What we read of a customer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Customer {
    /// Without one Stripe refuses a subscription whose invoices are sent.
    pub(crate) has_email: bool,
}

impl Stripe {
    /// A subscription as it is now; `None` where Stripe has none of this id.
    ///
    /// # Errors
    /// Stripe did not say, or what it said cannot be read.
    pub(crate) async fn subscription(
        &self,
        id: &SubscriptionId,
    ) -> Result<Option<Subscription>, Unknown> {
        // With its customer, who may be deleted.
        let request = get(&format!("/subscriptions/{id}"), &[("expand[]", "customer")]);
        match self
            .transport
            .send(&request, None, Budget::for_reads())
            .await?
        {
            Answer::Done(reply) => read_subscription(&read_json(&reply.body)?).map(Some),
            Answer::Refused { refusal, .. } if refusal.is_resource_missing() => Ok(None),
            Answer::Refused { refusal, .. } => Err(ReadError::Refused(refusal).into()),
        }
    }

    /// A page of all subscriptions, ended ones included, behind the last of the page before.
    ///
    /// # Errors
    /// Stripe did not say.
    pub(crate) async fn subscriptions(
        &self,
        after: Option<&SubscriptionId>,
    ) -> Result<SubscriptionPage, Unknown> {
        let limit = PAGE_SIZE.to_string();
        let mut query = vec![
            ("status", "all"),
            ("limit", &*limit),
            ("expand[]", "data.customer"),
        ];
        query.extend(after.map(|id| ("starting_after", id.as_str())));
        let page = read_json(&self.ask(&get("/subscriptions", &query)).await?.body)?;
        let data = page.get("data").and_then(Value::as_array);
        let data = data.ok_or_else(|| unreadable("Stripe's list has no data.".to_owned()))?;
        let mut subscriptions = Vec::new();
        let mut unreadable = Vec::new();
        for value in data {
            match read_subscription(value) {
                Ok(subscription) => subscriptions.push(subscription),
                Err(error) => unreadable.push(error),
            }
        }
        let has_more = page.get("has_more").and_then(Value::as_bool) == Some(true);
        let last = data.last().filter(|_| has_more);
        let last = last.and_then(|last| last.get("id")?.as_str());
        Ok(SubscriptionPage {
            subscriptions,
            unreadable,
            next: last.map(SubscriptionId::new),
        })
    }

    /// A customer as it is now; `None` where it was deleted. One that Stripe never had is an error.
    ///
    /// # Errors
    /// Stripe did not say.
    pub(crate) async fn customer(&self, id: &CustomerId) -> Result<Option<Customer>, Unknown> {
        let request = get(&format!("/customers/{id}"), &[]);
        match self
            .transport
            .send(&request, None, Budget::for_reads())
            .await?
        {
            Answer::Done(reply) => {
                let customer = read_json(&reply.body)?;
                let is_deleted = customer.get("deleted").and_then(Value::as_bool) == Some(true);
                let email = customer.get("email").and_then(Value::as_str);
                let has_email = email.is_some_and(|email| !email.is_empty());
                Ok((!is_deleted).then_some(Customer { has_email }))
            }
            Answer::Refused { refusal, .. } => Err(ReadError::Refused(refusal).into()),
        }
    }
}

pub(super) fn get(path: &str, query: &[(&str, &str)]) -> RequestBuilder {
    let text = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query)
        .finish();
    RequestBuilder {
        query: Some(text).filter(|text| !text.is_empty()),
        body: None,
        path: path.to_owned(),
        method: StripeMethod::Get,
    }
}

/// Reads an answer as JSON.
pub(super) fn read_json(body: &[u8]) -> Result<Value, Unknown> {
    serde_json::from_slice(body)
        .map_err(|error| unreadable(format!("Stripe's answer is not JSON: {error}.")))
}

/// Reads a subscription. The words and times are Stripe's own; none is guessed.
///
/// # Errors
/// A field that is needed is missing, or holds a word that is not known.
pub(crate) fn read_subscription(value: &Value) -> Result<Subscription, Unknown> {
    let SubscriptionJson {
        id,
        customer,
        status,
        metadata,
        trial_end,
        start_date,
        items,
        cancel_at,
        cancel_at_period_end,
        ended_at,
        pause_collection,
    } = SubscriptionJson::deserialize(value)
        .map_err(|error| unreadable(format!("Stripe's subscription cannot be read: {error}.")))?;
    let status = SubscriptionStatus::from_stripe(&status).ok_or_else(|| {
        unreadable(format!(
            "Stripe's subscription {id} has the unknown status '{status}'."
        ))
    })?;
    let (customer, customer_deleted) = match customer {
        CustomerJson::Id(id) => (id, false),
        CustomerJson::Expanded { id, deleted } => (id, deleted),
    };
    let current_period_start = items.data.iter().filter_map(|it| it.current_period_start);
    let current_period_start = times(current_period_start.min())?;
    let current_period_end = items.data.iter().filter_map(|it| it.current_period_end);
    let current_period_end = times(current_period_end.max())?;
    // Cancelling in Stripe's portal sets the one, the API's flag means the other.
    let cancel_at = match times(cancel_at)? {
        None if cancel_at_period_end => current_period_end,
        cancel_at => cancel_at,
    };
    let ended_at = times(ended_at)?;
    Ok(Subscription {
        id: SubscriptionId::new(id),
        customer_id: CustomerId::new(customer),
        organization_id: metadata
            .get(ORGANIZATION_ID)
            .and_then(|id| Uuid::try_parse(id).ok())
            .map(OrganizationId),
        status,
        trial_end: times(trial_end)?,
        start: time(start_date)?,
        current_period_start,
        current_period_end,
        cancel_at: cancel_at.filter(|_| ended_at.is_none()),
        ended_at,
        customer_deleted,
        collection_pause: pause_collection.map(pause).transpose()?,
    })
}

fn pause(pause: PauseJson) -> Result<CollectionPause, Unknown> {
    let PauseJson {
        behavior,
        resumes_at,
    } = pause;
    let behavior = PauseBehavior::read(&behavior).ok_or_else(|| {
        unreadable(format!(
            "Stripe paused the collection with the unknown behavior '{behavior}'."
        ))
    })?;
    Ok(CollectionPause {
        behavior,
        resumes_at: times(resumes_at)?,
    })
}

pub(super) fn times(seconds: Option<i64>) -> Result<Option<DateTime<Utc>>, Unknown> {
    seconds.map(time).transpose()
}

pub(super) fn time(seconds: i64) -> Result<DateTime<Utc>, Unknown> {
    DateTime::from_timestamp(seconds, 0)
        .ok_or_else(|| unreadable("Stripe answered a time outside of the calendar.".to_owned()))
}

pub(super) fn unreadable(message: String) -> Unknown {
    Unknown::new(UnknownKind::Unreadable, "unreadable_answer", message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn subscription() -> Value {
        json!({
            "id": "sub_1", "object": "subscription", "customer": "cus_1", "status": "trialing",
            "metadata": {"organization_id": "0b9ad4a2-54b2-4be7-9a36-d1c6d1b6a001"},
            "trial_end": 1_800_345_600, "start_date": 1_800_000_000,
            "cancel_at": null, "cancel_at_period_end": false, "ended_at": null,
            "items": {"data": [
                {"current_period_start": 1_800_000_000, "current_period_end": 1_800_345_600},
            ]},
        })
    }

    #[test]
    fn a_word_or_a_time_that_is_not_known_is_not_guessed() {
        for (field, wrong) in [
            ("status", json!("frozen")),
            ("start_date", json!(i64::MAX)),
            ("start_date", json!(null)),
            ("customer", json!(7)),
            ("pause_collection", json!({"behavior": "later"})),
        ] {
            let mut value = subscription();
            value[field] = wrong;
            assert!(read_subscription(&value).is_err(), "{field}");
        }
        let read = read_subscription(&subscription()).unwrap();
        assert_eq!(read.status, SubscriptionStatus::Trial);
        assert!(!read.customer_deleted && read.organization_id.is_some());
        assert_eq!(read.collection_pause, None);
    }

    #[test]
    fn paused_collection_is_read_with_its_end() {
        let mut value = subscription();
        value["pause_collection"] = json!({"behavior": "void", "resumes_at": 1_800_400_000});
        let pause = read_subscription(&value).unwrap().collection_pause.unwrap();
        assert_eq!(pause.behavior, PauseBehavior::Void);
        assert_eq!(pause.resumes_at.unwrap().timestamp(), 1_800_400_000);
    }

    #[test]
    fn both_ways_of_cancelling_later_tell_when_it_ends() {
        let mut value = subscription();
        value["cancel_at_period_end"] = json!(true);
        let at_period_end = read_subscription(&value).unwrap();
        assert_eq!(at_period_end.cancel_at, at_period_end.current_period_end);
        value["cancel_at"] = json!(1_900_000_000);
        let at = read_subscription(&value).unwrap().cancel_at.unwrap();
        assert_eq!(at.timestamp(), 1_900_000_000);
        value["ended_at"] = json!(1_850_000_000);
        assert_eq!(read_subscription(&value).unwrap().cancel_at, None);
    }

    #[test]
    fn a_customer_that_was_deleted_is_seen() {
        let mut value = subscription();
        value["customer"] = json!({"id": "cus_1", "object": "customer", "deleted": true});
        let read = read_subscription(&value).unwrap();
        assert!(read.customer_deleted);
        assert_eq!(read.customer_id.as_str(), "cus_1");
    }
}
