//! AuthenticateAdmin: vouches for the admin behind a session token.

use billing_kit::{
    Fault,
    assertion::{Admin, Signer},
};
use billing_proto::common::v1::ErrorReason;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Admins, get_session::get_session, sign_in::banned};
use crate::{
    domain::account::{SessionToken, User},
    store::admins::{self, ListedAdmin},
};

/// How exact "last seen" is: a page asks several times.
const NOTED_EVERY: TimeDelta = TimeDelta::minutes(5);

/// The admin, and the assertion that every service verifies by itself. The session is left as it is.
pub(crate) async fn authenticate_admin(
    app: &Admins,
    signer: &Signer,
    token: &SessionToken,
) -> Result<(User, String), Fault> {
    let Some(found) = get_session(app, token, false).await? else {
        return Err(Fault::new(
            ErrorReason::Unauthenticated,
            "There is no session, or it has ended. Sign in again.",
        ));
    };
    let now = app.clock.now();
    let Some(listed) = admins::get(&app.db, &found.user.id).await? else {
        return Err(Fault::new(
            ErrorReason::PermissionDenied,
            "This user is no admin of billing.",
        ));
    };
    let tables = app.known_tables().await?;
    let restrictions = tables.restrictions(&app.db, &found.user.id).await?;
    if restrictions.is_banned(now) {
        return Err(banned());
    }
    note_visit(app, &listed, now).await;
    let admin = Admin {
        user_id: found.user.id.0.clone(),
        email: found.user.email.clone(),
    };
    let assertion = signer.sign(&admin, now)?;
    Ok((found.user, assertion))
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
