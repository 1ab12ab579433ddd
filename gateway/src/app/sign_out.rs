//! Ends a session.

use billing_kit::Fault;
use billing_proto::org::v1::{SignOutRequest, SignOutResponse};

use super::App;
use crate::{domain::session_cookie::SessionToken, upstream::internal_fault};

impl App {
    /// Ends a session; one that is not there is fine.
    ///
    /// # Errors
    /// org-svc cannot be asked.
    pub(crate) async fn sign_out(&self, token: &SessionToken) -> Result<(), Fault> {
        let request = SignOutRequest {
            session_token: token.expose().to_owned(),
        };
        let SignOutResponse {} = self
            .upstream
            .sessions
            .clone()
            .sign_out(request)
            .await
            .map_err(internal_fault)?
            .into_inner();
        Ok(())
    }
}
