//! One customer on a test clock of its own, made as the service makes it.

use anyhow::{Context as _, bail};
use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde_json::Value;
use stripe_svc::conformance::{Event, EventSaid, Link, Request, Said, State};

use crate::account::{Account, id_of};

/// Invoices of a page: a scene has a handful.
const INVOICES_MAX: &str = "100";
/// A period of the check's prices.
const WEEK: TimeDelta = TimeDelta::weeks(1);
/// Invoices are final an hour after their period, unless the account waits longer.
const UNTIL_FINAL: TimeDelta = TimeDelta::hours(2);

pub(crate) struct Scene<'a> {
    pub(crate) account: &'a Account,
    pub(crate) link: Link,
    pub(crate) customer: String,
    clock: String,
    begins_at: DateTime<Utc>,
}

impl<'a> Scene<'a> {
    pub(crate) async fn begin(account: &'a Account, name: &str) -> anyhow::Result<Self> {
        let begins_at = account.beginning();
        let frozen_time = begins_at.timestamp().to_string();
        let clock_name = format!("{name} {}", account.run());
        let form = [("frozen_time", &*frozen_time), ("name", &clock_name)];
        let clock = account.post("/v1/test_helpers/test_clocks", &form).await?;
        let clock = id_of(&clock.done()?)?;
        account.made_test_clock(&clock);
        let link = account.link(name);
        let request = account.ours.customer(&link).with("test_clock", &clock);
        let request = request.with("metadata[conformance_run]", account.run());
        let customer = id_of(&done(account, &request).await?)?;
        Ok(Self {
            account,
            link,
            customer,
            clock,
            begins_at,
        })
    }

    /// So many days after the clock's beginning, and hours.
    pub(crate) fn at(&self, days: i64, hours: i64) -> DateTime<Utc> {
        self.begins_at + TimeDelta::days(days) + TimeDelta::hours(hours)
    }

    /// Subscribes at the first price, as the service does.
    pub(crate) async fn subscribe(&self, trial_days: i32) -> anyhow::Result<String> {
        let (ours, price) = (&self.account.ours, &self.account.first_price);
        let request = ours.subscription(&self.link, trial_days, &self.customer, price);
        let made = done(self.account, &request).await?;
        ours.reads_subscription(&made).map_err(anyhow::Error::msg)?;
        id_of(&made)
    }

    /// Sends a request of the service's; it must be done.
    pub(crate) async fn done(&self, request: &Request) -> anyhow::Result<Value> {
        done(self.account, request).await
    }

    /// Moves the clock and waits until everything on the way has happened.
    pub(crate) async fn advance(&self, to: DateTime<Utc>) -> anyhow::Result<()> {
        let path = format!("/v1/test_helpers/test_clocks/{}", self.clock);
        let to = to.timestamp();
        let form = [("frozen_time", &*to.to_string())];
        let advance = format!("{path}/advance");
        self.account.post(&advance, &form).await?.done()?;
        self.account
            .eventually("the test clock to be ready", async || {
                let clock = self.account.get(&path, &[]).await?.done()?;
                let status = clock.get("status").and_then(Value::as_str);
                let frozen_time = clock.get("frozen_time").and_then(Value::as_i64);
                anyhow::ensure!(status != Some("internal_failure"), "the test clock failed");
                let is_there = status == Some("ready") && frozen_time == Some(to);
                Ok(if is_there {
                    Ok(())
                } else {
                    Err(clock.to_string())
                })
            })
            .await
    }

    /// Past the end of so many weekly periods and of their invoices' grace.
    pub(crate) async fn advance_past_week(&self, from_day: i64) -> anyhow::Result<()> {
        let end = self.at(from_day, 0) + WEEK;
        self.advance(end + UNTIL_FINAL).await
    }

    /// Reports seats as the service does; Stripe must take it.
    pub(crate) async fn report(&self, at: DateTime<Utc>, seats: i64) -> anyhow::Result<()> {
        let identifier = self.account.fresh();
        match self
            .account
            .send_seats(&self.customer, &identifier, at, seats)
            .await?
        {
            EventSaid::Accepted => Ok(()),
            said @ (EventSaid::Refused(_) | EventSaid::Retry(_)) => {
                bail!("expected the event of {at} to be accepted, got {said:?}")
            }
        }
    }

