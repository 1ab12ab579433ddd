//! `ReportUsage`: records a batch of reports, each once.
//!
//! The order is what makes it safe: org-svc is asked first, without a transaction; then, in one
//! transaction, the organizations are locked, the new reports inserted and the known ones compared;
//! only after the commit is anything acknowledged. When org-svc cannot be asked the reports go to the
//! spool, with the same locks and the same comparison.

use std::collections::{BTreeMap, HashMap, HashSet};

use billing_kit::{Fault, Violation};
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::{DatabaseTransaction, DbErr, TransactionTrait};
use uuid::Uuid;

use crate::{
    Parts,
    app::{
        baselines::Baselines,
        observe::{observe, observe_tentatively},
        sources::Sources,
    },
    domain::{
        delivery::{self, DeliveryState},
        hold::HoldRules,
        notice::NewNotice,
        refusal::Refusal,
        report::{RawReport, Report},
        standing::{Standing, SubscriptionStatus},
    },
    store::{
        conflicts, missed_invoices, notices, refusals,
        reporting::{self, Latest},
        reports::{self, NewReport},
        spool::{self, Spooled},
    },
};

/// What became of one report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Recorded {
        report_id: Uuid,
        status: SubscriptionStatus,
    },
    Duplicate {
        report_id: Uuid,
        status: SubscriptionStatus,
    },
    Conflict {
        report_id: Uuid,
        status: SubscriptionStatus,
    },
    Rejected(Vec<Violation>),
}

type Key = (Uuid, DateTime<Utc>);

/// A report that is new to this batch, with the id that it gets if it is new to the database too.
#[derive(Debug)]
struct Candidate {
    id: Uuid,
    report: Report,
}

/// A report with another count than the one that is recorded for its time.
#[derive(Debug)]
struct Refused<'a> {
    report: &'a Report,
    recorded_count: i32,
}

/// What the database holds for each key of a batch once it is committed.
#[derive(Debug)]
struct Committed {
    /// The ids that this batch inserted.
    inserted: HashSet<Uuid>,
    /// The reports that were there before, by key.
    known: HashMap<Key, (Uuid, Report)>,
    standings: HashMap<Uuid, Standing>,
}

/// Records reports; one outcome per report, in order.
///
/// # Errors
/// Nothing was committed.
pub(crate) async fn report_usage(parts: &Parts, raw: &[RawReport]) -> Result<Vec<Outcome>, Fault> {
    let now = parts.deps.clock.now();
    let parsed: Vec<_> = raw.iter().map(|raw| Report::parse(raw, now)).collect();
    let valid: Vec<_> = parsed.iter().flatten().collect();
    let mut candidates: BTreeMap<Key, Candidate> = BTreeMap::new();
    for report in valid.iter().copied() {
        candidates.entry(key(report)).or_insert_with(|| Candidate {
            id: parts.deps.ids.next(),
            report: report.clone(),
        });
    }
    let committed = if candidates.is_empty() {
        None
    } else {
        Some(commit(parts, &valid, &candidates, now).await?)
    };
    note_refusals(parts, raw, &parsed, &candidates, committed.as_ref(), now).await;
    let mut first = HashSet::new();
    parsed
        .into_iter()
        .map(|parsed| match (parsed, &committed) {
            (Err(violations), _) => Ok(Outcome::Rejected(violations)),
            (Ok(report), Some(committed)) => {
                let is_first = first.insert(key(&report));
                outcome(&report, &candidates, committed, is_first)
            }
            (Ok(_), None) => Err(Fault::internal("a valid report was no candidate")),
        })
        .collect()
}

fn key(report: &Report) -> Key {
    (report.organization_id, report.reported_at)
}

/// Takes note of what is refused, so that an admin sees it. Where that fails nobody but the admin misses
/// anything.
async fn note_refusals(
    parts: &Parts,
    raw: &[RawReport],
    parsed: &[Result<Report, Vec<Violation>>],
    candidates: &BTreeMap<Key, Candidate>,
    committed: Option<&Committed>,
    now: DateTime<Utc>,
) {
    let refusals: Vec<_> = raw
        .iter()
        .zip(parsed)
        .filter_map(|(raw, parsed)| match parsed {
            Err(violations) => Refusal::of_violations(raw, violations, now),
            Ok(report) => {
                let recorded = recorded_count(report, candidates, committed?)?;
                (recorded != report.content.user_count)
                    .then(|| Refusal::of_conflict(report, recorded, now))
            }
        })
        .collect();
    if refusals.is_empty() {
        return;
    }
    if let Err(error) = refusals::note(&parts.db, &refusals, now).await {
        db_fault(error).log();
    }
}

