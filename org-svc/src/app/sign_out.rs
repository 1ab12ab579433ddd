//! SignOut: ends a session.

use billing_kit::Fault;

use super::Admins;
use crate::domain::account::SessionToken;

/// Ends the session of a token; a token without one is fine.
pub(crate) async fn sign_out(app: &Admins, token: &SessionToken) -> Result<(), Fault> {
    app.known_tables()
        .await?
        .delete_session(&app.db, token)
        .await
}
