//! `ReportUsage`: records a batch of reports, each once.
//!
//! The order is what makes it safe: org-svc is asked first, without a transaction; then, in one
//! transaction, the organizations are locked, the new reports inserted and the known ones compared;
//! only after the commit is anything acknowledged. When org-svc cannot be asked the reports go to the
//! spool, with the same locks and the same comparison.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use billing_kit::{Fault, Violation};
use billing_kit_db::db_fault;
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use ipnet::IpNet;
use sea_orm::{DatabaseTransaction, DbErr, TransactionTrait};
use uuid::Uuid;

use crate::{
    Parts,
    app::{
        observe::{Tentative, observe, observe_tentatively},
        recording::{self, Judges},
    },
    domain::{
        delivery::DeliveryState,
        notice::NewNotice,
        refusal::Refusal,
        report::{RawReport, Report},
        signing::{KeyRule, PublicKey},
        source::network_of,
        standing::{Standing, SubscriptionStatus},
    },
    store::{
        conflicts, notices, refusals,
        reporting::{self, Latest, Locked},
        reports::{self, Known, NewReport, Trust},
        signing_keys, sources,
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
    /// Its organization is unknown, and its source network brought too many new ones today.
    NotAdmitted {
        retry_delay: Duration,
    },
}

/// What the answer to a report tells beside its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// When the organization's next report is expected.
    pub(crate) next_report_at: DateTime<Utc>,
    /// Whether a key is pinned.
    pub(crate) key_pinned: bool,
    /// The UTC days without a report; none for a sender that is not to be told.
    pub(crate) missing_days: Option<Vec<NaiveDate>>,
}

/// How long after its latest report an organization's next is expected.
const REPORT_INTERVAL: TimeDelta = TimeDelta::days(1);
/// Of so many UTC days, today included, an instance is told which lack a report.
const MISSING_DAYS_MAX: Days = Days::new(34);

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
    /// Those of them that nobody would have expected.
    distrusted: HashSet<Uuid>,
    /// The reports that were there before, by key.
    known: HashMap<Key, Known>,
    organizations: HashMap<Uuid, Organization>,
    /// The organizations whose reports were left out, and after how long to send them again.
    not_admitted: HashMap<Uuid, Duration>,
}

/// What is known of an organization once its reports are committed.
#[derive(Debug)]
struct Organization {
    locked: Locked,
    /// The key that its reports must be signed with by now.
    pinned: Option<PublicKey>,
    missing_days: Vec<NaiveDate>,
    /// The networks of this batch that its reports counted from before, where no key is pinned.
    known_networks: Vec<IpNet>,
}

