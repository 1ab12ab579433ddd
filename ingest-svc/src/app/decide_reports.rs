//! What an admin says of held reports, stored together with who said it.

use billing_kit::{Fault, Violation, assertion::Admin};
use billing_kit_db::{StoreError, db_fault};
use billing_proto::common::v1::ErrorReason;
use chrono::{DateTime, Utc};
use sea_orm::{DatabaseTransaction, TransactionTrait};
use uuid::Uuid;

use super::sources::Sources;
use crate::{
    Parts,
    domain::{
        audit::Change,
        delivery::{self as rules, DeliveryState},
        hold::{DISCARDED, Decision, HoldRules, Verdict},
        report::{Content, Report},
        standing::Standing,
    },
    store::{
        audit_events::{self, Author},
        baselines::{self, Known},
        delivery,
        hold_groups::GroupSelection,
        holds::{self, Candidate, Decided, Decider},
        missed_invoices, reporting,
        reports::{self, RecordedReport},
        sources,
    },
};

/// The most reports of a request.
pub(crate) const REPORTS_MAX: usize = 1_000;

/// Which held reports of an organization.
#[derive(Debug)]
pub(crate) enum Selection {
    /// These.
    Reports(Vec<Uuid>),
    /// All, or the earliest [`REPORTS_MAX`].
    All,
    /// Those of a group, or the earliest [`REPORTS_MAX`].
    Group(GroupSelection),
}

/// The reports as they are after a decision, the earliest first.
#[derive(Debug)]
pub(crate) struct DecidedReports {
    pub(crate) reports: Vec<RecordedReport>,
    /// How many of the organization's are still held.
    pub(crate) held_count: i64,
}

/// Decides, as the admin of this request.
pub(super) async fn decide(
    parts: &Parts,
    admin: &Admin,
    organization_id: Uuid,
    selection: Selection,
    decision: Decision,
) -> Result<DecidedReports, Fault> {
    let decider = decider_of(admin);
    decide_as(parts, &decider, organization_id, selection, decision).await
}

/// The admin of the request that is being served.
pub(super) fn decider_of(admin: &Admin) -> Decider {
    Decider {
        author: Author::of(admin),
        admin_email: Some(admin.email.clone()),
    }
}

/// Decides, under the organization's lock. What was decided the same way before is left as it is.
pub(super) async fn decide_as(
    parts: &Parts,
    decider: &Decider,
    organization_id: Uuid,
    selection: Selection,
    decision: Decision,
) -> Result<DecidedReports, Fault> {
    let now = parts.deps.clock.now();
    let txn = parts.db.begin().await.map_err(db_fault)?;
    let standing = reporting::lock(&txn, organization_id)
        .await
        .map_err(db_fault)?
        .ok_or_else(|| {
            let message = "No organization with this id has reported.";
            Fault::new(ErrorReason::OrganizationNotFound, message)
        })?;
    let group = match &selection {
        Selection::Group(group) if decision == Decision::Released => Some(group.reason),
        Selection::Group(_) | Selection::Reports(_) | Selection::All => None,
    };
    let mut found = find(&txn, organization_id, selection, decision).await?;
    if let Some(reason) = group {
        let rules = parts.hold_rules.without(reason);
        found = keep_held(rules, &txn, organization_id, found)
            .await
            .map_err(db_fault)?;
    }
    let open: Vec<_> = found.iter().filter(|it| it.decision.is_none()).collect();
    if !open.is_empty() {
        let decided: Vec<_> = open
            .iter()
            .map(|report| decided(report, &standing, decider, decision, now))
            .collect();
        holds::settle(&txn, &decided, now).await.map_err(db_fault)?;
        record(parts, &txn, decider, organization_id, &open, decision)
            .await
            .map_err(db_fault)?;
        if decision == Decision::Released {
            send(&txn, decider, organization_id, &open, &decided, now)
                .await
                .map_err(db_fault)?;
        }
    }
    let ids = found.iter().map(|report| report.id).collect();
    let reports = reports::get_many(&txn, organization_id, ids)
        .await
        .map_err(db_fault)?;
    let held_count = holds::count(&txn, organization_id)
        .await
        .map_err(db_fault)?;
    if !open.is_empty() {
        let ids: Vec<_> = open.iter().map(|report| report.id).collect();
        let change = Change::decided(organization_id, decision, &ids, held_count);
        audit_events::record_by(&txn, parts.deps.ids.next(), change, &decider.author, now)
            .await
            .map_err(db_fault)?;
    }
    txn.commit().await.map_err(db_fault)?;
    parts
        .touched_days
        .note(found.iter().map(|it| it.reported_at), now);
    parts.queued.notify_one();
    parts.decided.notify_one();
    Ok(DecidedReports {
        reports,
        held_count,
    })
}

