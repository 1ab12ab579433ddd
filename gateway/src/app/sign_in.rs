//! Signs a user in.

use billing_kit::Fault;
use billing_proto::{
    common::v1::ErrorReason,
    org::v1::{self as org, SignInRequest},
};
use secrecy::{ExposeSecret, SecretString};

use super::{App, Session, User, translate};

/// What a user shows to be let in.
#[derive(Debug)]
pub(crate) struct Credentials {
    /// The e-mail address, in any case.
    pub email: String,
    /// The password.
    pub password: SecretString,
    /// Whether the session lasts seven days instead of one.
    pub remember: bool,
    /// Where they come from.
    pub client: SignInClient,
}

/// The client that a password comes from.
#[derive(Debug)]
pub(crate) struct SignInClient {
    /// Its address, counted and kept with the session.
    pub ip_address: String,
    /// Whether that is a proxy's, which stands for many clients.
    pub is_shared: bool,
    /// Its user agent, kept with the session.
    pub user_agent: String,
    /// What it got when it signed in before.
    pub device_tokens: Vec<String>,
}

/// A session that has begun.
#[derive(Debug)]
pub(crate) struct SignedIn {
    /// The session.
    pub session: Session,
    /// Its user.
    pub user: User,
    /// What the browser shows from now on.
    pub device_token: String,
}

impl App {
    /// Signs a user in: admin or not, that is asked with each call.
    ///
    /// # Errors
    /// UNAUTHENTICATED when the address or the password is wrong; which of the two is not told.
    pub(crate) async fn sign_in(&self, credentials: Credentials) -> Result<SignedIn, Fault> {
        let Credentials {
            email,
            password,
            remember,
            client:
                SignInClient {
                    ip_address,
                    is_shared,
                    user_agent,
                    device_tokens,
                },
        } = credentials;
        if password.expose_secret().is_empty() {
            return Err(wrong());
        }
        let request = SignInRequest {
            email,
            password: password.expose_secret().to_owned(),
            remember,
            ip_address,
            user_agent,
            shared_address: is_shared,
            device_tokens,
        };
        let org::SignInResponse {
            session,
            user,
            device_token,
        } = self
            .upstream
            .sign_in
            .clone()
            .sign_in(request)
            .await
            .map_err(Fault::from_status)?
            .into_inner();
        Ok(SignedIn {
            session: translate::session(session.unwrap_or_default())?,
            user: translate::user(user.unwrap_or_default())?,
            device_token,
        })
    }
}

fn wrong() -> Fault {
    Fault::new(
        ErrorReason::Unauthenticated,
        "The e-mail address or the password is wrong.",
    )
}
