//! The checkers: pure, and of one mind with nobody. What they hold against one another are three
//! records; what should be in them they work out from the rules of the product, again.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use uuid::Uuid;

use crate::journal::{LinkAnswer, ReportAnswer, SentReport, Told};
use crate::records::{LedgerEvent, LedgerSubscription, Records, StoredReport, day_of};

/// The metadata by which Stripe's objects name their organization.
const ORGANIZATION: &str = "organization_id";
/// Findings that are shown; all are counted.
pub(crate) const SHOWN_MAX: usize = 40;

/// What kind of harm it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Harm {
    /// What was acknowledged, or should have been billed, is not there.
    Lost,
    /// It is there more than once.
    Doubled,
    /// It is not as it should be.
    Wrong,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) harm: Harm,
    pub(crate) what: String,
}

/// What a run came to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verdict {
    pub(crate) seed: u64,
    pub(crate) faults: usize,
    pub(crate) reports: usize,
    pub(crate) links: usize,
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
    pub(crate) wrong: usize,
    pub(crate) findings: Vec<Finding>,
}

impl Verdict {
    pub(crate) fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// The last line of a run.
    pub(crate) fn line(&self) -> String {
        let Self {
            seed: _,
            faults,
            reports,
            links,
            lost,
            doubled,
            wrong,
            findings: _,
        } = self;
        format!(
            "faults {faults}, reports {reports}, links {links}, lost {lost}, doubled {doubled}, wrong {wrong}"
        )
    }
}

/// Judges a run.
pub(crate) fn judge(seed: u64, records: &Records) -> Verdict {
    let mut court = Court::default();
    court.acknowledgements(records);
    court.refusals(records);
    court.links(records);
    court.usage(records);
    court.identifiers(records);
    court.states(records);
    court.ends(records);
    let faults = records.told.iter().filter(|told| match told {
        Told::Fault { problem, .. } => problem.is_none(),
        Told::Report { .. } | Told::Link { .. } => false,
    });
    let count = |harm| court.findings.iter().filter(|it| it.harm == harm).count();
    Verdict {
        seed,
        faults: faults.count(),
        reports: acknowledged(records).len(),
        links: linked(records).len(),
        lost: count(Harm::Lost),
        doubled: count(Harm::Doubled),
        wrong: count(Harm::Wrong),
        findings: court.findings,
    }
}

/// Each acknowledged report with the ids that it was acknowledged under.
fn acknowledged(records: &Records) -> BTreeMap<SentReport, BTreeSet<&str>> {
    let mut reports: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for told in &records.told {
        if let Told::Report {
            sent,
            answer: ReportAnswer::Recorded { report_id, .. },
        } = told
        {
            reports.entry(*sent).or_default().insert(report_id.as_str());
        }
    }
    reports
}

/// Each organization that an admin was told is linked, with the customers and subscriptions told.
fn linked(records: &Records) -> BTreeMap<Uuid, BTreeSet<(&str, &str)>> {
    let mut links: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for told in &records.told {
        if let Told::Link {
            organization,
            answer:
                LinkAnswer::Linked {
                    customer,
                    subscription,
                },
            ..
        } = told
        {
            links
                .entry(*organization)
                .or_default()
                .insert((customer.as_str(), subscription.as_str()));
        }
    }
    links
}

/// The subscriptions in Stripe by the organization that they name.
fn subscriptions(records: &Records) -> BTreeMap<Uuid, Vec<&LedgerSubscription>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for subscription in &records.ledger.subscriptions {
        if let Some(id) = named(&subscription.metadata) {
            found.entry(id).or_default().push(subscription);
        }
    }
    found
}

fn named(metadata: &BTreeMap<String, String>) -> Option<Uuid> {
    metadata.get(ORGANIZATION)?.parse().ok()
}

#[derive(Debug, Default)]
struct Court {
    findings: Vec<Finding>,
}

impl Court {
    fn find(&mut self, harm: Harm, what: String) {
        self.findings.push(Finding { harm, what });
    }

    fn wrong(&mut self, what: String) {
        self.find(Harm::Wrong, what);
    }

