//! Meters and their summaries.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use stripe_billing::{
    BillingMeterStatus,
    billing_meter::ListBillingMeter,
    billing_meter_event_summary::{
        ListIdBillingMeterEventSummary, ListIdBillingMeterEventSummaryValueGroupingWindow,
    },
};
use stripe_client_core::StripeRequest;

use crate::{
    domain::{
        ids::{CustomerId, MeterId},
        usage_days::UsageDays,
    },
    stripe::{
        PAGE_SIZE, PAGES_MAX, Stripe,
        customers::too_many_pages,
        objects::ListOf,
        transport::ReadError,
        unknown::{Unknown, UnknownKind},
    },
};

#[derive(Debug, miniserde::Deserialize)]
struct NamedMeter {
    id: String,
    event_name: String,
}

#[derive(Debug, miniserde::Deserialize)]
struct Summary {
    id: String,
    aggregated_value: miniserde::json::Number,
    /// Unix seconds.
    start_time: i64,
}

impl Summary {
    fn value(&self) -> Result<Decimal, Unknown> {
        let text = self.aggregated_value.to_string();
        let value = Decimal::from_str(&text).or_else(|_| Decimal::from_scientific(&text));
        value.map_err(|_| {
            let message = format!("A meter's summary has '{text}', which is not a number.");
            Unknown::new(UnknownKind::Unreadable, "unreadable_answer", message)
        })
    }

    fn start(&self) -> Result<DateTime<Utc>, Unknown> {
        DateTime::from_timestamp(self.start_time, 0).ok_or_else(|| {
            let message = "A meter's summary begins at a time that does not exist.";
            Unknown::new(UnknownKind::Unreadable, "unreadable_answer", message)
        })
    }
}

impl Stripe {
    /// The active meter of an event name; believed for a minute.
    ///
    /// # Errors
    /// Stripe did not say, or has no such meter.
    pub(crate) async fn meter(&self, event_name: &str) -> Result<MeterId, Unknown> {
        if let Some(known) = self.meters.get(event_name) {
            return Ok(known);
        }
        let mut list = ListBillingMeter::new()
            .status(BillingMeterStatus::Active)
            .limit(PAGE_SIZE);
        for _ in 0..PAGES_MAX {
            let page: ListOf<NamedMeter> = list
                .build()
                .customize()
                .send(&self.transport)
                .await
                .map_err(Unknown::from)?;
            if let Some(found) = page.data.iter().find(|it| it.event_name == event_name) {
                let id = MeterId::new(&*found.id);
                self.meters.put(event_name, id.clone());
                return Ok(id);
            }
            match page.data.last().filter(|_| page.has_more == Some(true)) {
                Some(last) => list = list.starting_after(&*last.id),
                None => return Err(no_meter(event_name)),
            }
        }
        Err(too_many_pages())
    }

    /// What a meter has counted for a customer from `start` to `end`, whole minutes both; `None`
    /// where it has counted nothing.
    ///
    /// # Errors
    /// Stripe did not say, or refuses to speak of this customer.
    pub(crate) async fn metered(
        &self,
        meter: &MeterId,
        customer: &CustomerId,
        start: DateTime<Utc>,
        end: DateTime<Utc>,
    ) -> Result<Option<Decimal>, ReadError> {
        let list = ListIdBillingMeterEventSummary::new(
            meter.as_str(),
            customer.as_str(),
            end.timestamp(),
            start.timestamp(),
        );
        let page: ListOf<Summary> = list.build().customize().send(&self.transport).await?;
        let counted = page.data.first().map(Summary::value).transpose();
        Ok(counted?)
    }

    /// What a meter has counted for a customer, by UTC day: the days of which it counts anything, in
    /// order.
    ///
    /// # Errors
    /// Stripe did not say, or refuses to speak of this customer.
    pub(crate) async fn metered_by_day(
        &self,
        meter: &MeterId,
        customer: &CustomerId,
        days: UsageDays,
    ) -> Result<Vec<(DateTime<Utc>, Decimal)>, ReadError> {
        let mut list = ListIdBillingMeterEventSummary::new(
            meter.as_str(),
            customer.as_str(),
            days.end.timestamp(),
            days.start.timestamp(),
        )
        .value_grouping_window(ListIdBillingMeterEventSummaryValueGroupingWindow::Day)
        .limit(PAGE_SIZE);
        let mut counted = Vec::new();
        for _ in 0..PAGES_MAX {
            let page: ListOf<Summary> = list.build().customize().send(&self.transport).await?;
            for summary in &page.data {
                counted.push((summary.start()?, summary.value()?));
            }
            match page.data.last().filter(|_| page.has_more == Some(true)) {
                Some(last) => list = list.starting_after(&*last.id),
                None => {
                    counted.sort();
                    return Ok(counted);
                }
            }
        }
        Err(too_many_pages().into())
    }
}

fn no_meter(event_name: &str) -> Unknown {
    let message = format!(
        "Stripe has no active meter for the event name '{event_name}'. Run `stripe-svc catalog apply` with the catalog that stripe-svc runs with."
    );
    Unknown::new(UnknownKind::Ours, "no_meter", message)
}