/// The reports that are meant.
///
/// # Errors
/// One of them was never held, or was decided otherwise.
async fn find(
    txn: &DatabaseTransaction,
    organization_id: Uuid,
    selection: Selection,
    decision: Decision,
) -> Result<Vec<Candidate>, Fault> {
    let ids = match selection {
        Selection::All => {
            let limit = u64::try_from(REPORTS_MAX).map_err(Fault::internal)?;
            return holds::find_held(txn, organization_id, limit)
                .await
                .map_err(db_fault);
        }
        Selection::Group(group) => {
            let limit = u64::try_from(REPORTS_MAX).map_err(Fault::internal)?;
            return holds::find_of_group(txn, organization_id, &group, limit)
                .await
                .map_err(db_fault);
        }
        Selection::Reports(ids) => ids,
    };
    let found = holds::find(txn, organization_id, ids.clone())
        .await
        .map_err(db_fault)?;
    let problem = |id: &Uuid| match found.iter().find(|it| it.id == *id) {
        None => Some(format!("{id} is not a held report of this organization.")),
        Some(it) => it
            .decision
            .filter(|made| *made != decision)
            .map(|made| format!("{id} was {} already.", made.as_str())),
    };
    let violations: Vec<_> = ids
        .iter()
        .filter_map(problem)
        .map(|message| Violation::new("report_ids", message))
        .collect();
    if violations.is_empty() {
        Ok(found)
    } else {
        Err(Fault::invalid(violations))
    }
}

/// Leaves those held that one of these rules would hold, with that as their reason. Answers the others: who
/// releases a group, or switches a rule off, has looked at one reason and releases what only that held.
async fn keep_held(
    rules: HoldRules,
    txn: &DatabaseTransaction,
    organization_id: Uuid,
    found: Vec<Candidate>,
) -> Result<Vec<Candidate>, StoreError> {
    let known = baselines::get_many(txn, vec![organization_id]).await?;
    let known = known.into_iter().find_map(|(_, known)| match known {
        Known::Yes(baseline) => Some(baseline),
        Known::No => None,
    });
    let Some(baseline) = known else {
        return Ok(found);
    };
    let report = |candidate: &Candidate| Report {
        organization_id,
        content: Content {
            organization_name: String::new(),
            instance_url: candidate.instance_url.clone(),
            user_count: candidate.user_count,
        },
        reported_at: candidate.reported_at,
        signature: None,
        source: candidate.source,
    };
    let reports: Vec<_> = found.iter().map(report).collect();
    let may_be_counted = |_| Some(DateTime::<Utc>::MAX_UTC);
    let sources = Sources::load(txn, rules, reports.iter(), may_be_counted).await?;
    let (mut held, mut left) = (Vec::new(), Vec::new());
    for (candidate, report) in found.into_iter().zip(&reports) {
        let received_at = candidate.received_at.unwrap_or(candidate.reported_at);
        let of_source = sources.judge(report, received_at);
        match (rules.judge(&baseline, report), of_source) {
            (Verdict::Held(hold), _) | (_, Some(hold)) => held.push((candidate.id, hold)),
            (Verdict::Low(_) | Verdict::Expected, None) => left.push(candidate),
        }
    }
    if !held.is_empty() {
        baselines::mark_held(txn, &held).await?;
    }
    Ok(left)
}

fn decided(
    report: &Candidate,
    standing: &Standing,
    decider: &Decider,
    decision: Decision,
    now: DateTime<Utc>,
) -> Decided {
    let (state, error) = match decision {
        // As if it came now: its time may have passed meanwhile, or its subscription ended.
        Decision::Released => (
            rules::state_at_recording(standing, report.reported_at, now),
            None,
        ),
        Decision::Discarded => {
            let admin = decider.admin_email.as_deref().unwrap_or_default();
            let message = format!("{admin} discarded it.");
            (DeliveryState::NotBilled, Some((DISCARDED, message)))
        }
    };
    Decided {
        report_id: report.id,
        state,
        first_attempt_at: rules::first_attempt_at(report.reported_at, now),
        error,
    }
}

async fn record(
    parts: &Parts,
    txn: &DatabaseTransaction,
    decider: &Decider,
    organization_id: Uuid,
    open: &[&Candidate],
    decision: Decision,
) -> Result<(), StoreError> {
    let rows: Vec<_> = open
        .iter()
        .map(|report| (parts.deps.ids.next(), report.id))
        .collect();
    let now = parts.deps.clock.now();
    holds::record(txn, organization_id, &rows, decision, decider, now).await
}

/// Makes the networks of what an admin released known, schedules what is queued now, drops what the day rule does not
/// permit, and has the latest of the released set the baseline.
async fn send(
    txn: &DatabaseTransaction,
    decider: &Decider,
    organization_id: Uuid,
    open: &[&Candidate],
    decided: &[Decided],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    // A rule that was switched off says nothing of where reports are expected from.
    let is_confirmed = decider.author.admin_user_id.is_some();
    if is_confirmed {
        let ids = open.iter().map(|report| report.id).collect();
        sources::make_known(txn, organization_id, ids).await?;
    }
    delivery::drop_outdated(txn, vec![organization_id], now).await?;
    let due: Vec<_> = decided
        .iter()
        .filter(|it| it.state == DeliveryState::Queued)
        .map(|it| (organization_id, it.first_attempt_at))
        .collect();
    if !due.is_empty() {
        reporting::schedule(txn, &due).await?;
    }
    // One whose invoice became final while it was held is shown to a person.
    if decided
        .iter()
        .any(|it| it.state == DeliveryState::MissedInvoice)
    {
        missed_invoices::settle(txn, vec![organization_id], now).await?;
    }
    // What an admin released is expected from now on.
    baselines::compute(txn, vec![organization_id]).await?;
    let latest = open.iter().max_by_key(|report| report.reported_at);
    match latest.filter(|_| is_confirmed) {
        Some(latest) => baselines::set_url(txn, organization_id, &latest.instance_url).await,
        None => Ok(()),
    }
}
