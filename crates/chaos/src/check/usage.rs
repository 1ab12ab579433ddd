//! Usage: what is to be billed against what Stripe counts.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::forged::is_forged;
use super::{Court, Harm, Life};
use crate::journal::{Change, ChangeAnswer, ReportAnswer, Told};
use crate::records::{LedgerEvent, Period, Records, StoredReport, day_of, organization_in};

/// What Stripe must count, by customer and UTC day.
type Due<'r> = BTreeMap<(&'r str, i64), &'r StoredReport>;

impl Court {
    /// For each UTC day of a subscription that goes on Stripe counts the greatest `reported_at` since
    /// its start; and nothing where nothing is to be billed.
    ///
    /// Of a subscription that has ended is not judged what was not sent any more, nor of a day whose
    /// last report came after its final invoice: only that nothing counts from before the link.
    pub(super) fn usage(&mut self, records: &Records) {
        let lives = Life::of_all(records);
        let mut due = due(records, &lives);
        let missed: BTreeSet<_> = due
            .extract_if(.., |_, report| is_missed(records, report))
            .map(|(key, _)| key)
            .collect();
        let mut counted: BTreeMap<(&str, i64), &LedgerEvent> = BTreeMap::new();
        for event in &records.ledger.meter_events {
            let day = counted.entry((&event.customer, day_of(event.timestamp)));
            let last = day.or_insert(event);
            if event.received_order > last.received_order {
                *last = event;
            }
        }
        for (key, report) in &due {
            match counted.get(key) {
                None => self.find(Harm::Lost, format!("{key:?}: {report:?} is not billed")),
                Some(event)
                    if event.timestamp != report.at
                        || event.value != report.user_count.to_string() =>
                {
                    self.wrong(format!("{key:?}: {event:?} counts, {report:?} should"));
                }
                Some(_) => {}
            }
        }
        for (key, event) in &counted {
            let was_billable = lives.values().any(|life| {
                let ended = life.subscriptions.iter().filter(|it| !it.is_living());
                ended
                    .filter(|it| it.customer == event.customer)
                    .any(|it| it.start_date <= event.timestamp)
            });
            if !due.contains_key(key) && !missed.contains(key) && !was_billable {
                self.wrong(format!("{key:?}: nothing is to be billed, {event:?} is"));
            }
        }
        self.summaries(records, &lives, &due, &missed);
        self.invoices(records);
    }

    /// What was acknowledged before an admin asked to end a subscription at once is billed by the time
    /// that it has: nothing of it comes after its last invoice.
    pub(super) fn drained(&mut self, records: &Records) {
        let mut acknowledged: BTreeMap<Uuid, BTreeSet<i64>> = BTreeMap::new();
        let mut asked: BTreeMap<Uuid, BTreeSet<i64>> = BTreeMap::new();
        let mut ended: BTreeSet<&str> = BTreeSet::new();
        for told in &records.told {
            match told {
                Told::Report {
                    sent,
                    answer: ReportAnswer::Recorded { .. },
                } => {
                    let of = acknowledged.entry(sent.organization).or_default();
                    of.insert(sent.at);
                }
                // Of several requests for one subscription the first counts.
                Told::AskedToEnd { organization } => {
                    let before = acknowledged.get(organization).cloned();
                    asked
                        .entry(*organization)
                        .or_insert_with(|| before.unwrap_or_default());
                }
                Told::Change {
                    organization,
                    change: Change::CancelNow,
                    answer: ChangeAnswer::Done { subscription },
                } => {
                    let before = asked.remove(organization).unwrap_or_default();
                    // Who asks again is told of the same end.
                    if ended.insert(subscription) {
                        self.drained_of(records, *organization, subscription, &before);
                    }
                }
                Told::Report { .. }
                | Told::Forged { .. }
                | Told::Link { .. }
                | Told::Unlink { .. }
                | Told::Change { .. }
                | Told::Fault { .. } => {}
            }
        }
    }

    fn drained_of(
        &mut self,
        records: &Records,
        organization: Uuid,
        subscription: &str,
        before: &BTreeSet<i64>,
    ) {
        let mut subscriptions = records.ledger.subscriptions.iter();
        let Some(ended) = subscriptions.find(|it| it.id == subscription) else {
            return;
        };
        let end = ended.ended_at.unwrap_or(i64::MAX);
        for report in &records.reports {
            let is_of_it = |it: &&StoredReport| {
                it.organization_id == organization && (ended.start_date..end).contains(&it.at)
            };
            if !is_of_it(&report) || is_forged(report) || !before.contains(&report.at) {
                continue;
            }
            let day = records.reports.iter().filter(is_of_it);
            let day = day.filter(|it| !is_forged(it));
            let day = day.filter(|it| day_of(it.at) == day_of(report.at));
            // It had given way to a later one of its day, which is told as missed. That one need not be
            // the day's last: what comes after the unlinking is nobody's any more, and replaces nothing.
            let mut later = day.clone().filter(|it| it.at >= report.at);
            if later.any(|it| is_missed(records, it)) {
                continue;
            }
            let last = day.max_by_key(|it| it.at).unwrap_or(report);
            let counts = records.ledger.meter_events.iter().any(|event| {
                event.customer == ended.customer
                    && day_of(event.timestamp) == day_of(report.at)
                    && event.timestamp >= report.at
            });
            if !counts {
                self.find(
                    Harm::Lost,
                    format!(
                        "{report:?} was there before {subscription} was to end, and is not billed; of its day the last is {last:?}"
                    ),
                );
            }
        }
    }