/// Records reports; one outcome per report, in order, and what is told with it.
///
/// # Errors
/// Nothing was committed.
pub(crate) async fn report_usage(
    parts: &Parts,
    raw: &[RawReport],
) -> Result<Vec<(Outcome, Option<Told>)>, Fault> {
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
        Some(commit(parts, &valid, &mut candidates, now).await?)
    };
    note_refusals(parts, raw, &parsed, &candidates, committed.as_ref(), now).await;
    let mut first = HashSet::new();
    parsed
        .into_iter()
        .map(|parsed| match (parsed, &committed) {
            (Err(violations), _) => Ok((Outcome::Rejected(violations), None)),
            (Ok(report), Some(committed)) => {
                let is_first = first.insert(key(&report));
                let outcome = outcome(&report, &candidates, committed, is_first)?;
                Ok((outcome, told(&report, committed)))
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
        &committed.known.get(&key)?.report
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
    notices::tell(txn, &told.collect::<Vec<_>>(), now).await?;
    Ok(())
}

async fn commit(
    parts: &Parts,
    valid: &[&Report],
    candidates: &mut BTreeMap<Key, Candidate>,
    now: DateTime<Utc>,
) -> Result<Committed, Fault> {
    if parts.org_presence.is_absent() {
        return spool_all(parts, valid, candidates, now)
            .await
            .map_err(db_fault);
    }
    match observe_tentatively(parts, candidates.values().map(|c| &c.report)).await {
        Ok(observed) => {
            let Tentative {
                standings,
                differing,
                not_admitted,
            } = observed;
            candidates
                .retain(|(organization_id, _), _| !not_admitted.contains_key(organization_id));
            let committed = record(parts, valid, candidates, &standings, now)
                .await
                .map_err(db_fault)?;
            observe_recorded(parts, candidates, &committed, &differing).await;
            return Ok(Committed {
                not_admitted,
                ..committed
            });
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
        .filter(|it| !committed.distrusted.contains(&it.id))
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
    let locked = lock(&txn, candidates, observed).await?;
    let mut judges = Judges::load(
        &txn,
        parts.hold_rules,
        &locked,
        candidates.values().map(|candidate| &candidate.report),
    )
    .await?;
    let new: Vec<_> = candidates
        .values()
        .filter_map(|candidate| {
            let standing = &locked.get(&candidate.report.organization_id)?.standing;
            let report = candidate.report.clone();
            let mut new = recording::new_report(candidate.id, report, now, standing, now);
            judges.judge(&mut new, standing);
            Some(new)
        })
        .collect();
    let mut committed = insert(&txn, &new, candidates, locked, now).await?;
    let claims = claims(&mut judges, valid, &new, &committed, now);
    if !claims.is_empty() {
        reports::take_over(&txn, &claims).await?;
        recording::follow_up(&txn, claims.iter(), now).await?;
    }
    keep_conflicts(parts, &txn, valid, candidates, &committed, now).await?;
    let inserted_ids = committed.inserted.clone();
    let inserted = || {
        let inserted = new.iter().filter(|new| inserted_ids.contains(&new.id));
        inserted.chain(&claims)
    };
    judges.baselines.keep(&txn, inserted(), now).await?;
    let rules = judges.keys.keep(parts, &txn, inserted(), now).await?;
    committed.learn_keys(&txn, &rules, candidates, now).await?;
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

/// The reports that repeat one that is held, or was discarded, and would not have been held themselves: the
/// time and count of a report can be guessed, so somebody else may have sent it first. They take its place.
/// What an admin discarded comes back only by the signature of the pinned key.
fn claims(
    judges: &mut Judges,
    valid: &[&Report],
    new: &[NewReport],
    committed: &Committed,
    now: DateTime<Utc>,
) -> Vec<NewReport> {
    let held_now = new
        .iter()
        .filter(|new| new.state == DeliveryState::Held && committed.inserted.contains(&new.id))
        .map(|new| (key(&new.report), (new.id, &new.report, Trust::Held)));
    let before = committed
        .known
        .iter()
        .map(|(key, known)| (*key, (known.id, &known.report, known.trust)))
        .filter(|(_, (_, _, trust))| *trust != Trust::Taken);
    let mut open: HashMap<Key, _> = held_now.chain(before).collect();
    let mut claims = Vec::new();
    for report in valid.iter().copied() {
        if open.is_empty() {
            break;
        }
        let Some((id, recorded, trust)) = open.get(&key(report)).copied() else {
            continue;
        };
        let Some(organization) = committed.organizations.get(&report.organization_id) else {
            continue;
        };
        let standing = &organization.locked.standing;
        let may_claim = trust == Trust::Held || judges.keys.is_pinned(report);
        if !may_claim || !recorded.content.is_repeated_by(&report.content) {
            continue;
        }
        let mut again = recording::new_report(id, report.clone(), now, standing, now);
        judges.judge(&mut again, standing);
        if again.hold.is_none() && again.state == DeliveryState::Queued {
            open.remove(&key(report));
            claims.push(again);
        }
    }
    claims
}

/// Inserts reports under the locks of their organizations and notes when their queues are due.
async fn insert(
    txn: &DatabaseTransaction,
    new: &[NewReport],
    candidates: &BTreeMap<Key, Candidate>,
    locked: HashMap<Uuid, Locked>,
    now: DateTime<Utc>,
) -> Result<Committed, DbErr> {
    let inserted: HashSet<_> = reports::insert_new(txn, new).await?.into_iter().collect();
    let recorded = new.iter().filter(|new| inserted.contains(&new.id));
    recording::follow_up(txn, recorded, now).await?;
    let known = find_known(txn, candidates, &inserted).await?;
    let distrusted = new.iter().filter(|new| new.hold.is_some());
    Ok(Committed {
        distrusted: distrusted.map(|new| new.id).collect(),
        ..Committed::new(inserted, known, locked)
    })
}

impl Committed {
    fn new(
        inserted: HashSet<Uuid>,
        known: HashMap<Key, Known>,
        locked: HashMap<Uuid, Locked>,
    ) -> Self {
        let organizations = locked
            .into_iter()
            .map(|(id, locked)| {
                let organization = Organization {
                    pinned: locked.key_rule.pinned,
                    missing_days: Vec::new(),
                    known_networks: Vec::new(),
                    locked,
                };
                (id, organization)
            })
            .collect();
        Self {
            inserted,
            distrusted: HashSet::new(),
            known,
            organizations,
            not_admitted: HashMap::new(),
        }
    }

    /// Learns which keys are pinned by now, and what their holders are to be told. Only where there may
    /// be a gap is it looked for.
    async fn learn_keys(
        &mut self,
        txn: &DatabaseTransaction,
        rules: &HashMap<Uuid, KeyRule>,
        candidates: &BTreeMap<Key, Candidate>,
        now: DateTime<Utc>,
    ) -> Result<(), DbErr> {
        let today = now.date_naive();
        let first = today - MISSING_DAYS_MAX;
        for (id, organization) in &mut self.organizations {
            organization.pinned = rules.get(id).and_then(|rule| rule.pinned);
        }
        let mut with_gaps = BTreeSet::new();
        let mut strangers = Vec::new();
        for report in candidates.values().map(|candidate| &candidate.report) {
            let id = report.organization_id;
            let Some(organization) = self.organizations.get(&id) else {
                continue;
            };
            let may_have_gap = organization.locked.gap_seen_on >= first;
            if organization.is_holder(report) && may_have_gap {
                with_gaps.insert(id);
            } else if organization.pinned.is_none() && may_have_gap {
                strangers.extend(report.source.map(|source| (id, network_of(source))));
            }
        }
        if !strangers.is_empty() {
            for (id, network) in sources::counted_before(txn, &strangers, today).await? {
                with_gaps.insert(id);
                if let Some(organization) = self.organizations.get_mut(&id) {
                    organization.known_networks.push(network);
                }
            }
        }
        if with_gaps.is_empty() {
            return Ok(());
        }
        let with_gaps = with_gaps.into_iter().collect();
        for (id, day) in signing_keys::missing_days(txn, with_gaps, first, today).await? {
            if let Some(organization) = self.organizations.get_mut(&id) {
                organization.missing_days.push(day);
            }
        }
        Ok(())
    }
}

impl Organization {
    /// Whether a report is signed with the pinned key.
    fn is_holder(&self, report: &Report) -> bool {
        let key = report.signature.map(|signature| signature.key);
        key.is_some() && key == self.pinned
    }

    /// Whether its sender may be told which days are missing: that says which days can be made up.
    fn is_trusted(&self, report: &Report) -> bool {
        let network = report.source.map(network_of);
        self.is_holder(report) || network.is_some_and(|it| self.known_networks.contains(&it))
    }
}

/// What is told with a report's outcome.
fn told(report: &Report, committed: &Committed) -> Option<Told> {
    let organization = committed.organizations.get(&report.organization_id)?;
    Some(Told {
        next_report_at: organization.locked.last_reported_at + REPORT_INTERVAL,
        key_pinned: organization.pinned.is_some(),
        missing_days: organization
            .is_trusted(report)
            .then(|| organization.missing_days.clone()),
    })
}

async fn spool_all(
    parts: &Parts,
    valid: &[&Report],
    candidates: &BTreeMap<Key, Candidate>,
    now: DateTime<Utc>,
) -> Result<Committed, DbErr> {
    let txn = parts.db.begin().await?;
    let locked = lock(&txn, candidates, &HashMap::new()).await?;
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
    let committed = Committed::new(inserted, known, locked);
    sign_spooled(&txn, valid, candidates, &committed).await?;
    keep_conflicts(parts, &txn, valid, candidates, &committed, now).await?;
    txn.commit().await?;
    Ok(committed)
}

/// What waits in the spool and was not signed with the pinned key becomes the report that is.
async fn sign_spooled(
    txn: &DatabaseTransaction,
    valid: &[&Report],
    candidates: &BTreeMap<Key, Candidate>,
    committed: &Committed,
) -> Result<(), DbErr> {
    for report in valid.iter().copied() {
        let organization = committed.organizations.get(&report.organization_id);
        let candidate = candidates.get(&key(report));
        let is_own = candidate.is_some_and(|it| {
            committed.inserted.contains(&it.id) && it.report.signature == report.signature
        });
        if !is_own && organization.is_some_and(|it| it.is_holder(report)) {
            spool::sign(txn, report).await?;
        }
    }
    Ok(())
}

/// Locks the organizations of a batch and answers how each stands.
async fn lock(
    txn: &DatabaseTransaction,
    candidates: &BTreeMap<Key, Candidate>,
    observed: &HashMap<Uuid, Standing>,
) -> Result<HashMap<Uuid, Locked>, DbErr> {
    // Keys are in order of organization, then time: the last of each organization is its latest.
    let mut latest: BTreeMap<Uuid, (&Report, bool)> = BTreeMap::new();
    for ((organization_id, _), candidate) in candidates {
        latest
            .entry(*organization_id)
            .and_modify(|known| *known = (&candidate.report, true))
            .or_insert((&candidate.report, false));
    }
    let latest: Vec<_> = latest
        .into_iter()
        .map(|(organization_id, (report, has_several))| Latest {
            standing: observed
                .get(&organization_id)
                .cloned()
                .unwrap_or_else(|| Standing::unknown(organization_id)),
            user_count: report.content.user_count,
            reported_at: report.reported_at,
            instance_url: report.content.instance_url.clone(),
            signing_key: report.signature.map(|signature| signature.key),
            has_several,
        })
        .collect();
    let locked = reporting::lock_with_reports(txn, &latest).await?;
    Ok(locked
        .into_iter()
        .map(|locked| (locked.standing.organization_id, locked))
        .collect())
}

async fn find_known(
    txn: &DatabaseTransaction,
    candidates: &BTreeMap<Key, Candidate>,
    inserted: &HashSet<Uuid>,
) -> Result<HashMap<Key, Known>, DbErr> {
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
        .map(|known| (key(&known.report), known))
        .collect())
}

fn outcome(
    report: &Report,
    candidates: &BTreeMap<Key, Candidate>,
    committed: &Committed,
    is_first: bool,
) -> Result<Outcome, Fault> {
    if let Some(retry_delay) = committed.not_admitted.get(&report.organization_id) {
        return Ok(Outcome::NotAdmitted {
            retry_delay: *retry_delay,
        });
    }
    let key = key(report);
    let organization = committed.organizations.get(&report.organization_id);
    let (Some(candidate), Some(organization)) = (candidates.get(&key), organization) else {
        return Err(Fault::internal(
            "a report was committed without its organization",
        ));
    };
    let status = organization.locked.standing.status;
    let inserted = committed.inserted.contains(&candidate.id);
    let (report_id, recorded) = match committed.known.get(&key) {
        _ if inserted => (candidate.id, &candidate.report),
        Some(known) => (known.id, &known.report),
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
