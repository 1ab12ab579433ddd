//! Replaces a user's own password.

use billing_kit::Fault;
use billing_proto::org::v1::{self as org, ChangePasswordRequest, PasswordRefusal};
use secrecy::{ExposeSecret, SecretString};

use super::{App, Session, SignInClient, User, translate};
use crate::domain::session_cookie::SessionToken;

/// What a user shows, and what for.
#[derive(Debug)]
pub(crate) struct NewPassword {
    /// The password as it is.
    pub current: SecretString,
    /// The password as it shall be.
    pub new: SecretString,
    /// Whether the user's sessions end; then a new one begins.
    pub revoke_other_sessions: bool,
    /// Where it comes from.
    pub client: SignInClient,
}

/// A password that was changed.
#[derive(Debug)]
pub(crate) struct PasswordChange {
    /// The user.
    pub user: User,
    /// The session that goes on, where all others ended.
    pub session: Option<Session>,
    /// What the browser shows from now on.
    pub device_token: String,
}

impl App {
    /// Changes the password of the session's user; inside, why it stays as it was.
    ///
    /// # Errors
    /// UNAUTHENTICATED without a session; RATE_LIMITED.
    pub(crate) async fn change_password(
        &self,
        token: &SessionToken,
        asked: NewPassword,
    ) -> Result<Result<PasswordChange, PasswordRefusal>, Fault> {
        let NewPassword {
            current,
            new,
            revoke_other_sessions,
            client:
                SignInClient {
                    ip_address,
                    is_shared,
                    user_agent,
                    device_tokens,
                },
        } = asked;
        let request = ChangePasswordRequest {
            session_token: token.expose().to_owned(),
            current_password: current.expose_secret().to_owned(),
            new_password: new.expose_secret().to_owned(),
            revoke_other_sessions,
            ip_address,
            user_agent,
            shared_address: is_shared,
            device_tokens,
        };
        let response = self
            .upstream
            .sign_in
            .clone()
            .change_password(request)
            .await
            .map_err(Fault::from_status)?
            .into_inner();
        match response.refusal() {
            PasswordRefusal::Unspecified => {}
            refusal @ (PasswordRefusal::TooShort
            | PasswordRefusal::TooLong
            | PasswordRefusal::CurrentWrong
            | PasswordRefusal::NoneSet) => return Ok(Err(refusal)),
        }
        let org::ChangePasswordResponse {
            refusal: _,
            user,
            session,
            device_token,
        } = response;
        Ok(Ok(PasswordChange {
            user: translate::user(user.unwrap_or_default())?,
            session: session.map(translate::session).transpose()?,
            device_token,
        }))
    }
}