    /// The meter's own sums are those that follow from the reports.
    fn summaries(
        &mut self,
        records: &Records,
        lives: &BTreeMap<Uuid, Life<'_>>,
        due: &Due<'_>,
        missed: &BTreeSet<(&str, i64)>,
    ) {
        for (customer, days) in &records.summaries {
            let has_ended = lives.values().any(|life| {
                life.has_ended() && life.subscriptions.iter().any(|it| it.customer == *customer)
            });
            let expected: BTreeMap<i64, String> = due
                .iter()
                .filter(|((of, _), _)| of == customer)
                .map(|((_, day), report)| (*day, report.user_count.to_string()))
                .collect();
            let judged: BTreeMap<i64, String> = days
                .iter()
                .filter(|(day, _)| {
                    let is_open = has_ended || missed.contains(&(customer.as_str(), **day));
                    !is_open || expected.contains_key(day)
                })
                .map(|(day, value)| (*day, value.clone()))
                .collect();
            if judged != expected {
                self.wrong(format!(
                    "{customer}: the meter counts {days:?}, the reports are {expected:?}"
                ));
            }
        }
    }

    /// No time of a customer is on two lines of invoices.
    fn invoices(&mut self, records: &Records) {
        let mut lines: BTreeMap<&str, Vec<(Period, &str)>> = BTreeMap::new();
        for invoice in &records.ledger.invoices {
            if invoice.status == "void" {
                continue;
            }
            let periods = invoice.lines.data.iter().map(|line| line.period);
            let of = lines.entry(&invoice.customer).or_default();
            of.extend(periods.map(|period| (period, invoice.id.as_str())));
        }
        for (customer, mut lines) in lines {
            lines.sort_unstable();
            let followed = lines.iter().zip(lines.iter().skip(1));
            for ((period, invoice), (next, other)) in followed {
                if next.start < period.end {
                    self.find(
                        Harm::Doubled,
                        format!(
                            "{customer}: {period:?} on {invoice} and {next:?} on {other} overlap"
                        ),
                    );
                }
            }
        }
    }

    /// What is `sent` is in Stripe, as that event; and what is in Stripe is `sent`.
    pub(super) fn identifiers(&mut self, records: &Records) {
        let mut sent: BTreeMap<&str, &StoredReport> = BTreeMap::new();
        for report in &records.reports {
            if let Some(identifier) = &report.stripe_meter_event_id
                && let Some(other) = sent.insert(identifier, report)
            {
                self.find(
                    Harm::Doubled,
                    format!("{report:?} and {other:?} are one event"),
                );
            }
        }
        let mut moments = BTreeSet::new();
        let mut events = BTreeMap::new();
        for event in &records.ledger.meter_events {
            if !moments.insert((&event.customer, event.timestamp)) {
                self.find(Harm::Doubled, format!("Stripe has it twice: {event:?}"));
            }
            events.insert(event.identifier.as_str(), event);
            if !sent.contains_key(event.identifier.as_str()) {
                self.wrong(format!("no report is sent as {event:?}"));
            }
        }
        for (identifier, report) in sent {
            match events.get(identifier) {
                None => self.find(Harm::Lost, format!("Stripe has no event of {report:?}")),
                Some(event)
                    if event.timestamp != report.at
                        || event.value != report.user_count.to_string() =>
                {
                    self.wrong(format!("{report:?} is {event:?} in Stripe"));
                }
                Some(_) => {}
            }
        }
    }
}

/// Whether a report came after the invoice of its time, which Stripe does not open again.
pub(super) fn is_missed(records: &Records, report: &StoredReport) -> bool {
    report.delivery_state == "missed_invoice" && is_invoiced(records, report)
}

/// Whether an invoice that is final has this report's time, or a later one.
fn is_invoiced(records: &Records, report: &StoredReport) -> bool {
    let customers = records.ledger.customers.iter();
    let mut customers =
        customers.filter(|it| organization_in(&it.metadata) == Some(report.organization_id));
    customers.any(|customer| {
        let invoices = records.ledger.invoices.iter();
        let mut lines = invoices
            .filter(|it| it.customer == customer.id && it.status != "draft")
            .flat_map(|it| &it.lines.data);
        lines.any(|line| line.period.end > report.at)
    })
}

/// Of each customer whose subscription goes on: the last report of each UTC day since its start.
fn due<'r>(records: &'r Records, lives: &BTreeMap<Uuid, Life<'r>>) -> Due<'r> {
    let mut due: Due<'r> = BTreeMap::new();
    for report in records.reports.iter().filter(|report| !is_forged(report)) {
        let living = lives.get(&report.organization_id);
        let Some(living) = living.and_then(|life| life.living) else {
            continue;
        };
        if report.at < living.start_date {
            continue;
        }
        let day = due.entry((&living.customer, day_of(report.at)));
        let latest = day.or_insert(report);
        if report.at > latest.at {
            *latest = report;
        }
    }
    due
}
