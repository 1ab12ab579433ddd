//! Takes billing away from an admin.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use sea_orm::TransactionTrait;
use serde_json::json;

use super::Admins;
use crate::{
    domain::{
        account::{UserId, to_millis},
        email::EmailAddress,
    },
    store::{
        admins, api_keys,
        audit_events::{self, Action, AuditEvent},
    },
};

/// Whom to disable.
#[derive(Debug)]
pub(crate) enum Who {
    Email(EmailAddress),
    /// An admin whose user Better Auth has deleted since has no address any more.
    Id(UserId),
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disabled {
    /// The user is not an admin any more, and so many sessions and API keys ended.
    Yes { sessions: u64, api_keys: u64 },
    /// There is no such admin.
    NoSuchAdmin,
}

/// Makes an admin an ordinary user, and ends the user's sessions and API keys, so that no key works
/// again should the user become an admin once more. The account itself stays: it is Better Auth's, and
/// may be good for other things.
pub(crate) async fn disable_admin(app: &Admins, who: Who) -> Result<Disabled, Fault> {
    let tables = app.known_tables().await?;
    let now = to_millis(app.clock.now());
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let (user_id, email) = match who {
        Who::Email(email) => match tables.user_by_email(&transaction, &email).await? {
            Some(user) => (user.id, Some(user.email)),
            None => return Ok(Disabled::NoSuchAdmin),
        },
        Who::Id(id) => (id, None),
    };
    if !admins::delete(&transaction, &user_id).await? {
        return Ok(Disabled::NoSuchAdmin);
    }
    let sessions = tables.delete_sessions_of(&transaction, &user_id).await?;
    let api_keys = api_keys::revoke_all_of(&transaction, &user_id, now).await?;
    let event = AuditEvent {
        id: app.ids.next(),
        occurred_at: now,
        organization_id: None,
        admin_user_id: Some(&user_id),
        action: Action::AdminDisabled,
        before: Some(json!({ "email": email })),
        after: Some(json!({ "api_keys_revoked": api_keys })),
    };
    audit_events::insert(&transaction, event).await?;
    transaction.commit().await.map_err(db_fault)?;
    Ok(Disabled::Yes { sessions, api_keys })
}
