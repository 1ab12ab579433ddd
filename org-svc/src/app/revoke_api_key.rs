//! RevokeApiKey: ends a key, whosever it is.

use billing_kit::{Fault, assertion::Admin};
use billing_kit_db::db_fault;
use billing_proto::common::v1::ErrorReason;
use sea_orm::TransactionTrait;

use super::{Admins, create_api_key::as_json};
use crate::{
    domain::{
        account::{UserId, to_millis},
        api_key::{ApiKey, ApiKeyId},
    },
    store::{
        api_keys,
        audit_events::{self, Action, AuditEvent},
    },
};

/// Ends a key; one that was revoked before stays as it is.
pub(crate) async fn revoke_api_key(
    app: &Admins,
    admin: &Admin,
    id: ApiKeyId,
) -> Result<ApiKey, Fault> {
    let now = to_millis(app.clock.now());
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let key = api_keys::lock(&transaction, id)
        .await?
        .ok_or_else(|| Fault::new(ErrorReason::ApiKeyNotFound, "There is no such API key."))?;
    if key.revoked_at.is_some() {
        return Ok(key);
    }
    api_keys::revoke(&transaction, id, now).await?;
    let revoked = ApiKey {
        revoked_at: Some(now),
        ..key.clone()
    };
    let admin_user_id = UserId(admin.user_id.clone());
    let event = AuditEvent {
        id: app.ids.next(),
        occurred_at: now,
        organization_id: None,
        admin_user_id: Some(&admin_user_id),
        action: Action::ApiKeyRevoked,
        before: Some(as_json(&key)),
        after: Some(as_json(&revoked)),
    };
    audit_events::insert(&transaction, event).await?;
    transaction.commit().await.map_err(db_fault)?;
    Ok(revoked)
}
