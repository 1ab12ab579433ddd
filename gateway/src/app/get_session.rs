//! Gets the session behind a token.

use billing_kit::Fault;
use billing_proto::org::v1::{self as org, GetSessionRequest};
use chrono::{DateTime, Utc};

use super::{App, translate};
use crate::{domain::session_cookie::SessionToken, upstream::internal_fault};

/// A person who can sign in, as Better Auth tells of one.
#[derive(Debug, Clone)]
pub(crate) struct User {
    /// The id; opaque.
    pub id: String,
    /// The name.
    pub name: String,
    /// The address, in lower case.
    pub email: String,
    /// Whether the address was verified.
    pub email_verified: bool,
    /// The address of a picture.
    pub image: Option<String>,
    /// When the user was created.
    pub created_at: DateTime<Utc>,
    /// When the user last changed.
    pub updated_at: DateTime<Utc>,
}

/// A sign-in that lasts.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// The id; opaque.
    pub id: String,
    /// The secret that stands for it.
    pub token: SessionToken,
    /// Whose it is.
    pub user_id: String,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was last extended.
    pub updated_at: DateTime<Utc>,
    /// The client's address at sign-in.
    pub ip_address: Option<String>,
    /// The client's user agent at sign-in.
    pub user_agent: Option<String>,
}

/// A session that is good now.
#[derive(Debug, Clone)]
pub(crate) struct CurrentSession {
    /// The session.
    pub session: Session,
    /// Its user.
    pub user: User,
    /// Whether its end was just moved, so that the cookie is to be sent again.
    pub refreshed: bool,
}

impl App {
    /// Gets the session and extends it when it is due, unless that is not wanted. `None` when there
    /// is none, or it has expired.
    ///
    /// # Errors
    /// org-svc cannot be asked.
    pub(crate) async fn get_session(
        &self,
        token: &SessionToken,
        disable_refresh: bool,
    ) -> Result<Option<CurrentSession>, Fault> {
        let request = GetSessionRequest {
            session_token: token.expose().to_owned(),
            disable_refresh,
        };
        let org::GetSessionResponse {
            session,
            user,
            refreshed,
        } = self
            .upstream
            .sessions
            .clone()
            .get_session(request)
            .await
            .map_err(internal_fault)?
            .into_inner();
        let (Some(session), Some(user)) = (session, user) else {
            return Ok(None);
        };
        Ok(Some(CurrentSession {
            session: translate::session(session)?,
            user: translate::user(user)?,
            refreshed,
        }))
    }
}
