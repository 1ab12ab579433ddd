//! GetSession: the session of a token and its user; extends the session when it is due.

use billing_kit::Fault;

use super::Admins;
use crate::domain::{
    account::{Session, SessionToken, User, to_millis},
    session::{self, Fate},
};

/// A session that is good now.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) session: Session,
    pub(crate) user: User,
    /// Whether its end was just moved.
    pub(crate) refreshed: bool,
}

/// Gets a session; `None` where there is none, or it has ended.
pub(crate) async fn get_session(
    app: &Admins,
    token: &SessionToken,
    refresh: bool,
) -> Result<Option<Found>, Fault> {
    let tables = app.known_tables().await?;
    let Some(mut session) = tables.session(&app.db, token).await? else {
        return Ok(None);
    };
    let Some(user) = tables.user(&app.db, &session.user_id).await? else {
        return Ok(None);
    };
    let now = to_millis(app.clock.now());
    match session::fate(session.expires_at, now, refresh) {
        Fate::Expired => {
            tables.delete_session(&app.db, token).await?;
            Ok(None)
        }
        Fate::Good => Ok(Some(Found {
            session,
            user,
            refreshed: false,
        })),
        Fate::Extended(expires_at) => {
            let extended = tables
                .extend_session(&app.db, token, expires_at, now)
                .await?;
            session.expires_at = expires_at;
            session.updated_at = now;
            // Signed out in the meantime.
            Ok(extended.then_some(Found {
                session,
                user,
                refreshed: true,
            }))
        }
    }
}