    /// What was acknowledged is stored once, with that content and under that id; and nothing else
    /// is stored.
    fn acknowledgements(&mut self, records: &Records) {
        let mut stored: BTreeMap<(Uuid, i64), Vec<&StoredReport>> = BTreeMap::new();
        for report in &records.reports {
            let key = (report.organization_id, report.at);
            stored.entry(key).or_default().push(report);
        }
        for ((organization, at), reports) in &stored {
            if reports.len() > 1 {
                let ids: Vec<_> = reports.iter().map(|report| report.id).collect();
                self.find(
                    Harm::Doubled,
                    format!("report {organization} {at} is stored as {ids:?}"),
                );
            }
        }
        for (sent, ids) in acknowledged(records) {
            let Some(reports) = stored.get(&(sent.organization, sent.at)) else {
                self.find(
                    Harm::Lost,
                    format!("{sent:?}, acknowledged as {ids:?}, is not stored"),
                );
                continue;
            };
            for report in reports {
                let is_told = ids.iter().all(|id| **id == report.id.to_string());
                if !is_told || report.user_count != sent.user_count {
                    self.wrong(format!(
                        "{sent:?}, acknowledged as {ids:?}, is stored as {report:?}"
                    ));
                }
            }
        }
        let sent: BTreeSet<_> = records.told.iter().filter_map(sent_report).collect();
        for report in &records.reports {
            let it = SentReport {
                organization: report.organization_id,
                at: report.at,
                user_count: report.user_count,
            };
            if !sent.contains(&it) {
                self.wrong(format!("nobody sent what is stored: {report:?}"));
            }
        }
    }

    /// No good report is refused: only one that has the timestamp of another.
    fn refusals(&mut self, records: &Records) {
        let mut counts: BTreeMap<(Uuid, i64), BTreeSet<i64>> = BTreeMap::new();
        for sent in records.told.iter().filter_map(sent_report) {
            let key = (sent.organization, sent.at);
            counts.entry(key).or_default().insert(sent.user_count);
        }
        for told in &records.told {
            if let Told::Report { sent, answer } = told {
                let rivals = counts.get(&(sent.organization, sent.at));
                let has_rival = rivals.is_some_and(|counts| counts.len() > 1);
                match answer {
                    ReportAnswer::Recorded { .. } => {}
                    ReportAnswer::Refused { status: 409, .. } if has_rival => {}
                    ReportAnswer::Refused { .. } | ReportAnswer::None { .. } => {
                        self.wrong(format!("{sent:?} was answered {answer:?}"));
                    }
                }
            }
        }
    }

    /// One customer and one subscription for each linked organization, the ones that were told and
    /// are stored; none for the others.
    fn links(&mut self, records: &Records) {
        let told = linked(records);
        let in_stripe = subscriptions(records);
        let mut customers: BTreeMap<Uuid, Vec<&str>> = BTreeMap::new();
        for customer in &records.ledger.customers {
            match named(&customer.metadata) {
                Some(id) => customers.entry(id).or_default().push(&customer.id),
                None => self.wrong(format!("{customer:?} names no organization")),
            }
        }
        for subscription in &records.ledger.subscriptions {
            if named(&subscription.metadata).is_none() {
                self.wrong(format!("{subscription:?} names no organization"));
            }
        }
        for organization in &records.organizations {
            let id = organization.id;
            let customers = customers.remove(&id).unwrap_or_default();
            let subscriptions = in_stripe.get(&id).map_or(&[][..], Vec::as_slice);
            let is_linked = organization.stripe_subscription_id.is_some();
            for (what, count) in [
                ("customers", customers.len()),
                ("subscriptions", subscriptions.len()),
            ] {
                match count {
                    0 if is_linked => self.find(Harm::Lost, format!("linked {id} has no {what}")),
                    0 | 1 => {}
                    _ => self.find(Harm::Doubled, format!("{id} has {count} {what} in Stripe")),
                }
            }
            if !is_linked && !subscriptions.is_empty() {
                self.wrong(format!("{organization:?} is billed as {subscriptions:?}"));
            }
            let stored = (
                organization
                    .stripe_customer_id
                    .as_deref()
                    .unwrap_or_default(),
                organization
                    .stripe_subscription_id
                    .as_deref()
                    .unwrap_or_default(),
            );
            for pair in told.get(&id).into_iter().flatten() {
                if *pair != stored {
                    self.wrong(format!("told {pair:?}, stored is {organization:?}"));
                }
            }
            let is_in_stripe = subscriptions
                .iter()
                .any(|it| (it.customer.as_str(), it.id.as_str()) == stored);
            if is_linked && !is_in_stripe {
                self.wrong(format!("{organization:?} is {subscriptions:?} in Stripe"));
            }
            if is_linked == (organization.subscription_status == "pending") {
                self.wrong(format!("the status contradicts the link: {organization:?}"));
            }
        }
        for told in &records.told {
            if let Told::Link { answer, .. } = told
                && let LinkAnswer::Refused { .. } = answer
            {
                self.wrong(format!("a link on good terms: {told:?}"));
            }
        }
    }

