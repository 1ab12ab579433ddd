//! Meter events: what is taken, what is refused, what counts.

use std::collections::BTreeMap;

use anyhow::bail;
use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use stripe_svc::conformance::{Event, EventSaid};

use crate::account::{Account, expect};
use crate::scene::Scene;

pub(crate) async fn an_identifier_counts_once(account: &Account) -> anyhow::Result<()> {
    let customer = account.customer_of(&account.link("identifier")).await?;
    let (identifier, at) = (account.fresh(), account.clock.now());
    let seconds = at.timestamp().to_string();
    let form = [
        ("event_name", account.ours.event_name()),
        ("identifier", &identifier),
        ("timestamp", &seconds),
        ("payload[stripe_customer_id]", &customer),
        ("payload[value]", "7"),
    ];
    let first = account.post("/v1/billing/meter_events", &form).await?;
    first.done()?;
    let again = account.post("/v1/billing/meter_events", &form).await?;
    expect("the status of the event again", 400, again.status)?;
    let (kind, message) = (again.text("/error/type"), again.text("/error/message"));
    expect("its type", "invalid_request_error", kind)?;
    let is_known = message.contains(&format!("already exists with identifier {identifier}"));
    anyhow::ensure!(
        is_known,
        "expected \"already exists with identifier …\", got \"{message}\""
    );
    let read = account.send_seats(&customer, &identifier, at, 7).await?;
    expect("our reading of that", EventSaid::Accepted, read)
}

pub(crate) async fn timestamps_have_bounds(account: &Account) -> anyhow::Result<()> {
    let customer = account.customer_of(&account.link("timestamps")).await?;
    let now = account.clock.now();
    for (what, at, expected) in [
        ("36 days ago", now - Days::new(36), "refused"),
        ("34 days ago", now - Days::new(34), "accepted"),
        ("4 minutes ahead", now + TimeDelta::minutes(4), "accepted"),
        ("10 minutes ahead", now + TimeDelta::minutes(10), "retry"),
    ] {
        let said = account
            .send_seats(&customer, &account.fresh(), at, 3)
            .await?;
        let word = match &said {
            EventSaid::Accepted => "accepted",
            EventSaid::Refused(_) => "refused",
            EventSaid::Retry(_) => "retry",
        };
        anyhow::ensure!(
            word == expected,
            "expected an event of {what} to be {expected}, got {said:?}"
        );
    }
    Ok(())
}

fn event(account: &Account, event_name: &str, customer: &str) -> Event {
    Event {
        event_name: event_name.to_owned(),
        identifier: account.fresh(),
        customer: customer.to_owned(),
        seats: 3,
        at: account.clock.now(),
    }
}

pub(crate) async fn an_unknown_meter_is_no_fault_of_the_event(
    account: &Account,
) -> anyhow::Result<()> {
    let customer = account.customer_of(&account.link("no-meter")).await?;
    let event = event(account, "vaultai_conformance_nothing", &customer);
    let said = account.ours.meter_event(&event, &account.fresh()).await;
    let said = said.map_err(anyhow::Error::msg)?;
    expect("our reading", EventSaid::Retry("no_meter".to_owned()), said)
}

pub(crate) async fn an_unknown_customer_is_a_final_no(account: &Account) -> anyhow::Result<()> {
    let event = event(account, account.ours.event_name(), "cus_conformance00");
    let said = account.ours.meter_event(&event, &account.fresh()).await;
    match said.map_err(anyhow::Error::msg)? {
        EventSaid::Refused(_) => Ok(()),
        said @ (EventSaid::Accepted | EventSaid::Retry(_)) => {
            bail!("expected a refusal, got {said:?}")
        }
    }
}

/// A day that is over, at its first moment, so many days ago.
fn day(account: &Account, days_ago: u64) -> DateTime<Utc> {
    let day = account.clock.now().date_naive() - Days::new(days_ago);
    day.and_time(NaiveTime::MIN).and_utc()
}

/// Sends seats of moments, one after the other, and waits until the meter counts so many a day.
async fn counts(
    account: &Account,
    name: &str,
    sent: &[(DateTime<Utc>, i64)],
    expected: &[(DateTime<Utc>, i64)],
) -> anyhow::Result<()> {
    let customer = account.customer_of(&account.link(name)).await?;
    for (at, seats) in sent {
        let said = account
            .send_seats(&customer, &account.fresh(), *at, *seats)
            .await?;
        expect("our reading", EventSaid::Accepted, said)?;
    }
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|(day, seats)| (*day, Decimal::from(*seats)))
        .collect();
    let (start, end) = (day(account, 20), day(account, 0) + Days::new(1));
    account
        .eventually(&format!("{expected:?}"), async || {
            let days = account.ours.days(&customer, start, end).await;
            let days = days.map_err(anyhow::Error::msg)?;
            Ok(if days == expected {
                Ok(())
            } else {
                Err(format!("{days:?}"))
            })
        })
        .await
}

pub(crate) async fn the_event_received_last_counts_for_its_day(
    account: &Account,
) -> anyhow::Result<()> {
    let day = day(account, 3);
    let sent = [
        (day + TimeDelta::hours(9), 5),
        // Received later, of an earlier moment.
        (day + TimeDelta::hours(3), 7),
        // The neighbours of midnight are other days.
        (day - TimeDelta::seconds(1), 11),
        (day + Days::new(1), 13),
    ];
    let expected = [(day - Days::new(1), 11), (day, 7), (day + Days::new(1), 13)];
    counts(account, "day-window", &sent, &expected).await
}

pub(crate) async fn a_resend_of_a_day_is_harmless(account: &Account) -> anyhow::Result<()> {
    let day = day(account, 2);
    let at = day + TimeDelta::hours(3);
    // As after 24 h: the same report, under an identifier that Stripe does not know.
    counts(account, "resend", &[(at, 9), (at, 9), (at, 9)], &[(day, 9)]).await
}

pub(crate) async fn summaries_tell_each_utc_day(account: &Account) -> anyhow::Result<()> {
    let (first, second) = (day(account, 9), day(account, 5));
    let sent = [
        (first + TimeDelta::hours(3), 4),
        (second + TimeDelta::hours(23), 6),
    ];
    counts(account, "summaries", &sent, &[(first, 4), (second, 6)]).await?;
    // And on a test clock, where billing is looked at.
    let scene = Scene::begin(account, "summaries-on-a-clock").await?;
    scene.advance(scene.at(2, 0)).await?;
    scene.report(scene.at(0, 1), 4).await?;
    scene.report(scene.at(1, 1), 6).await?;
    scene.counted(10).await
}