/// The count that is recorded for the time of a report.
fn recorded_count(
    report: &Report,
    candidates: &BTreeMap<Key, Candidate>,
    committed: &Committed,
) -> Option<i32> {
    let key = key(report);
    let candidate = candidates.get(&key)?;
    let recorded = if committed.inserted.contains(&candidate.id) {
        &candidate.report
    } else {
        &committed.known.get(&key)?.1
    };
    Some(recorded.content.user_count)
}

/// Keeps the reports that another count is recorded for, and tells of them; under the locks of their
/// organizations.
async fn keep_conflicts(
    parts: &Parts,
    txn: &DatabaseTransaction,
    valid: &[&Report],
    candidates: &BTreeMap<Key, Candidate>,
    committed: &Committed,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    // Each once, however often the batch has it.
    let refused: BTreeMap<_, _> = valid
        .iter()
        .filter_map(|report| {
            let recorded_count = recorded_count(report, candidates, committed)?;
            let count = report.content.user_count;
            let refused = Refused {
                report,
                recorded_count,
            };
            (recorded_count != count).then_some(((key(report), count), refused))
        })
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    let with_ids: Vec<_> = refused
        .values()
        .map(|it| (parts.deps.ids.next(), it.report))
        .collect();
    let open = conflicts::keep(txn, &with_ids, now).await?;
    let told = refused
        .values()
        .filter(|it| open.contains(&it.report.organization_id))
        .map(|it| NewNotice::conflict(it.report, it.recorded_count, now));
    notices::tell(txn, &told.collect::<Vec<_>>(), now).await
}

async fn commit(
    parts: &Parts,
    valid: &[&Report],
    candidates: &BTreeMap<Key, Candidate>,
    now: DateTime<Utc>,
) -> Result<Committed, Fault> {
    if parts.org_presence.is_absent() {
        return spool_all(parts, valid, candidates, now)
            .await
            .map_err(db_fault);
    }
    match observe_tentatively(parts, candidates.values().map(|c| &c.report)).await {
        Ok(observed) => {
            let committed = record(parts, valid, candidates, &observed.standings, now)
                .await
                .map_err(db_fault)?;
            observe_recorded(parts, candidates, &committed, &observed.differing).await;
            return Ok(committed);
        }
        Err(fault) => {
            // No reason to refuse a report: it is kept aside until org-svc answers again.
            fault.log();
            spool_all(parts, valid, candidates, now).await
        }
    }
    .map_err(db_fault)
}

/// Tells org-svc the names and URLs that it knows otherwise, now that the reports are recorded. Where that
/// fails, the organization's next report says the same.
async fn observe_recorded(
    parts: &Parts,
    candidates: &BTreeMap<Key, Candidate>,
    committed: &Committed,
    differing: &HashSet<Uuid>,
) {
    let recorded: Vec<_> = candidates
        .values()
        .filter(|it| committed.inserted.contains(&it.id))
        .map(|it| &it.report)
        .filter(|report| differing.contains(&report.organization_id))
        .collect();
    if recorded.is_empty() {
        return;
    }
    if let Err(fault) = observe(parts, recorded.into_iter()).await {
        fault.log();
    }
}

