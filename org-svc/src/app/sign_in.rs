//! SignIn: e-mail and password start a session.

use billing_kit::{Fault, Violation};
use billing_kit_db::db_fault;
use billing_proto::common::v1::ErrorReason;
use chrono::{DateTime, Utc};
use rand::RngExt;
use sea_orm::TransactionTrait;
use secrecy::SecretString;
use serde_json::json;

use super::{
    Admins,
    count_attempt::count_attempt,
    note_failure::note_failure,
    random_id,
    spend_attempt::{give_back, spend_attempt},
};
use crate::{
    domain::{
        account::{NewSession, Restrictions, Session, SessionToken, User, UserId, to_millis},
        attempts::{Attempt, BudgetKey},
        device::DeviceId,
        email::EmailAddress,
        password::{self, StoredHash},
        session,
        sign_in_failure::FailedAction,
    },
    store::{
        audit_events::{self, Action, AuditEvent},
        better_auth::Tables,
    },
};

/// How much of what a client says of itself is kept.
const USER_AGENT_CHARS_MAX: usize = 1_024;
/// How many accounts of one browser are remembered.
const DEVICE_TOKENS_MAX: usize = 3;

/// Who wants in, and from where.
#[derive(Debug)]
pub(crate) struct SignIn {
    pub(crate) email: String,
    pub(crate) password: SecretString,
    pub(crate) remember: bool,
    pub(crate) client: Client,
}

/// The client that a password comes from.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) ip_address: String,
    /// Whether the address is a proxy's that stands for many clients.
    pub(crate) is_shared: bool,
    pub(crate) user_agent: String,
    /// What shows that the browser signed in here before.
    pub(crate) device_tokens: Vec<String>,
}

/// A session that has begun.
#[derive(Debug)]
pub(crate) struct SignedIn {
    pub(crate) session: Session,
    pub(crate) user: User,
    pub(crate) device_token: String,
}

/// Starts a session. Whatever is wrong, the answer is the same and takes as long: up to the password's
/// hash the same statements run for an account that exists and for one that does not.
pub(crate) async fn sign_in(app: &Admins, asked: SignIn) -> Result<SignedIn, Fault> {
    let SignIn {
        email,
        password,
        remember,
        client,
    } = asked;
    let tables = app.known_tables().await?;
    let user = match EmailAddress::parse(&email) {
        Ok(email) => tables.user_by_email(&app.db, &email).await?,
        Err(_) => None,
    };
    let action = FailedAction::SignIn;
    count_attempt(app, Attempt::SignIn, &client, user.as_ref()).await?;
    if password::is_too_long(&password) {
        let violation = Violation::new("password", "It is longer than 128 characters.");
        return Err(Fault::invalid(vec![violation]));
    }
    let device = known_device(app, tables, user.as_ref(), &client).await?;
    let key = match (&user, device) {
        (Some(user), Some(device)) => BudgetKey::of_browser(&user.id, device),
        (Some(_) | None, _) => BudgetKey::of_account(&email),
    };
    let spent = spend_attempt(app, action, key, user.as_ref()).await?;
    let hash = match &user {
        Some(user) => tables.password_hash(&app.db, &user.id).await?,
        None => None,
    };
    let stored = user.as_ref().zip(hash.as_ref());
    let stored = stored.and_then(|(user, text)| recognise(&user.id, text));
    let is_known = stored.is_some();
    let stored = stored.unwrap_or_else(StoredHash::of_nobody);
    let matches = app.passwords.verify(password, stored).await?;
    let (Some(user), Some(hash), true) = (&user, hash, is_known && matches) else {
        note_failure(app, action, user.as_ref(), false).await;
        return Err(Fault::new(
            ErrorReason::Unauthenticated,
            "The e-mail address or the password is wrong.",
        ));
    };
    give_back(app, spent).await?;
    let now = to_millis(app.clock.now());
    if let Err(fault) = admit(tables.restrictions(&app.db, &user.id).await?, now) {
        note_failure(app, action, Some(user), false).await;
        return Err(fault);
    }
    let session = new_session(&user.id, now, remember, &client);
    let session = begin(app, tables, session, device.is_some()).await?;
    Ok(SignedIn {
        session,
        user: user.clone(),
        device_token: device_token(device, &user.id, &hash.into(), now),
    })
}

/// Stores a session and the event that tells of it.
async fn begin(
    app: &Admins,
    tables: Tables,
    session: NewSession,
    is_known_browser: bool,
) -> Result<Session, Fault> {
    let id = app.new_id(tables.session_ids());
    let (user_id, now) = (session.user_id.clone(), session.created_at);
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let session = tables.insert_session(&transaction, id, session).await?;
    let browser = if is_known_browser { "known" } else { "new" };
    let event = AuditEvent {
        id: app.ids.next(),
        occurred_at: now,
        organization_id: None,
        admin_user_id: Some(&user_id),
        action: Action::SignInSucceeded,
        before: None,
        after: Some(json!({ "browser": browser })),
    };
    audit_events::insert(&transaction, event).await?;
    transaction.commit().await.map_err(db_fault)?;
    Ok(session)
}

/// The browser that signed in to this account before. A client that shows nothing costs no statement.
async fn known_device(
    app: &Admins,
    tables: Tables,
    user: Option<&User>,
    client: &Client,
) -> Result<Option<DeviceId>, Fault> {
    let shown = client.device_tokens.iter().take(DEVICE_TOKENS_MAX);
    let (Some(user), false) = (user, client.device_tokens.is_empty()) else {
        return Ok(None);
    };
    let Some(hash) = tables.password_hash(&app.db, &user.id).await? else {
        return Ok(None);
    };
    let (hash, now) = (hash.into(), app.clock.now());
    let mut known = shown.filter_map(|token| DeviceId::read(token, &user.id, &hash, now));
    Ok(known.next())
}

/// What the browser shows from now on: under its old number where it has one.
pub(super) fn device_token(
    known: Option<DeviceId>,
    user_id: &UserId,
    stored_hash: &SecretString,
    now: DateTime<Utc>,
) -> String {
    let device = known.unwrap_or_else(|| DeviceId::new(rand::rng().random()));
    device.token(user_id, stored_hash, now)
}

/// A session that begins now.
pub(super) fn new_session(
    user_id: &UserId,
    now: DateTime<Utc>,
    remember: bool,
    client: &Client,
) -> NewSession {
    NewSession {
        token: SessionToken::new(random_id()),
        user_id: user_id.clone(),
        expires_at: session::end_of_new(now, remember),
        created_at: now,
        ip_address: client.ip_address.clone(),
        user_agent: client
            .user_agent
            .chars()
            .take(USER_AGENT_CHARS_MAX)
            .collect(),
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
            "This account has a second factor, which this service does not check. Sign in where it was set up; that session is valid here too.",
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
            "a password is stored in a format that Better Auth does not use; set a new one with: org-svc admin create"
        );
    }
    stored
}
