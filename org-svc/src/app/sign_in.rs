//! SignIn: e-mail and password start a session.

use billing_kit::{Fault, Violation};
use billing_proto::common::v1::ErrorReason;
use chrono::{DateTime, Utc};
use secrecy::SecretString;

use super::{Admins, count_attempt::count_attempt, random_id};
use crate::domain::{
    account::{NewSession, Restrictions, Session, SessionToken, User, UserId, to_millis},
    attempts::Attempt,
    email::EmailAddress,
    password::{self, StoredHash},
    session,
};

/// How much of what a client says of itself is kept.
const USER_AGENT_CHARS_MAX: usize = 1_024;

/// Who wants in, and from where.
#[derive(Debug)]
pub(crate) struct SignIn {
    pub(crate) email: String,
    pub(crate) password: SecretString,
    pub(crate) remember: bool,
    pub(crate) ip_address: String,
    pub(crate) user_agent: String,
}

/// Starts a session. Whatever is wrong, the answer is the same and takes as long.
pub(crate) async fn sign_in(app: &Admins, asked: SignIn) -> Result<(Session, User), Fault> {
    let SignIn {
        email,
        password,
        remember,
        ip_address,
        user_agent,
    } = asked;
    count_attempt(app, Attempt::SignIn, &ip_address).await?;
    if password::is_too_long(&password) {
        let violation = Violation::new("password", "It is longer than 128 characters.");
        return Err(Fault::invalid(vec![violation]));
    }
    let tables = app.known_tables().await?;
    let user = match EmailAddress::parse(&email) {
        Ok(email) => tables.user_by_email(&app.db, &email).await?,
        Err(_) => None,
    };
    let stored = match &user {
        Some(user) => {
            let text = tables.password_hash(&app.db, &user.id).await?;
            text.and_then(|text| recognise(&user.id, &text))
        }
        None => None,
    };
    let is_known = stored.is_some();
    let stored = stored.unwrap_or_else(StoredHash::of_nobody);
    let matches = app.passwords.verify(password, stored).await?;
    let Some(user) = user.filter(|_| is_known && matches) else {
        return Err(Fault::new(
            ErrorReason::Unauthenticated,
            "The e-mail address or the password is wrong.",
        ));
    };
    let now = to_millis(app.clock.now());
    admit(tables.restrictions(&app.db, &user.id).await?, now)?;
    let session = new_session(&user.id, now, remember, ip_address, &user_agent);
    let id = app.new_id(tables.session_ids());
    let session = tables.insert_session(&app.db, id, session).await?;
    Ok((session, user))
}

/// A session that begins now.
pub(super) fn new_session(
    user_id: &UserId,
    now: DateTime<Utc>,
    remember: bool,
    ip_address: String,
    user_agent: &str,
) -> NewSession {
    NewSession {
        token: SessionToken::new(random_id()),
        user_id: user_id.clone(),
        expires_at: session::end_of_new(now, remember),
        created_at: now,
        ip_address,
        user_agent: user_agent.chars().take(USER_AGENT_CHARS_MAX).collect(),
    }
}

/// What stands against a user who showed the right password. Nobody else learns of it.
fn admit(restrictions: Restrictions, now: DateTime<Utc>) -> Result<(), Fault> {
    if restrictions.is_banned(now) {
        return Err(banned());
    }
    if restrictions.second_factor {
        return Err(Fault::new(
            ErrorReason::SecondFactorNeeded,
            "This account has a second factor, which is not checked here. Sign in where it was set up: that session is good here too.",
        ));
    }
    Ok(())
}

/// The refusal of a user who is banned.
pub(super) fn banned() -> Fault {
    Fault::new(ErrorReason::UserBanned, "This user is banned.")
}

/// A deployment can hash its passwords in a way of its own. Who is affected cannot sign in here, and
/// the operator must know why.
pub(super) fn recognise(user_id: &UserId, text: &str) -> Option<StoredHash> {
    let stored = StoredHash::parse(text);
    if stored.is_none() {
        tracing::error!(
            user_id = user_id.0,
            "a password is stored in a format that is not Better Auth's own; set a new one with: org-svc admin create"
        );
    }
    stored
}