async fn record(
    parts: &Parts,
    valid: &[&Report],
    candidates: &BTreeMap<Key, Candidate>,
    observed: &HashMap<Uuid, Standing>,
    now: DateTime<Utc>,
) -> Result<Committed, DbErr> {
    let txn = parts.db.begin().await?;
    let standings = lock(&txn, candidates, observed).await?;
    let mut judges = Judges::load(
        &txn,
        parts.hold_rules,
        &standings,
        candidates.values().map(|candidate| &candidate.report),
    )
    .await?;
    let new: Vec<_> = candidates
        .values()
        .filter_map(|candidate| {
            let standing = standings.get(&candidate.report.organization_id)?;
            let report = candidate.report.clone();
            let mut new = new_report(candidate.id, report, now, standing, now);
            judges.judge(&mut new, standing);
            Some(new)
        })
        .collect();
    let committed = insert(&txn, &new, candidates, standings, now).await?;
    keep_conflicts(parts, &txn, valid, candidates, &committed, now).await?;
    let inserted = || {
        new.iter()
            .filter(|new| committed.inserted.contains(&new.id))
    };
    judges.baselines.keep(&txn, inserted()).await?;
    #[cfg(not(feature = "plant-ack-before-commit"))]
    txn.commit().await?;
    #[cfg(feature = "plant-ack-before-commit")]
    crate::plant::commit_later(txn);
    parts
        .touched_days
        .note(inserted().map(|new| new.report.reported_at), now);
    parts.queued.notify_one();
    Ok(committed)
}

/// What decides which reports of a batch are held, under the locks of their organizations.
pub(super) struct Judges {
    pub(super) baselines: Baselines,
    sources: Sources,
}

impl Judges {
    pub(super) async fn load<'a>(
        txn: &DatabaseTransaction,
        rules: HoldRules,
        standings: &HashMap<Uuid, Standing>,
        reports: impl Iterator<Item = &'a Report>,
    ) -> Result<Self, DbErr> {
        let baselines = Baselines::load(txn, rules, standings.values()).await?;
        let linked = reports.filter(|report| {
            let standing = standings.get(&report.organization_id);
            standing.is_some_and(Standing::is_linked)
        });
        let last_counted = |id| baselines.last_counted(id);
        let sources = Sources::load(txn, rules.new_network, linked, last_counted).await?;
        Ok(Self { baselines, sources })
    }

    /// Holds a report where it is to be. The reports of an organization come here in the order of their
    /// times.
    pub(super) fn judge(&mut self, new: &mut NewReport, standing: &Standing) {
        let of_source = self.sources.judge(&new.report);
        self.baselines.compare(new, standing, of_source);
        self.sources.follow(new, standing.is_linked());
    }
}

/// Inserts reports under the locks of their organizations and notes when their queues are due.
async fn insert(
    txn: &DatabaseTransaction,
    new: &[NewReport],
    candidates: &BTreeMap<Key, Candidate>,
    standings: HashMap<Uuid, Standing>,
    now: DateTime<Utc>,
) -> Result<Committed, DbErr> {
    let inserted: HashSet<_> = reports::insert_new(txn, new).await?.into_iter().collect();
    let recorded = new.iter().filter(|new| inserted.contains(&new.id));
    schedule_queued(txn, recorded.clone()).await?;
    settle_missed(txn, recorded.clone(), now).await?;
    tell_held(txn, recorded, now).await?;
    let known = find_known(txn, candidates, &inserted).await?;
    Ok(Committed {
        inserted,
        known,
        standings,
    })
}

/// A report as it is first recorded, given how its organization stands.
pub(super) fn new_report(
    id: Uuid,
    report: Report,
    received_at: DateTime<Utc>,
    standing: &Standing,
    now: DateTime<Utc>,
) -> NewReport {
    NewReport {
        id,
        received_at,
        deployment_type: standing.deployment_type,
        state: delivery::state_at_recording(standing, report.reported_at, now),
        first_attempt_at: delivery::first_attempt_at(report.reported_at, now),
        hold: None,
        makes_network_known: false,
        report,
    }
}

/// Notes when the queues that these reports joined are next to be looked at.
pub(super) async fn schedule_queued(
    txn: &DatabaseTransaction,
    new: impl Iterator<Item = &NewReport>,
) -> Result<(), DbErr> {
    let queued: Vec<_> = new
        .filter(|new| new.state == DeliveryState::Queued)
        .map(|new| (new.report.organization_id, new.first_attempt_at))
        .collect();
    if queued.is_empty() {
        return Ok(());
    }
    reporting::schedule(txn, &queued).await
}

/// Shows a person the reports whose invoice was final before they came.
pub(super) async fn settle_missed(
    txn: &DatabaseTransaction,
    new: impl Iterator<Item = &NewReport>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let missed = new.filter(|new| new.state == DeliveryState::MissedInvoice);
    let missed = missed.map(|new| new.report.organization_id).collect();
    missed_invoices::settle(txn, missed, now).await
}