    /// For each linked organization and UTC day Stripe counts the greatest `reported_at` of those
    /// that are to be billed; and nothing where nothing is.
    fn usage(&mut self, records: &Records) {
        let in_stripe = subscriptions(records);
        let mut due: BTreeMap<(&str, i64), &StoredReport> = BTreeMap::new();
        for report in &records.reports {
            let of = in_stripe.get(&report.organization_id);
            for subscription in of.into_iter().flatten() {
                if report.at < subscription.start_date {
                    continue;
                }
                let day = due.entry((&subscription.customer, day_of(report.at)));
                let latest = day.or_insert(report);
                if report.at > latest.at {
                    *latest = report;
                }
            }
        }
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
            if !due.contains_key(key) {
                self.wrong(format!("{key:?}: nothing is to be billed, {event:?} is"));
            }
        }
        self.summaries(records, &due);
    }

    /// The meter's own sums are those that follow from the reports.
    fn summaries(&mut self, records: &Records, due: &BTreeMap<(&str, i64), &StoredReport>) {
        for (customer, days) in &records.summaries {
            let expected: BTreeMap<i64, String> = due
                .iter()
                .filter(|((of, _), _)| of == customer)
                .map(|((_, day), report)| (*day, report.user_count.to_string()))
                .collect();
            if *days != expected {
                self.wrong(format!(
                    "{customer}: the meter counts {days:?}, the reports are {expected:?}"
                ));
            }
        }
    }

    /// What is `sent` is in Stripe, as that event; and what is in Stripe is `sent`.
    fn identifiers(&mut self, records: &Records) {
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

    /// Every report is where it must end.
    fn states(&mut self, records: &Records) {
        let in_stripe = subscriptions(records);
        for report in &records.reports {
            let starts = in_stripe.get(&report.organization_id);
            let start = starts.and_then(|it| it.first()).map(|it| it.start_date);
            let allowed: &[&str] = match start {
                None => &["waiting"],
                Some(start) if report.at < start => &["not_billed"],
                // Which of the two, the counted events tell.
                Some(_) => &["sent", "superseded"],
            };
            if !allowed.contains(&report.delivery_state.as_str()) {
                self.wrong(format!("{report:?} should be {allowed:?}"));
            }
        }
    }

    /// Nothing is left to be done, and nothing went wrong that nobody expects.
    fn ends(&mut self, records: &Records) {
        for unfinished in &records.unfinished {
            self.wrong(format!("not finished: {unfinished:?}"));
        }
        for line in &records.error_lines {
            self.wrong(format!("in a log: {line}"));
        }
    }
}

