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
    sign_in::{new_session, recognise},
};
use crate::{
    domain::{
        account::{Session, SessionToken, User, to_millis},
        attempts::Attempt,
        password::{self, NewPasswordFault},
    },
    store::audit_events::{self, Action, AuditEvent},
};

/// Who wants another password, and from where.
#[derive(Debug)]
pub(crate) struct ChangePassword {
    pub(crate) token: SessionToken,
    pub(crate) current: SecretString,
    pub(crate) new: SecretString,
    pub(crate) revoke_other_sessions: bool,
    pub(crate) ip_address: String,
    pub(crate) user_agent: String,
}

/// A password that was changed.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) user: User,
    /// The session that goes on, where all others ended.
    pub(crate) session: Option<Session>,
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
        ip_address,
        user_agent,
    } = asked;
    count_attempt(app, Attempt::ChangePassword, &ip_address).await?;
    let Some(found) = get_session(app, &token, false).await? else {
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
    let user = found.user;
    let Some(known) = tables.password_hash(&app.db, &user.id).await? else {
        return Ok(Err(Refusal::NoneSet));
    };
    let matches = match recognise(&user.id, &known) {
        Some(stored) => app.passwords.verify(current, stored).await?,
        None => false,
    };
    if !matches {
        return Ok(Err(Refusal::CurrentWrong));
    }
    let hash = app.passwords.hash(new).await?;
    let now = to_millis(app.clock.now());
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let replaced = tables
        .replace_password_hash(&transaction, &user.id, &known, &hash, now)
        .await?;
    if !replaced {
        // Somebody else replaced it meanwhile: what was shown is not the current one any more.
        transaction.rollback().await.map_err(db_fault)?;
        return Ok(Err(Refusal::CurrentWrong));
    }
    let session = if revoke_other_sessions {
        tables.delete_sessions_of(&transaction, &user.id).await?;
        let session = new_session(&user.id, now, true, ip_address, &user_agent);
        let id = app.new_id(tables.session_ids());
        Some(tables.insert_session(&transaction, id, session).await?)
    } else {
        None
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
    Ok(Ok(Changed { user, session }))
}
