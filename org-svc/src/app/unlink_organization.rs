//! UnlinkOrganization: makes an organization whose subscription has ended pending again.
//!
//! It asks nothing of Stripe, so the operation is stored and ended in the transaction that does it.
//! What was reported before the end is delivered by then: its caller has asked ingest-svc, and the
//! standing by which ingest-svc judged is compared here, under the organization's lock.

use billing_kit::{Fault, assertion::Admin};
use billing_kit_db::db_fault;
use billing_proto::common::v1::ErrorReason;
use sea_orm::{DatabaseTransaction, TransactionTrait};
use serde_json::json;

use super::{Described, Organizations, get_organization, run_link_operation::link_as_json};
use crate::{
    domain::{
        account::UserId,
        organization::{Organization, OrganizationId},
        unlink::{Decision, UnlinkReason, decide},
    },
    store::{
        audit_events::{self, Action, AuditEvent},
        link_operations, organization_changes, organizations,
    },
};

/// Unlinks an organization, or finds it unlinked. `delivered_version` is the standing under which none
/// of its reports was left to deliver.
pub(crate) async fn unlink_organization(
    app: &Organizations,
    admin: &Admin,
    id: OrganizationId,
    reason: &UnlinkReason,
    delivered_version: Option<i64>,
) -> Result<Described, Fault> {
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let organization = organizations::lock(&transaction, id)
        .await?
        .ok_or_else(get_organization::not_found)?;
    let is_under_way = link_operations::running_of(&transaction, id)
        .await?
        .is_some();
    let was_unlinked = link_operations::was_unlinked(&transaction, id).await?;
    match decide(&organization, is_under_way, was_unlinked, delivered_version) {
        Decision::Unlink => {
            unlink(app, &transaction, &organization, admin, reason).await?;
            transaction.commit().await.map_err(db_fault)?;
            app.changed.notify_waiters();
        }
        Decision::AlreadyUnlinked => {}
        Decision::Conflict(message) => {
            return Err(Fault::new(ErrorReason::LinkConflict, message));
        }
    }
    get_organization::get_organization(app, id).await
}

async fn unlink(
    app: &Organizations,
    transaction: &DatabaseTransaction,
    organization: &Organization,
    admin: &Admin,
    reason: &UnlinkReason,
) -> Result<(), Fault> {
    let now = app.clock.now();
    let operation_id = app.ids.next();
    let admin_user_id = UserId(admin.user_id.clone());
    link_operations::insert_unlinking(
        transaction,
        operation_id,
        organization,
        reason,
        &admin_user_id,
        now,
    )
    .await?;
    organizations::update_unlinked(transaction, organization.id, now).await?;
    let event = AuditEvent {
        id: app.ids.next(),
        occurred_at: now,
        organization_id: Some(organization.id),
        admin_user_id: Some(&admin_user_id),
        action: Action::OrganizationUnlinked,
        before: Some(link_as_json(organization)),
        after: Some(json!({
            "operation_id": operation_id,
            "reason": reason.as_str(),
        })),
    };
    audit_events::insert(transaction, event).await?;
    organization_changes::append(transaction, &[organization.id], now).await?;
    Ok(())
}
