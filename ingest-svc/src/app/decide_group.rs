//! Decides on the held reports of many organizations with one cause, in one step. The decision is stored
//! first and carried out organization by organization: as many as fit into the request at once, the rest
//! by a worker.

use billing_kit::{Fault, assertion::Admin, context::RequestContext};
use billing_kit_db::db_fault;

use super::decide_reports::{Selection, decide_as, decider_of};
use crate::{
    Parts,
    domain::hold::{Decision, HoldReason},
    store::{
        audit_events::Author,
        hold_groups::{self, GroupSelection, HeldGroup, OpenDecision},
        holds::Decider,
    },
};

/// The most groups of a list.
const GROUPS_MAX: i64 = 100;
/// How many organizations a step decides.
const STEP_MAX: u64 = 20;
/// How many steps a request waits for.
const REQUEST_STEPS_MAX: usize = 10;

/// What became of a decision on a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupProgress {
    /// How many reports are decided.
    pub(crate) report_count: i64,
    /// Whether these are all. The rest follows.
    pub(crate) is_finished: bool,
}

/// Lists the groups of held reports, those of the most organizations first.
pub(crate) async fn list_held_groups(parts: &Parts) -> Result<Vec<HeldGroup>, Fault> {
    hold_groups::list(&parts.db, GROUPS_MAX)
        .await
        .map_err(db_fault)
}

/// Decides on a group.
pub(crate) async fn decide_group(
    parts: &Parts,
    admin: &Admin,
    selection: GroupSelection,
    decision: Decision,
) -> Result<GroupProgress, Fault> {
    let id = parts.deps.ids.next();
    let now = parts.deps.clock.now();
    hold_groups::insert(&parts.db, id, &selection, decision, &decider_of(admin), now)
        .await
        .map_err(db_fault)?;
    let mut report_count = 0;
    for _ in 0..REQUEST_STEPS_MAX {
        let open = hold_groups::find_open(&parts.db, Some(id))
            .await
            .map_err(db_fault)?;
        // The worker may have carried out some of it, or all.
        let Some(open) = open else {
            let decided = hold_groups::report_count(&parts.db, id).await;
            return Ok(GroupProgress {
                report_count: decided.map_err(db_fault)?,
                is_finished: true,
            });
        };
        carry_out(parts, &open).await?;
        report_count = hold_groups::find_open(&parts.db, Some(id))
            .await
            .map_err(db_fault)?
            .map_or(report_count, |open| open.report_count);
    }
    Ok(GroupProgress {
        report_count,
        is_finished: false,
    })
}

/// A worker's step: has a rule that is switched off release what it held, and carries decisions out.
/// Answers how many organizations were looked at; 0 when there is nothing to do.
pub(crate) async fn decide_groups(parts: &Parts) -> Result<usize, Fault> {
    let off = HoldReason::ALL
        .into_iter()
        .filter(|reason| !parts.hold_rules.is_on(*reason));
    for reason in off {
        release_of_rule(parts, reason).await?;
    }
    match hold_groups::find_open(&parts.db, None)
        .await
        .map_err(db_fault)?
    {
        None => Ok(0),
        // What the request's context had is stored with the decision.
        Some(open) => RequestContext::fresh().scope(carry_out(parts, &open)).await,
    }
}

async fn release_of_rule(parts: &Parts, reason: HoldReason) -> Result<(), Fault> {
    if !hold_groups::is_left_by_rule(&parts.db, reason)
        .await
        .map_err(db_fault)?
    {
        return Ok(());
    }
    let now = parts.deps.clock.now();
    let selection = GroupSelection {
        reason,
        cause: None,
        received_until: now,
    };
    let decider = Decider {
        author: Author::nobody(),
        admin_email: None,
    };
    let id = parts.deps.ids.next();
    tracing::info!(
        reason = reason.as_str(),
        "a rule is switched off: what it held is released"
    );
    hold_groups::insert(&parts.db, id, &selection, Decision::Released, &decider, now)
        .await
        .map_err(db_fault)
}

/// Decides the next organizations. Of two that do it at once each finds what the other has decided.
async fn carry_out(parts: &Parts, open: &OpenDecision) -> Result<usize, Fault> {
    let next = hold_groups::organizations(&parts.db, &open.selection, open.after, STEP_MAX)
        .await
        .map_err(db_fault)?;
    for organization in &next {
        let group = Selection::Group(open.selection.clone());
        let decided = decide_as(parts, &open.decider, *organization, group, open.decision).await?;
        let count = i64::try_from(decided.reports.len()).map_err(Fault::internal)?;
        hold_groups::advance(&parts.db, open.id, *organization, count)
            .await
            .map_err(db_fault)?;
    }
    if next.is_empty() {
        let now = parts.deps.clock.now();
        hold_groups::finish(&parts.db, open.id, now)
            .await
            .map_err(db_fault)?;
    }
    Ok(next.len().max(1))
}
