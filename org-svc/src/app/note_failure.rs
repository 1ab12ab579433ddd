//! Counts attempts at a password that failed, for the audit trail and the log.

use billing_kit::context::RequestContext;

use super::Admins;
use crate::{
    domain::{
        account::{User, to_millis},
        sign_in_failure::{FailedAction, Failure},
    },
    store::sign_in_failures,
};

/// Counts a failed attempt; `is_refused` where it came too often to be looked at. An attempt that
/// cannot be counted is answered as any other.
pub(super) async fn note_failure(
    app: &Admins,
    action: FailedAction,
    user: Option<&User>,
    is_refused: bool,
) {
    let failure = Failure {
        action,
        user_id: user.map(|user| &user.id),
        address: RequestContext::current().client_address,
        is_refused,
        at: to_millis(app.clock.now()),
    };
    match sign_in_failures::count(&app.db, app.ids.next(), &failure).await {
        Ok(false) => {}
        // Once for each account, network and hour: the log cannot be filled either.
        Ok(true) => tracing::info!(
            action = action.as_str(),
            user_id = user.map(|user| user.id.0.as_str()),
            network = failure.network(),
            "an attempt at a password failed; more of this hour are counted in the audit trail"
        ),
        Err(fault) => fault.log(),
    }
}
