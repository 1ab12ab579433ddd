//! The checkers: pure, and of one mind with nobody. What they hold against one another are three
//! records; what should be in them they work out from the rules of the product, again.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use uuid::Uuid;

use crate::journal::{LinkAnswer, ReportAnswer, SentReport, Told};
use crate::records::{LedgerSubscription, Records};

mod forged;
mod links;
mod reports;
pub(crate) mod standing;
#[cfg(test)]
mod tests;
mod usage;

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
    court.seats(records);
    court.states(records);
    court.links(records);
    court.standings(records);
    court.usage(records);
    court.drained(records);
    court.identifiers(records);
    court.forgeries(records);
    court.ends(records);
    let faults = records.told.iter().filter(|told| match told {
        Told::Fault { problem, .. } => problem.is_none(),
        Told::Report { .. }
        | Told::Forged { .. }
        | Told::Link { .. }
        | Told::Unlink { .. }
        | Told::AskedToEnd { .. }
        | Told::Change { .. } => false,
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

/// An organization's subscriptions in Stripe, by their start.
#[derive(Debug, Clone, Default)]
struct Life<'r> {
    subscriptions: Vec<&'r LedgerSubscription>,
    /// The one that goes on.
    living: Option<&'r LedgerSubscription>,
}

impl<'r> Life<'r> {
    /// Those of every organization that was ever linked.
    fn of_all(records: &'r Records) -> BTreeMap<Uuid, Self> {
        let mut lives: BTreeMap<_, Self> = BTreeMap::new();
        for subscription in &records.ledger.subscriptions {
            if let Some(id) = subscription.organization() {
                lives
                    .entry(id)
                    .or_default()
                    .subscriptions
                    .push(subscription);
            }
        }
        for life in lives.values_mut() {
            // Of two of one second the one that ended was first.
            life.subscriptions
                .sort_by_key(|it| (it.start_date, it.is_living()));
            let mut living = life.subscriptions.iter().filter(|it| it.is_living());
            life.living = living.next_back().copied();
        }
        lives
    }

    fn has_ended(&self) -> bool {
        self.subscriptions.iter().any(|it| !it.is_living())
    }

    /// Whether two were there at once.
    fn overlaps(&self) -> bool {
        let followed = self
            .subscriptions
            .iter()
            .zip(self.subscriptions.iter().skip(1));
        let mut ends = followed.map(|(one, next)| (one.ended_at, next.start_date));
        ends.any(|(end, next)| end.is_none_or(|end| end > next))
    }
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

/// The report that was sent, by whomever.
fn sent_report(told: &Told) -> Option<SentReport> {
    match told {
        Told::Report { sent, .. } | Told::Forged { sent, .. } => Some(*sent),
        Told::Link { .. }
        | Told::Unlink { .. }
        | Told::AskedToEnd { .. }
        | Told::Change { .. }
        | Told::Fault { .. } => None,
    }
}
