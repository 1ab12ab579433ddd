//! Creates an admin with a password, or gives an existing user both.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use sea_orm::{DatabaseTransaction, TransactionTrait};
use secrecy::SecretString;
use serde_json::json;

use super::Admins;
use crate::{
    domain::{
        account::{NewUser, UserId, UserName, to_millis},
        attempts::BudgetKey,
        email::EmailAddress,
    },
    store::{
        admins, api_keys,
        audit_events::{self, Action, AuditEvent},
        better_auth::Tables,
        sign_in_budgets,
    },
};

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Created {
    /// The user is new.
    NewUser,
    /// The user was there, and has a new password.
    NewPassword,
}

/// Makes an admin who signs in with this password, whose length was checked.
pub(crate) async fn create_admin(
    app: &Admins,
    email: &EmailAddress,
    name: Option<&UserName>,
    password: SecretString,
) -> Result<Created, Fault> {
    let tables = app.known_tables().await?;
    let hash = app.passwords.hash(password).await?;
    let now = to_millis(app.clock.now());
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let existing = tables.user_by_email(&transaction, email).await?;
    let created = if existing.is_some() {
        Created::NewPassword
    } else {
        Created::NewUser
    };
    let user = match existing {
        Some(user) => user,
        None => {
            let name = name.map_or_else(|| email.local_part(), UserName::as_str);
            let user = NewUser {
                name: name.to_owned(),
                email: email.to_lowercase().as_str().to_owned(),
                created_at: now,
            };
            let id = app.new_id(tables.user_ids());
            tables.insert_user(&transaction, id, user).await?
        }
    };
    set_password(app, &transaction, tables, &user.id, &hash).await?;
    // Sessions and API keys from before must not become an admin's.
    tables.delete_sessions_of(&transaction, &user.id).await?;
    let revoked = api_keys::revoke_all_of(&transaction, &user.id, now).await?;
    // Attempts at the old password keep nobody from trying the new one.
    sign_in_budgets::delete(&transaction, &BudgetKey::of_account(email.as_str())).await?;
    admins::insert(&transaction, &user.id, now).await?;
    let action = match created {
        Created::NewUser => Action::AdminCreated,
        Created::NewPassword => Action::AdminPasswordSet,
    };
    let event = AuditEvent {
        id: app.ids.next(),
        occurred_at: now,
        organization_id: None,
        admin_user_id: Some(&user.id),
        action,
        before: None,
        after: Some(json!({ "email": user.email, "api_keys_revoked": revoked })),
    };
    audit_events::insert(&transaction, event).await?;
    transaction.commit().await.map_err(db_fault)?;
    Ok(created)
}

/// Sets a user's password, whether there was one or not.
pub(super) async fn set_password(
    app: &Admins,
    transaction: &DatabaseTransaction,
    tables: Tables,
    user_id: &UserId,
    hash: &str,
) -> Result<(), Fault> {
    let now = to_millis(app.clock.now());
    let replaced = tables
        .set_password_hash(transaction, user_id, hash, now)
        .await?;
    if !replaced {
        let id = app.new_id(tables.account_ids());
        tables
            .insert_credential_account(transaction, id, user_id, hash, now)
            .await?;
    }
    Ok(())
}
