//! Finding subscriptions: lists and search.

use serde_json::Value;

use crate::choice::{Choice as _, choices};
use crate::customers;
use crate::errors::Refusal;
use crate::fields::MAX_TEXT;
use crate::metadata::Metadata;
use crate::page::{self, PageRequest};
use crate::search::{self, Searchable, Subject};
use crate::subscriptions::{CollectionMethod, Status, Subscription};
use crate::world::{Answer, Call, World};

choices! {
    StatusFilter {
        All = "all",
        Ended = "ended",
        Active = "active",
        Canceled = "canceled",
        Incomplete = "incomplete",
        IncompleteExpired = "incomplete_expired",
        PastDue = "past_due",
        Paused = "paused",
        Trialing = "trialing",
        Unpaid = "unpaid",
    }
}

/// Without a filter a list leaves out what is canceled.
fn has_status(filter: Option<StatusFilter>, status: Status) -> bool {
    match filter {
        None => status != Status::Canceled,
        Some(StatusFilter::All) => true,
        Some(StatusFilter::Ended) => status.is_final(),
        Some(StatusFilter::Active) => status == Status::Active,
        Some(StatusFilter::Canceled) => status == Status::Canceled,
        Some(StatusFilter::Incomplete) => status == Status::Incomplete,
        Some(StatusFilter::IncompleteExpired) => status == Status::IncompleteExpired,
        Some(StatusFilter::PastDue) => status == Status::PastDue,
        Some(StatusFilter::Paused) => status == Status::Paused,
        Some(StatusFilter::Trialing) => status == Status::Trialing,
        Some(StatusFilter::Unpaid) => status == Status::Unpaid,
    }
}

pub(crate) fn list(mut call: Call<'_>) -> Answer {
    let fields = &mut call.fields;
    let page = PageRequest::read(fields);
    let customer = fields.text("customer", MAX_TEXT);
    let test_clock = fields.text("test_clock", MAX_TEXT);
    let status: Option<StatusFilter> = fields.choice("status");
    let price = fields.text("price", MAX_TEXT);
    let method: Option<CollectionMethod> = fields.choice("collection_method");
    let created = fields.range("created");
    let period_start = fields.range("current_period_start");
    let period_end = fields.range("current_period_end");
    fields.finish()?;
    let world = &*call.world;
    if let Some(price) = &price
        && world.prices.get(price).is_none()
    {
        return Err(Refusal::no_such_in("price", "price", price));
    }
    let keep = |subscription: &Subscription| {
        let items = &subscription.items;
        // Those on a test clock are only shown to who asks for the clock or the customer.
        let clock_fits = match &test_clock {
            Some(_) => subscription.test_clock == test_clock,
            None => customer.is_some() || subscription.test_clock.is_none(),
        };
        clock_fits
            && has_status(status, subscription.status)
            && price
                .as_ref()
                .is_none_or(|price| items.iter().any(|item| item.price == *price))
            && method.is_none_or(|method| subscription.collection_method == method)
            && created.holds(subscription.created)
            && items
                .iter()
                .any(|item| period_start.holds(item.period_start))
            && items.iter().any(|item| period_end.holds(item.period_end))
    };
    let subscriptions = &world.subscriptions;
    let (data, has_more): (Vec<Value>, bool) = match &customer {
        None => {
            let (page, has_more) = page.of_store(subscriptions.store(), keep)?;
            (
                page.into_iter().map(|it| it.to_value(world)).collect(),
                has_more,
            )
        }
        Some(customer) => {
            customers::named_by(world, "customer", customer)?;
            let positions = subscriptions.of_customer(customer);
            let own: Vec<&Subscription> = positions
                .into_iter()
                .filter_map(|position| subscriptions.at(position))
                .collect();
            let place = |id: &str| own.iter().position(|subscription| subscription.id == id);
            let (page, has_more) = page.of_slice(&own, place, |it| keep(it))?;
            (
                page.into_iter().map(|it| it.to_value(world)).collect(),
                has_more,
            )
        }
    };
    Ok(page::list("/v1/subscriptions", data, has_more))
}

impl Searchable for Subscription {
    const PLURAL: &'static str = "subscriptions";

    fn subject(&self, name: &str) -> Subject<'_> {
        match name {
            "status" => Subject::Text(Some(self.status.word())),
            "created" => Subject::Number(self.created),
            "canceled_at" => Subject::Number(self.canceled_at.unwrap_or_default()),
            _ => Subject::Unsupported,
        }
    }

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn is_visible(&self, as_of: i64) -> bool {
        self.test_clock.is_some() || self.changed_at <= as_of
    }

    fn to_found(&self, world: &World) -> Value {
        self.to_value(world)
    }
}

pub(crate) fn search(call: Call<'_>) -> Answer {
    search::run(call, "/v1/subscriptions/search", |world| {
        world.subscriptions.store()
    })
}