    /// Waits until the meter counts so many seat-days in all.
    pub(crate) async fn counted(&self, seat_days: i64) -> anyhow::Result<()> {
        let start = self
            .at(0, 0)
            .date_naive()
            .and_time(NaiveTime::MIN)
            .and_utc();
        let end = start + Days::new(40);
        let expected = format!("{seat_days} seat-days in the meter");
        self.account
            .eventually(&expected, async || {
                let days = self.account.ours.days(&self.customer, start, end).await;
                let days = days.map_err(anyhow::Error::msg)?;
                let total: Decimal = days.values().sum();
                Ok(if total == Decimal::from(seat_days) {
                    Ok(())
                } else {
                    Err(format!("{days:?}"))
                })
            })
            .await
    }

    /// A subscription as the service reads it.
    pub(crate) async fn state(&self, subscription: &str) -> anyhow::Result<State> {
        let state = self.account.ours.state(subscription).await;
        let state = state.map_err(anyhow::Error::msg)?;
        state.with_context(|| format!("expected {subscription} to be there, got none"))
    }

    /// Waits until a subscription stands so.
    pub(crate) async fn stands(&self, subscription: &str, status: &str) -> anyhow::Result<State> {
        let expected = format!("the status {status}");
        self.account
            .eventually(&expected, async || {
                let state = self.state(subscription).await?;
                Ok(if state.status == status {
                    Ok(state)
                } else {
                    Err(state.status.to_owned())
                })
            })
            .await
    }

    /// Waits until all invoices of a subscription are final and ask for so many cents in all.
    pub(crate) async fn billed(&self, subscription: &str, cents: i64) -> anyhow::Result<()> {
        let expected = format!("final invoices of {cents} cents");
        self.account
            .eventually(&expected, async || {
                let invoices = self.invoices(subscription).await?;
                let told: Vec<(String, i64)> = invoices
                    .iter()
                    .map(|invoice| {
                        let status = invoice.get("status").and_then(Value::as_str);
                        let total = invoice.get("total").and_then(Value::as_i64);
                        (
                            status.unwrap_or_default().to_owned(),
                            total.unwrap_or_default(),
                        )
                    })
                    .collect();
                let is_final = told.iter().all(|(status, _)| status != "draft");
                let total: i64 = told.iter().map(|(_, total)| total).sum();
                Ok(if is_final && total == cents {
                    Ok(())
                } else {
                    Err(format!("{told:?}"))
                })
            })
            .await
    }

    pub(crate) async fn invoices(&self, subscription: &str) -> anyhow::Result<Vec<Value>> {
        let query = [("subscription", subscription), ("limit", INVOICES_MAX)];
        let list = self.account.get("/v1/invoices", &query).await?.done()?;
        let data = list.get("data").and_then(Value::as_array);
        Ok(data.context("expected a list of invoices")?.clone())
    }
}

impl Account {
    /// Sends a meter event as the service does.
    pub(crate) async fn send_seats(
        &self,
        customer: &str,
        identifier: &str,
        at: DateTime<Utc>,
        seats: i64,
    ) -> anyhow::Result<EventSaid> {
        let event = Event {
            event_name: self.ours.event_name().to_owned(),
            identifier: identifier.to_owned(),
            customer: customer.to_owned(),
            seats,
            at,
        };
        let said = self.ours.meter_event(&event, &self.fresh()).await;
        said.map_err(anyhow::Error::msg)
    }

    /// A customer on no test clock: it lives now.
    pub(crate) async fn customer_of(&self, link: &Link) -> anyhow::Result<String> {
        let request = self.ours.customer(link);
        let request = request.with("metadata[conformance_run]", self.run());
        let customer = id_of(&done(self, &request).await?)?;
        self.made_customer(&customer);
        Ok(customer)
    }
}

async fn done(account: &Account, request: &Request) -> anyhow::Result<Value> {
    match account.ours.send(request, &account.fresh()).await {
        Said::Done(value) => Ok(value),
        said @ (Said::Refused(_) | Said::Unknown { .. }) => {
            bail!("expected it to be done, got {said:?}")
        }
    }
}
