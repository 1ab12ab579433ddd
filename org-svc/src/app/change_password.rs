//! ChangePassword: a user replaces their own password.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use billing_proto::common::v1::ErrorReason;
use sea_orm::TransactionTrait;
use secrecy::SecretString;
use serde_json::json;

use super::{
    Admins,
    count_attempt::count_attempt,
    get_session::get_session,
    note_failure::note_failure,
    sign_in::{Client, device_token, new_session, recognise},
    spend_attempt::{give_back, spend_attempt},
};
use crate::{
    domain::{
        account::{Session, SessionToken, User, to_millis},
        attempts::{Attempt, BudgetKey},
        password::{self, NewPasswordFault},
        sign_in_failure::FailedAction,
    },
    store::{
        audit_events::{self, Action, AuditEvent},
        better_auth::Tables,
    },
};

/// Who wants another password, and from where.
#[derive(Debug)]
pub(crate) struct ChangePassword {
    pub(crate) token: SessionToken,
    pub(crate) current: SecretString,
    pub(crate) new: SecretString,
    pub(crate) revoke_other_sessions: bool,
    pub(crate) client: Client,
}

/// A password that was changed.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) user: User,
    /// The session that goes on, where all others ended.
    pub(crate) session: Option<Session>,
    pub(crate) device_token: String,
}

/// Why a password stays as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    TooShort,
    TooLong,
    CurrentWrong,
    NoneSet,
}

impl From<NewPasswordFault> for Refusal {
    fn from(fault: NewPasswordFault) -> Self {
        match fault {
            NewPasswordFault::TooShort => Self::TooShort,
            NewPasswordFault::TooLong => Self::TooLong,
        }
    }
}

/// Replaces the password of the session's user, in the order in which Better Auth looks at things.
pub(crate) async fn change_password(
    app: &Admins,
    asked: ChangePassword,
) -> Result<Result<Changed, Refusal>, Fault> {
    let ChangePassword {
        token,
        current,
        new,
        revoke_other_sessions,
        client,
    } = asked;
    let found = get_session(app, &token, false).await?;
    let known = found.as_ref().map(|found| &found.user);
    count_attempt(app, Attempt::ChangePassword, &client, known).await?;
    let Some(found) = found else {
        return Err(Fault::new(
            ErrorReason::Unauthenticated,
            "There is no session, or it has ended. Sign in again.",
        ));
    };
    if let Err(fault) = password::check_new(&new) {
        return Ok(Err(fault.into()));
    }
    if password::is_too_long(&current) {
        return Ok(Err(Refusal::TooLong));
    }
    let tables = app.known_tables().await?;
    let action = FailedAction::PasswordChange;
    let user = found.user;
    // By the session: a stranger who tries to sign in cannot keep its user from a new password.
    let key = BudgetKey::of_session(&user.id, &found.session.id);
    let spent = spend_attempt(app, action, key, Some(&user)).await?;
    let Some(known) = tables.password_hash(&app.db, &user.id).await? else {
        return Ok(Err(Refusal::NoneSet));
    };
    let matches = match recognise(&user.id, &known) {
        Some(stored) => app.passwords.verify(current, stored).await?,
        None => false,
    };
    if !matches {
        note_failure(app, action, Some(&user), false).await;
        return Ok(Err(Refusal::CurrentWrong));
    }
    give_back(app, spent).await?;
    let hash = app.passwords.hash(new).await?;
    let next = revoke_other_sessions.then_some(&client);
    let replaced = replace(app, tables, &user, (&known, &hash), next).await?;
    let Some(session) = replaced else {
        // Somebody else replaced it meanwhile: what was shown is not the current one any more.
        return Ok(Err(Refusal::CurrentWrong));
    };
    // The browser's token ended with the old password.
    let now = app.clock.now();
    let device_token = device_token(None, &user.id, &hash.into(), now);
    Ok(Ok(Changed {
        user,
        session,
        device_token,
    }))
}

/// Replaces one hash by another, and all sessions by a new one of the client `next`; `None` where the
/// hash is another one by now.
async fn replace(
    app: &Admins,
    tables: Tables,
    user: &User,
    (known, hash): (&str, &str),
    next: Option<&Client>,
) -> Result<Option<Option<Session>>, Fault> {
    let now = to_millis(app.clock.now());
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let replaced = tables
        .replace_password_hash(&transaction, &user.id, known, hash, now)
        .await?;
    if !replaced {
        transaction.rollback().await.map_err(db_fault)?;
        return Ok(None);
    }
    let session = match next {
        Some(client) => {
            tables.delete_sessions_of(&transaction, &user.id).await?;
            let session = new_session(&user.id, now, true, client);
            let id = app.new_id(tables.session_ids());
            Some(tables.insert_session(&transaction, id, session).await?)
        }
        None => None,
    };
    let event = AuditEvent {
        id: app.ids.next(),
        occurred_at: now,
        organization_id: None,
        admin_user_id: Some(&user.id),
        action: Action::AdminPasswordSet,
        before: None,
        after: Some(json!({ "email": user.email, "by": "the user" })),
    };
    audit_events::insert(&transaction, event).await?;
    transaction.commit().await.map_err(db_fault)?;
    Ok(Some(session))
}
