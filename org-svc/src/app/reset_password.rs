//! Gives a user a new password, by the operator's hand.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use sea_orm::TransactionTrait;
use secrecy::SecretString;
use serde_json::json;

use super::{Admins, create_admin::set_password};
use crate::{
    domain::{account::to_millis, attempts::BudgetKey, email::EmailAddress},
    store::{
        api_keys,
        audit_events::{self, Action, AuditEvent},
        sign_in_budgets,
    },
};

/// Sets the password, whose length was checked, and ends the user's sessions and API keys: a person
/// who knew the old password is out. Says whether there is such a user.
pub(crate) async fn reset_password(
    app: &Admins,
    email: &EmailAddress,
    password: SecretString,
) -> Result<bool, Fault> {
    let tables = app.known_tables().await?;
    let hash = app.passwords.hash(password).await?;
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let Some(user) = tables.user_by_email(&transaction, email).await? else {
        return Ok(false);
    };
    set_password(app, &transaction, tables, &user.id, &hash).await?;
    let now = to_millis(app.clock.now());
    tables.delete_sessions_of(&transaction, &user.id).await?;
    let revoked = api_keys::revoke_all_of(&transaction, &user.id, now).await?;
    // Attempts at the old password keep nobody from trying the new one.
    sign_in_budgets::delete(&transaction, &BudgetKey::of_account(email.as_str())).await?;
    let event = AuditEvent {
        id: app.ids.next(),
        occurred_at: now,
        organization_id: None,
        admin_user_id: Some(&user.id),
        action: Action::AdminPasswordSet,
        before: None,
        after: Some(json!({ "email": user.email, "api_keys_revoked": revoked })),
    };
    audit_events::insert(&transaction, event).await?;
    transaction.commit().await.map_err(db_fault)?;
    Ok(true)
}
