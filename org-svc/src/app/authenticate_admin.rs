//! AuthenticateAdmin: vouches for the admin behind a session token or an API key.

use billing_kit::{
    Fault,
    assertion::{self, Admin, Signer},
};
use billing_proto::common::v1::ErrorReason;
use chrono::{DateTime, TimeDelta, Utc};

use super::{Admins, get_session::get_session, sign_in::banned};
use crate::{
    domain::{
        account::{SessionToken, User},
        api_key::{Access, ApiKey, SECRET_PREFIX, Secret},
    },
    store::{
        admins::{self, ListedAdmin},
        api_keys,
    },
};

/// How exact "last seen" is: a page asks several times.
const NOTED_EVERY: TimeDelta = TimeDelta::minutes(5);

/// The admin, and the assertion that every service verifies by itself.
#[derive(Debug)]
pub(crate) struct Vouched {
    pub(crate) user: User,
    pub(crate) assertion: String,
    /// The key that was shown in place of a session.
    pub(crate) api_key: Option<ApiKey>,
}

/// Vouches for an admin. A session is left as it is.
pub(crate) async fn authenticate_admin(
    app: &Admins,
    signer: &Signer,
    shown: &SessionToken,
) -> Result<Vouched, Fault> {
    let (user, api_key) = if shown.expose().starts_with(SECRET_PREFIX) {
        let (user, key) = user_of_key(app, shown).await?;
        (user, Some(key))
    } else {
        (user_of_session(app, shown).await?, None)
    };
    let now = app.clock.now();
    let Some(listed) = admins::get(&app.db, &user.id).await? else {
        return Err(Fault::new(
            ErrorReason::PermissionDenied,
            "This user is not a billing admin.",
        ));
    };
    let tables = app.known_tables().await?;
    let restrictions = tables.restrictions(&app.db, &user.id).await?;
    if restrictions.is_banned(now) {
        return Err(banned());
    }
    let admin = Admin {
        user_id: user.id.0.clone(),
        email: user.email.clone(),
    };
    let assertion = match &api_key {
        None => {
            note_visit(app, &listed, now).await;
            signer.sign(&admin, now)?
        }
        Some(key) => {
            note_use(app, key, now).await;
            signer.sign_for_key(&admin, claim(key), now)?
        }
    };
    Ok(Vouched {
        user,
        assertion,
        api_key,
    })
}

async fn user_of_session(app: &Admins, token: &SessionToken) -> Result<User, Fault> {
    let found = get_session(app, token, false).await?;
    found.map(|found| found.user).ok_or_else(|| {
        Fault::new(
            ErrorReason::Unauthenticated,
            "There is no session, or it has ended. Sign in again.",
        )
    })
}

/// Whose key it is. What is wrong with one that does not open is not told.
async fn user_of_key(app: &Admins, shown: &SessionToken) -> Result<(User, ApiKey), Fault> {
    let refused = || {
        Fault::new(
            ErrorReason::Unauthenticated,
            "There is no such API key, or it has ended.",
        )
    };
    let secret = Secret::read(shown.expose()).ok_or_else(refused)?;
    let key = api_keys::by_secret(&app.db, &secret)
        .await?
        .filter(|key| key.is_good(app.clock.now()))
        .ok_or_else(refused)?;
    let tables = app.known_tables().await?;
    let user = tables.user(&app.db, &key.admin_user_id).await?;
    Ok((user.ok_or_else(refused)?, key))
}

fn claim(key: &ApiKey) -> assertion::ApiKey {
    assertion::ApiKey {
        id: key.id.0,
        is_read_only: match key.access {
            Access::ReadOnly => true,
            Access::Full => false,
        },
    }
}

/// Keeps when a key was used, now and then; that it cannot be kept keeps nobody out.
async fn note_use(app: &Admins, key: &ApiKey, now: DateTime<Utc>) {
    if !key.is_use_news(now) {
        return;
    }
    if let Err(fault) = api_keys::note_use(&app.db, key.id, now).await {
        fault.log();
    }
}

/// Keeps when the admin was here, now and then; that it cannot be kept keeps nobody out.
async fn note_visit(app: &Admins, admin: &ListedAdmin, now: DateTime<Utc>) {
    let is_fresh = |seen: DateTime<Utc>| now - seen < NOTED_EVERY;
    if admin.last_seen_at.is_some_and(is_fresh) {
        return;
    }
    if let Err(fault) = admins::note_visit(&app.db, &admin.user_id, now).await {
        fault.log();
    }
}
