//! The table `audit_events`: who changed what, when, from where. Append-only: a trigger says so.

use billing_kit::{Fault, context::RequestContext};
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, FromQueryResult};
use serde_json::Value as Json;
use uuid::Uuid;

use super::statement;
use crate::domain::{
    account::UserId,
    audit::{Recorded, Told},
    keyset::Keyset,
    organization::OrganizationId,
    page::PageSize,
};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    OrganizationLinkRequested,
    OrganizationLinked,
    OrganizationLinkRefused,
    OrganizationUnlinked,
    OrganizationsIgnored,
    OrganizationsRestored,
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
    ApiKeyCreated,
    ApiKeyRevoked,
    SignInSucceeded,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::OrganizationLinkRequested => "organization.link_requested",
            Self::OrganizationLinked => "organization.linked",
            Self::OrganizationLinkRefused => "organization.link_refused",
            Self::OrganizationUnlinked => "organization.unlinked",
            Self::OrganizationsIgnored => "organizations.ignored",
            Self::OrganizationsRestored => "organizations.restored",
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
            Self::ApiKeyCreated => "api_key.created",
            Self::ApiKeyRevoked => "api_key.revoked",
            Self::SignInSucceeded => "sign_in.succeeded",
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
    INSERT INTO audit_events (id, occurred_at, organization_id, admin_user_id, action, request_id, before, after, client_address, api_key_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::inet, $10)";

/// Writes one event, with the id of the request that is being served, where it came from and the API
/// key that it showed.
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
    let context = RequestContext::current();
    let address = context.client_address.map(|address| address.to_string());
    let values = [
        id.into(),
        occurred_at.into(),
        organization_id.map(|id| id.0).into(),
        admin_user_id.map(|id| id.0.as_str()).into(),
        action.as_str().into(),
        context.request_id.as_str().into(),
        before.into(),
        after.into(),
        address.into(),
        context.api_key_id().into(),
    ];
    db.execute_raw(statement(INSERT, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}

/// Writes what another service tells of; what is written already stays.
pub(crate) async fn insert_told(db: &impl ConnectionTrait, told: &[Told]) -> Result<(), Fault> {
    const INSERT_TOLD: &str = r"
        INSERT INTO audit_events (id, occurred_at, organization_id, admin_user_id, action, request_id,
            before, after, client_address, api_key_id)
        SELECT id, occurred_at, organization_id, nullif(admin_user_id, ''), action, request_id,
            nullif(before, '')::jsonb, after::jsonb, nullif(client_address, '')::inet,
            nullif(api_key_id, '')::uuid
        FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::text[], $5::text[], $6::text[],
            $7::text[], $8::text[], $9::text[], $10::text[])
            AS t (id, occurred_at, organization_id, admin_user_id, action, request_id, before, after,
                client_address, api_key_id)
        ON CONFLICT (id) DO NOTHING";
    fn column<T>(told: &[Told], of: impl Fn(&Told) -> T) -> Vec<T> {
        told.iter().map(of).collect()
    }
    fn text<T: ToString>(value: Option<T>) -> String {
        value.map_or_else(String::new, |value| value.to_string())
    }
    let values = [
        column(told, |it| it.id).into(),
        column(told, |it| it.occurred_at).into(),
        column(told, |it| it.organization_id.0).into(),
        column(told, |it| {
            text(it.admin_user_id.as_ref().map(|id| id.0.as_str()))
        })
        .into(),
        column(told, |it| it.action.to_owned()).into(),
        column(told, |it| it.request_id.clone()).into(),
        column(told, |it| text(it.before.as_ref())).into(),
        column(told, |it| it.after.to_string()).into(),
        column(told, |it| text(it.client_address)).into(),
        column(told, |it| text(it.api_key_id)).into(),
    ];
    db.execute_raw(statement(INSERT_TOLD, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    occurred_at: DateTime<Utc>,
    action: String,
    organization_id: Option<Uuid>,
    admin_user_id: Option<String>,
    api_key_id: Option<Uuid>,
    client_address: Option<String>,
    request_id: Option<String>,
    before: Option<Json>,
    after: Option<Json>,
}

impl From<Row> for Recorded {
    fn from(row: Row) -> Self {
        let Row {
            id,
            occurred_at,
            action,
            organization_id,
            admin_user_id,
            api_key_id,
            client_address,
            request_id,
            before,
            after,
        } = row;
        Self {
            id,
            occurred_at,
            action,
            organization_id: organization_id.map(OrganizationId),
            admin_user_id: admin_user_id.map(UserId),
            api_key_id,
            client_address: client_address.and_then(|address| address.parse().ok()),
            request_id,
            before,
            after,
        }
    }
}

/// What a list picks, with its actor looked up.
#[derive(Debug, Clone)]
pub(crate) struct Picked<'a> {
    pub(crate) organization_id: Option<OrganizationId>,
    pub(crate) admin_user_id: Option<&'a UserId>,
    pub(crate) action: Option<&'a str>,
    pub(crate) since: Option<DateTime<Utc>>,
    pub(crate) until: Option<DateTime<Utc>>,
}

const LIST: &str = r"
    SELECT id, occurred_at, action, organization_id, admin_user_id, api_key_id,
           host(client_address) AS client_address, request_id, before, after
    FROM audit_events
    WHERE ($1::uuid IS NULL OR organization_id = $1)
      AND ($2::text IS NULL OR admin_user_id = $2)
      AND ($3::text IS NULL OR action = $3)
      AND ($4::timestamptz IS NULL OR occurred_at >= $4)
      AND ($5::timestamptz IS NULL OR occurred_at < $5)
      AND ($6::timestamptz IS NULL OR (occurred_at, id) < ($6, $7))
    ORDER BY occurred_at DESC, id DESC LIMIT $8";

/// A page, the latest first, and whether there is more behind it.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    picked: &Picked<'_>,
    after: Option<Keyset>,
    size: PageSize,
) -> Result<(Vec<Recorded>, bool), Fault> {
    let Picked {
        organization_id,
        admin_user_id,
        action,
        since,
        until,
    } = picked;
    let values = [
        organization_id.map(|id| id.0).into(),
        admin_user_id.map(|id| id.0.as_str()).into(),
        (*action).into(),
        (*since).into(),
        (*until).into(),
        after.map(|end| end.at).into(),
        after.map(|end| end.id).into(),
        // One more than the page holds tells whether there is another.
        (i64::from(size.get()) + 1).into(),
    ];
    let mut rows = Row::find_by_statement(statement(LIST, values))
        .all(db)
        .await
        .map_err(db_fault)?;
    let more = rows.len() > usize::from(size.get());
    rows.truncate(size.get().into());
    Ok((rows.into_iter().map(Recorded::from).collect(), more))
}
