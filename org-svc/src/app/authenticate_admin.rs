//! AuthenticateAdmin: vouches for the admin behind a session token.

use billing_kit::{
    Fault,
    assertion::{Admin, Signer},
};
use billing_proto::common::v1::ErrorReason;

use super::{Admins, get_session::get_session};
use crate::{
    domain::account::{SessionToken, User},
    store::admins,
};

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
    if !admins::contains(&app.db, &found.user.id).await? {
        return Err(Fault::new(
            ErrorReason::PermissionDenied,
            "This user is no admin of billing.",
        ));
    }
    let admin = Admin {
        user_id: found.user.id.0.clone(),
        email: found.user.email.clone(),
    };
    let assertion = signer.sign(&admin, app.clock.now())?;
    Ok((found.user, assertion))
}
