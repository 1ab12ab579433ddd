//! `billing.org.v1.AdminSessionService`.

use std::sync::Arc;

use billing_kit::assertion::Signer;
use billing_proto::org::v1 as proto;
use billing_proto::org::v1::admin_session_service_server::AdminSessionService;
use tonic::{Request, Response, Status};

use super::messages;
use crate::{
    app::{
        Admins,
        authenticate_admin::{Vouched, authenticate_admin},
        change_password::{ChangePassword, Changed, change_password},
        get_session::get_session,
        sign_in::{Client, SignIn, SignedIn, sign_in},
        sign_out::sign_out,
    },
    domain::{account::SessionToken, api_key::Access},
};

/// The service.
#[derive(Debug)]
pub(crate) struct AdminSessions {
    pub(crate) app: Arc<Admins>,
    pub(crate) signer: Signer,
}

#[tonic::async_trait]
impl AdminSessionService for AdminSessions {
    async fn sign_in(
        &self,
        request: Request<proto::SignInRequest>,
    ) -> Result<Response<proto::SignInResponse>, Status> {
        let proto::SignInRequest {
            email,
            password,
            remember,
            ip_address,
            user_agent,
            shared_address,
            device_tokens,
        } = request.into_inner();
        let asked = SignIn {
            email,
            password: password.into(),
            remember,
            client: Client {
                ip_address,
                is_shared: shared_address,
                user_agent,
                device_tokens,
            },
        };
        let SignedIn {
            session,
            user,
            device_token,
        } = sign_in(&self.app, asked).await?;
        Ok(Response::new(proto::SignInResponse {
            session: Some(messages::session(session)),
            user: Some(messages::user(user)),
            device_token,
        }))
    }

    async fn sign_out(
        &self,
        request: Request<proto::SignOutRequest>,
    ) -> Result<Response<proto::SignOutResponse>, Status> {
        let proto::SignOutRequest { session_token } = request.into_inner();
        sign_out(&self.app, &SessionToken::new(session_token)).await?;
        Ok(Response::new(proto::SignOutResponse {}))
    }

    async fn get_session(
        &self,
        request: Request<proto::GetSessionRequest>,
    ) -> Result<Response<proto::GetSessionResponse>, Status> {
        let proto::GetSessionRequest {
            session_token,
            disable_refresh,
        } = request.into_inner();
        let token = SessionToken::new(session_token);
        let response = match get_session(&self.app, &token, !disable_refresh).await? {
            Some(found) => proto::GetSessionResponse {
                session: Some(messages::session(found.session)),
                user: Some(messages::user(found.user)),
                refreshed: found.refreshed,
            },
            None => proto::GetSessionResponse::default(),
        };
        Ok(Response::new(response))
    }

    async fn change_password(
        &self,
        request: Request<proto::ChangePasswordRequest>,
    ) -> Result<Response<proto::ChangePasswordResponse>, Status> {
        let proto::ChangePasswordRequest {
            session_token,
            current_password,
            new_password,
            revoke_other_sessions,
            ip_address,
            user_agent,
            shared_address,
            device_tokens,
        } = request.into_inner();
        let asked = ChangePassword {
            token: SessionToken::new(session_token),
            current: current_password.into(),
            new: new_password.into(),
            revoke_other_sessions,
            client: Client {
                ip_address,
                is_shared: shared_address,
                user_agent,
                device_tokens,
            },
        };
        let response = match change_password(&self.app, asked).await? {
            Ok(Changed {
                user,
                session,
                device_token,
            }) => proto::ChangePasswordResponse {
                refusal: proto::PasswordRefusal::Unspecified.into(),
                user: Some(messages::user(user)),
                session: session.map(messages::session),
                device_token,
            },
            Err(refusal) => proto::ChangePasswordResponse {
                refusal: messages::password_refusal(refusal).into(),
                user: None,
                session: None,
                device_token: String::new(),
            },
        };
        Ok(Response::new(response))
    }

    async fn authenticate_admin(
        &self,
        request: Request<proto::AuthenticateAdminRequest>,
    ) -> Result<Response<proto::AuthenticateAdminResponse>, Status> {
        let proto::AuthenticateAdminRequest { session_token } = request.into_inner();
        let token = SessionToken::new(session_token);
        let Vouched {
            user,
            assertion,
            api_key,
        } = authenticate_admin(&self.app, &self.signer, &token).await?;
        let is_read_only = api_key
            .as_ref()
            .is_some_and(|key| key.access == Access::ReadOnly);
        Ok(Response::new(proto::AuthenticateAdminResponse {
            user: Some(messages::user(user)),
            assertion,
            api_key_id: api_key.map_or_else(String::new, |key| key.id.0.to_string()),
            is_read_only,
        }))
    }
}
