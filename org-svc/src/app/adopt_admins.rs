//! Makes users of an existing Better Auth deployment admins of billing.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use sea_orm::TransactionTrait;
use serde_json::json;

use super::Admins;
use crate::{
    domain::{
        account::{User, to_millis},
        email::EmailAddress,
    },
    store::{
        admins, api_keys,
        audit_events::{self, Action, AuditEvent},
    },
};

/// Whom to adopt.
#[derive(Debug)]
pub(crate) enum Whom {
    One(EmailAddress),
    Everybody,
}

/// Adopts users; answers with each, and whether they were no admin before. Empty where nobody was
/// found.
pub(crate) async fn adopt_admins(app: &Admins, whom: Whom) -> Result<Vec<(User, bool)>, Fault> {
    let tables = app.known_tables().await?;
    let now = to_millis(app.clock.now());
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let users = match whom {
        Whom::One(email) => tables
            .user_by_email(&transaction, &email)
            .await?
            .into_iter()
            .collect(),
        Whom::Everybody => tables.users(&transaction).await?,
    };
    let mut adopted = Vec::with_capacity(users.len());
    for user in users {
        let is_new = admins::insert(&transaction, &user.id, now).await?;
        if is_new {
            // Keys from a time as an admin that ended in another way than by `disable`.
            let revoked = api_keys::revoke_all_of(&transaction, &user.id, now).await?;
            let event = AuditEvent {
                id: app.ids.next(),
                occurred_at: now,
                organization_id: None,
                admin_user_id: Some(&user.id),
                action: Action::AdminAdopted,
                before: None,
                after: Some(json!({ "email": user.email, "api_keys_revoked": revoked })),
            };
            audit_events::insert(&transaction, event).await?;
        }
        adopted.push((user, is_new));
    }
    transaction.commit().await.map_err(db_fault)?;
    Ok(adopted)
}
