//! `audit_events_to_tell`: what admins decided here, stored with the decision, for the trail that org-svc
//! keeps.

use billing_kit::{assertion::Admin, context::RequestContext};
use billing_kit_db::StoreError;
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, EntityTrait, FromQueryResult, Set};
use serde_json::Value as Json;
use uuid::Uuid;

use super::{
    entities::audit_events::{ActiveModel, Entity},
    outbox::{Leased, Outbox, outbox},
};
use crate::domain::audit::Change;

/// Who makes a change, and how it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Author {
    /// None for what no admin did.
    pub(crate) admin_user_id: Option<String>,
    pub(crate) api_key_id: Option<Uuid>,
    pub(crate) client_address: Option<String>,
    pub(crate) request_id: String,
}

impl Author {
    /// The admin of the request that is being served, where it came from and the API key that it showed.
    pub(crate) fn of(admin: &Admin) -> Self {
        let context = RequestContext::current();
        Self {
            admin_user_id: Some(admin.user_id.clone()),
            api_key_id: context.api_key_id(),
            client_address: context.client_address.map(|address| address.to_string()),
            request_id: context.request_id,
        }
    }

    /// No admin: the configuration, in which a rule was switched off, or an instance, by what it reported.
    pub(crate) fn nobody() -> Self {
        Self {
            admin_user_id: None,
            api_key_id: None,
            client_address: None,
            request_id: RequestContext::current().request_id,
        }
    }
}

/// Stores a change under a new id, as the admin's of the request that is being served.
pub(crate) async fn record(
    db: &impl ConnectionTrait,
    id: Uuid,
    change: Change,
    admin: &Admin,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    record_by(db, id, change, &Author::of(admin), now).await
}

/// Stores a change under a new id, with who made it.
pub(crate) async fn record_by(
    db: &impl ConnectionTrait,
    id: Uuid,
    change: Change,
    author: &Author,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let Change {
        action,
        organization_id,
        before,
        after,
    } = change;
    let Author {
        admin_user_id,
        api_key_id,
        client_address,
        request_id,
    } = author.clone();
    let row = ActiveModel {
        id: Set(id),
        occurred_at: Set(now),
        action: Set(action.as_str().to_owned()),
        organization_id: Set(organization_id),
        admin_user_id: Set(admin_user_id),
        api_key_id: Set(api_key_id),
        client_address: Set(client_address),
        request_id: Set(request_id),
        before: Set(before),
        after: Set(after),
        next_attempt_at: Set(now),
        ..Default::default()
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// A change that is being handed over.
#[derive(Debug, FromQueryResult)]
pub(crate) struct ToRecord {
    pub(crate) id: Uuid,
    pub(crate) occurred_at: DateTime<Utc>,
    pub(crate) action: String,
    pub(crate) organization_id: Uuid,
    /// None for what no admin did.
    pub(crate) admin_user_id: Option<String>,
    pub(crate) api_key_id: Option<Uuid>,
    pub(crate) client_address: Option<String>,
    pub(crate) request_id: String,
    pub(crate) before: Option<Json>,
    pub(crate) after: Json,
    attempt_count: i32,
}

impl Leased for ToRecord {
    const OUTBOX: Outbox = outbox!(
        "audit_events_to_tell",
        "id::text",
        "t.id, t.occurred_at, t.action, t.organization_id, t.admin_user_id, t.api_key_id,
            t.client_address, t.request_id, t.before, t.after, t.attempt_count"
    );

    fn key(&self) -> String {
        self.id.to_string()
    }

    fn attempt_count(&self) -> i32 {
        self.attempt_count
    }
}