/// Tells of the reports that are held from the beginning.
pub(super) async fn tell_held(
    txn: &DatabaseTransaction,
    new: impl Iterator<Item = &NewReport>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let held = new
        .filter(|new| new.state == DeliveryState::Held)
        .filter_map(|new| {
            let hold = new.hold.as_ref()?;
            Some(NewNotice::held(new.id, &new.report, hold, now))
        });
    let held: Vec<_> = held.collect();
    notices::tell(txn, &held, now).await
}

async fn spool_all(
    parts: &Parts,
    valid: &[&Report],
    candidates: &BTreeMap<Key, Candidate>,
    now: DateTime<Utc>,
) -> Result<Committed, DbErr> {
    let txn = parts.db.begin().await?;
    let standings = lock(&txn, candidates, &HashMap::new()).await?;
    let new: Vec<_> = candidates
        .values()
        .map(|c| Spooled {
            id: c.id,
            report: c.report.clone(),
            received_at: now,
        })
        .collect();
    let inserted: HashSet<_> = spool::insert_new(&txn, &new).await?.into_iter().collect();
    let known = find_known(&txn, candidates, &inserted).await?;
    let committed = Committed {
        inserted,
        known,
        standings,
    };
    keep_conflicts(parts, &txn, valid, candidates, &committed, now).await?;
    txn.commit().await?;
    Ok(committed)
}

/// Locks the organizations of a batch and answers how each stands.
async fn lock(
    txn: &DatabaseTransaction,
    candidates: &BTreeMap<Key, Candidate>,
    observed: &HashMap<Uuid, Standing>,
) -> Result<HashMap<Uuid, Standing>, DbErr> {
    // Keys are in order of organization, then time: the last of each organization is its latest.
    let latest: BTreeMap<Uuid, &Report> = candidates
        .iter()
        .map(|((organization_id, _), c)| (*organization_id, &c.report))
        .collect();
    let latest: Vec<_> = latest
        .into_iter()
        .map(|(organization_id, report)| Latest {
            standing: observed
                .get(&organization_id)
                .cloned()
                .unwrap_or_else(|| Standing::unknown(organization_id)),
            user_count: report.content.user_count,
            reported_at: report.reported_at,
            instance_url: report.content.instance_url.clone(),
        })
        .collect();
    let standings = reporting::lock_with_reports(txn, &latest).await?;
    Ok(standings
        .into_iter()
        .map(|standing| (standing.organization_id, standing))
        .collect())
}

async fn find_known(
    txn: &DatabaseTransaction,
    candidates: &BTreeMap<Key, Candidate>,
    inserted: &HashSet<Uuid>,
) -> Result<HashMap<Key, (Uuid, Report)>, DbErr> {
    let keys: Vec<_> = candidates
        .iter()
        .filter(|(_, candidate)| !inserted.contains(&candidate.id))
        .map(|(key, _)| *key)
        .collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let known = reports::find_known(txn, keys).await?;
    Ok(known
        .into_iter()
        .map(|known| (key(&known.report), (known.id, known.report)))
        .collect())
}

fn outcome(
    report: &Report,
    candidates: &BTreeMap<Key, Candidate>,
    committed: &Committed,
    is_first: bool,
) -> Result<Outcome, Fault> {
    let key = key(report);
    let standing = committed.standings.get(&report.organization_id);
    let (Some(candidate), Some(standing)) = (candidates.get(&key), standing) else {
        return Err(Fault::internal(
            "a report was committed without its organization",
        ));
    };
    let status = standing.status;
    let inserted = committed.inserted.contains(&candidate.id);
    let (report_id, recorded) = match committed.known.get(&key) {
        _ if inserted => (candidate.id, &candidate.report),
        Some((id, known)) => (*id, known),
        None => return Err(Fault::internal("a report was neither inserted nor found")),
    };
    Ok(if inserted && is_first {
        Outcome::Recorded { report_id, status }
    } else if recorded.content.is_repeated_by(&report.content) {
        Outcome::Duplicate { report_id, status }
    } else {
        Outcome::Conflict { report_id, status }
    })
}
