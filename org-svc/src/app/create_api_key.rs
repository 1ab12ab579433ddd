//! CreateApiKey: makes a key for an admin's scripts. Its secret is told here and never again.

use billing_kit::{Fault, assertion::Admin};
use billing_kit_db::db_fault;
use rand::RngExt;
use sea_orm::TransactionTrait;
use serde_json::{Value as Json, json};

use super::Admins;
use crate::{
    domain::{
        account::{UserId, to_millis},
        api_key::{Access, ApiKey, ApiKeyId, ApiKeyName, Lifetime, Secret},
    },
    store::{
        api_keys,
        audit_events::{self, Action, AuditEvent},
    },
};

/// Makes a key of this admin's.
pub(crate) async fn create_api_key(
    app: &Admins,
    admin: &Admin,
    name: ApiKeyName,
    access: Access,
    lifetime: Lifetime,
) -> Result<(ApiKey, Secret), Fault> {
    let now = to_millis(app.clock.now());
    let secret = Secret::of(rand::rng().random());
    let key = ApiKey {
        id: ApiKeyId(app.ids.next()),
        name,
        secret_prefix: secret.shown(),
        access,
        admin_user_id: UserId(admin.user_id.clone()),
        created_at: now,
        expires_at: lifetime.end(now),
        last_used_at: None,
        revoked_at: None,
    };
    let transaction = app.db.begin().await.map_err(db_fault)?;
    api_keys::insert(&transaction, &key, &secret).await?;
    let event = AuditEvent {
        id: app.ids.next(),
        occurred_at: now,
        organization_id: None,
        admin_user_id: Some(&key.admin_user_id),
        action: Action::ApiKeyCreated,
        before: None,
        after: Some(as_json(&key)),
    };
    audit_events::insert(&transaction, event).await?;
    transaction.commit().await.map_err(db_fault)?;
    Ok((key, secret))
}

/// A key as the audit trail keeps it.
pub(super) fn as_json(key: &ApiKey) -> Json {
    json!({
        "api_key_id": key.id.0,
        "name": key.name.as_str(),
        "secret_prefix": key.secret_prefix,
        "access": key.access.as_str(),
        "admin_user_id": key.admin_user_id.0,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    })
}
