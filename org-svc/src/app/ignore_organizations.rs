//! IgnoreOrganizations and RestoreOrganizations: takes pending organizations out of all lists and
//! totals, and brings them back.

use billing_kit::{Fault, assertion::Admin};
use billing_kit_db::db_fault;
use billing_proto::common::v1::ErrorReason;
use chrono::{DateTime, Utc};
use sea_orm::{DatabaseTransaction, TransactionTrait};
use serde_json::json;

use super::{Organizations, get_organization};
use crate::{
    domain::{
        account::UserId,
        ignoring::{GROUP_AT_ONCE_MAX, Selection},
        organization::{Organization, OrganizationId},
    },
    store::{
        audit_events::{self, Action, AuditEvent},
        ignored, organization_changes, organizations,
    },
};

/// What is done with a selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ignoring {
    Ignore,
    Restore,
}

impl Ignoring {
    fn action(self) -> Action {
        match self {
            Self::Ignore => Action::OrganizationsIgnored,
            Self::Restore => Action::OrganizationsRestored,
        }
    }
}

/// Ignores or restores what an admin chose; answers how many organizations changed.
pub(crate) async fn ignore_organizations(
    app: &Organizations,
    admin: &Admin,
    ignoring: Ignoring,
    selection: &Selection,
) -> Result<usize, Fault> {
    let now = app.clock.now();
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let ids = select(&transaction, ignoring, selection, now).await?;
    let changed = match ignoring {
        Ignoring::Ignore => ignored::ignore(&transaction, &ids, now).await?,
        Ignoring::Restore => ignored::restore(&transaction, &ids, now).await?,
    };
    if !changed.is_empty() {
        audit(app, &transaction, admin, ignoring, selection, &changed, now).await?;
        // ingest-svc leaves the users of ignored organizations out of its totals.
        organization_changes::append(&transaction, &changed, now).await?;
    }
    transaction.commit().await.map_err(db_fault)?;
    if !changed.is_empty() {
        app.changed.notify_waiters();
    }
    Ok(changed.len())
}

/// Locks what was chosen.
async fn select(
    transaction: &DatabaseTransaction,
    ignoring: Ignoring,
    selection: &Selection,
    now: DateTime<Utc>,
) -> Result<Vec<OrganizationId>, Fault> {
    match selection {
        Selection::Network(network, until) => {
            let is_ignored = ignoring == Ignoring::Restore;
            let until = until.unwrap_or(now);
            ignored::lock_group(transaction, network, is_ignored, until, GROUP_AT_ONCE_MAX).await
        }
        Selection::Ids(ids) => {
            let found = organizations::lock_many(transaction, ids).await?;
            if found.len() < ids.len() {
                return Err(get_organization::not_found());
            }
            let linked = found.iter().find(|organization| organization.is_linked());
            match (ignoring, linked) {
                (Ignoring::Ignore, Some(linked)) => Err(is_linked(linked)),
                (Ignoring::Ignore, None) | (Ignoring::Restore, _) => Ok(ids.clone()),
            }
        }
    }
}

fn is_linked(organization: &Organization) -> Fault {
    Fault::new(
        ErrorReason::LinkConflict,
        format!(
            "The organization {} is linked: only pending ones can be ignored.",
            organization.id.0
        ),
    )
}

/// One event for each organization that was named; one for a whole network.
async fn audit(
    app: &Organizations,
    transaction: &DatabaseTransaction,
    admin: &Admin,
    ignoring: Ignoring,
    selection: &Selection,
    changed: &[OrganizationId],
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let admin_user_id = UserId(admin.user_id.clone());
    let event = |organization_id, after| AuditEvent {
        id: app.ids.next(),
        occurred_at: now,
        organization_id,
        admin_user_id: Some(&admin_user_id),
        action: ignoring.action(),
        before: None,
        after: Some(after),
    };
    match selection {
        Selection::Ids(_) => {
            for id in changed {
                let after = json!({ "ignored": ignoring == Ignoring::Ignore });
                audit_events::insert(transaction, event(Some(*id), after)).await?;
            }
        }
        Selection::Network(network, until) => {
            let after = json!({
                "ignored": ignoring == Ignoring::Ignore,
                "source_network": network.as_str(),
                "until": until,
                "organization_count": changed.len(),
            });
            audit_events::insert(transaction, event(None, after)).await?;
        }
    }
    Ok(())
}
