//! Vouches for the admin behind a session.

use std::fmt;

use billing_kit::{Fault, assertion::ADMIN_ASSERTION};
use billing_proto::{
    common::v1::{ErrorReason, Role},
    org::v1::AuthenticateAdminRequest,
};
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
};

use super::App;
use crate::domain::session_cookie::SessionToken;

/// An admin, with org-svc's word for it.
#[derive(Clone)]
pub(crate) struct Admin {
    /// The e-mail address that the admin signed in with.
    pub email: String,
    /// Whether this is an API key that may not change anything.
    is_read_only: bool,
    assertion: MetadataValue<Ascii>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admin")
    }
}

impl Admin {
    /// Turns away an API key that may only read from what changes something, before anything is done.
    /// The services do so too, by the assertion.
    ///
    /// # Errors
    /// API_KEY_READ_ONLY.
    pub(crate) fn check_may_call(&self, role: Role) -> Result<(), Fault> {
        match role {
            Role::Reader => Ok(()),
            Role::Admin | Role::Unspecified if self.is_read_only => Err(Fault::new(
                ErrorReason::ApiKeyReadOnly,
                "This API key may read and not change anything.",
            )),
            Role::Admin | Role::Unspecified => Ok(()),
        }
    }

    /// A call of our own admin service, which lets this admin in without asking again.
    pub(crate) fn asks<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.extensions_mut().insert(self.clone());
        request
    }

    /// A call of another service on the admin's behalf.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert(ADMIN_ASSERTION, self.assertion.clone());
        request
    }
}

impl App {
    /// Asks org-svc who is behind a session's token or an API key.
    ///
    /// # Errors
    /// UNAUTHENTICATED without a session, PERMISSION_DENIED for a user who is no admin.
    pub(crate) async fn authenticate_admin(&self, token: &SessionToken) -> Result<Admin, Fault> {
        let request = AuthenticateAdminRequest {
            session_token: token.expose().to_owned(),
        };
        let response = self
            .upstream
            .sessions
            .clone()
            .authenticate_admin(request)
            .await
            .map_err(Fault::from_status)?
            .into_inner();
        let mut assertion: MetadataValue<Ascii> =
            response.assertion.parse().map_err(Fault::internal)?;
        assertion.set_sensitive(true);
        Ok(Admin {
            email: response.user.unwrap_or_default().email,
            is_read_only: response.is_read_only,
            assertion,
        })
    }
}
