//! Vouches for the admin behind a session.

use std::fmt;

use billing_kit::{Fault, assertion::ADMIN_ASSERTION};
use billing_proto::org::v1::AuthenticateAdminRequest;
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
    assertion: MetadataValue<Ascii>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admin")
    }
}

impl Admin {
    /// A call on the admin's behalf.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert(ADMIN_ASSERTION, self.assertion.clone());
        request
    }
}

impl App {
    /// Asks org-svc who is behind the session.
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
            assertion,
        })
    }
}