fn sent_report(told: &Told) -> Option<SentReport> {
    match told {
        Told::Report { sent, .. } => Some(*sent),
        Told::Link { .. } | Told::Fault { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{LedgerCustomer, StoredOrganization};

    const AT: i64 = 1_795_500_000;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    /// One linked organization with one report, as all three records should tell it.
    fn good() -> Records {
        let organization = id(1);
        let metadata = BTreeMap::from([(ORGANIZATION.to_owned(), organization.to_string())]);
        let sent = SentReport {
            organization,
            at: AT,
            user_count: 7,
        };
        let mut records = Records {
            told: vec![
                Told::Report {
                    sent,
                    answer: ReportAnswer::Recorded {
                        report_id: id(2).to_string(),
                        status: "pending".to_owned(),
                    },
                },
                Told::Link {
                    organization,
                    trial_days: 0,
                    answer: LinkAnswer::Linked {
                        customer: "cus_1".to_owned(),
                        subscription: "sub_1".to_owned(),
                    },
                },
            ],
            reports: vec![StoredReport {
                id: id(2),
                organization_id: organization,
                at: AT,
                user_count: 7,
                delivery_state: "sent".to_owned(),
                stripe_meter_event_id: Some("ur_2".to_owned()),
                error_code: None,
            }],
            organizations: vec![StoredOrganization {
                id: organization,
                subscription_status: "trial".to_owned(),
                stripe_customer_id: Some("cus_1".to_owned()),
                stripe_subscription_id: Some("sub_1".to_owned()),
            }],
            ..Records::default()
        };
        records.ledger.customers.push(LedgerCustomer {
            id: "cus_1".to_owned(),
            metadata: metadata.clone(),
        });
        records.ledger.subscriptions.push(LedgerSubscription {
            id: "sub_1".to_owned(),
            customer: "cus_1".to_owned(),
            start_date: AT - 1,
            metadata,
        });
        records.ledger.meter_events.push(LedgerEvent {
            received_order: 0,
            identifier: "ur_2".to_owned(),
            customer: "cus_1".to_owned(),
            value: "7".to_owned(),
            timestamp: AT,
        });
        let days = BTreeMap::from([(day_of(AT), "7".to_owned())]);
        records.summaries.insert("cus_1".to_owned(), days);
        records
    }

    /// Lost, doubled and wrong, after the records were tampered with.
    fn found(tamper: impl FnOnce(&mut Records)) -> [bool; 3] {
        let mut records = good();
        tamper(&mut records);
        let verdict = judge(1, &records);
        [verdict.lost, verdict.doubled, verdict.wrong].map(|count| count > 0)
    }

    #[test]
    fn three_records_that_agree_are_clean() {
        let verdict = judge(1, &good());
        assert_eq!(verdict.findings, []);
        assert_eq!(
            verdict.line(),
            "faults 0, reports 1, links 1, lost 0, doubled 0, wrong 0"
        );
    }

    #[test]
    fn every_record_that_is_tampered_with_is_seen() {
        assert!(found(|it| it.reports.clear())[0], "a lost report");
        assert!(found(|it| it.ledger.meter_events.clear())[0], "lost usage");
        assert!(
            found(|it| it.ledger.subscriptions.clear())[0],
            "a lost link"
        );
        let twice = |it: &mut Records| {
            let mut event = it.ledger.meter_events[0].clone();
            event.identifier = "ur_3".to_owned();
            event.received_order = 1;
            it.ledger.meter_events.push(event);
        };
        assert!(found(twice)[1], "two events of one report");
        let customer = |it: &mut Records| {
            let mut customer = it.ledger.customers[0].clone();
            customer.id = "cus_2".to_owned();
            it.ledger.customers.push(customer);
        };
        assert!(found(customer)[1], "two customers");
        for (what, tampered) in [
            ("content", found(|it| it.reports[0].user_count = 8)),
            ("id", found(|it| it.reports[0].id = id(3))),
            (
                "state",
                found(|it| it.reports[0].delivery_state = "queued".to_owned()),
            ),
            (
                "value",
                found(|it| it.ledger.meter_events[0].value = "8".to_owned()),
            ),
            (
                "before the link",
                found(|it| it.ledger.subscriptions[0].start_date = AT + 1),
            ),
            (
                "sums",
                found(|it| it.summaries.values_mut().for_each(BTreeMap::clear)),
            ),
            (
                "told",
                found(|it| it.organizations[0].stripe_customer_id = Some("cus_9".to_owned())),
            ),
            (
                "logs",
                found(|it| it.error_lines.push("panicked".to_owned())),
            ),
        ] {
            assert!(tampered[2], "{what}");
        }
    }
}
