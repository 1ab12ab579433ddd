//! The table `audit_events`: who changed what, when. Append-only.

use billing_kit::{Fault, context::RequestContext};
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;
use serde_json::Value as Json;
use uuid::Uuid;

use super::statement;
use crate::domain::{account::UserId, organization::OrganizationId};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    OrganizationLinkRequested,
    OrganizationLinked,
    OrganizationLinkRefused,
    OrganizationUnlinked,
    SubscriptionUpdateRequested,
    SubscriptionUpdated,
    SubscriptionUpdateRefused,
    SubscriptionCancelRequested,
    SubscriptionCanceled,
    SubscriptionCancelRefused,
    SubscriptionChanged,
    AdminCreated,
    AdminAdopted,
    AdminDisabled,
    AdminPasswordSet,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::OrganizationLinkRequested => "organization.link_requested",
            Self::OrganizationLinked => "organization.linked",
            Self::OrganizationLinkRefused => "organization.link_refused",
            Self::OrganizationUnlinked => "organization.unlinked",
            Self::SubscriptionUpdateRequested => "subscription.update_requested",
            Self::SubscriptionUpdated => "subscription.updated",
            Self::SubscriptionUpdateRefused => "subscription.update_refused",
            Self::SubscriptionCancelRequested => "subscription.cancel_requested",
            Self::SubscriptionCanceled => "subscription.canceled",
            Self::SubscriptionCancelRefused => "subscription.cancel_refused",
            Self::SubscriptionChanged => "subscription.changed",
            Self::AdminCreated => "admin.created",
            Self::AdminAdopted => "admin.adopted",
            Self::AdminDisabled => "admin.disabled",
            Self::AdminPasswordSet => "admin.password_set",
        }
    }
}

/// One change, with what it changed as it was and as it is. Never a secret.
#[derive(Debug)]
pub(crate) struct AuditEvent<'a> {
    pub(crate) id: Uuid,
    pub(crate) occurred_at: DateTime<Utc>,
    pub(crate) organization_id: Option<OrganizationId>,
    /// The admin who did it, or, of the actions on admins, whom it was done to; nobody where Stripe
    /// told us.
    pub(crate) admin_user_id: Option<&'a UserId>,
    pub(crate) action: Action,
    pub(crate) before: Option<Json>,
    pub(crate) after: Option<Json>,
}

const INSERT: &str = r"
    INSERT INTO audit_events (id, occurred_at, organization_id, admin_user_id, action, request_id, before, after)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

/// Writes one event, under the id of the request that is being served.
pub(crate) async fn insert(db: &impl ConnectionTrait, event: AuditEvent<'_>) -> Result<(), Fault> {
    let AuditEvent {
        id,
        occurred_at,
        organization_id,
        admin_user_id,
        action,
        before,
        after,
    } = event;
    let values = [
        id.into(),
        occurred_at.into(),
        organization_id.map(|id| id.0).into(),
        admin_user_id.map(|id| id.0.as_str()).into(),
        action.as_str().into(),
        RequestContext::current().request_id.into(),
        before.into(),
        after.into(),
    ];
    db.execute_raw(statement(INSERT, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}
