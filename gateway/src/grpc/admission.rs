//! Lets admins in to the methods of `billing.admin.v1`, each by the role that the contract gives it.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use billing_kit::Fault;
use billing_proto::common::v1::ErrorReason;
use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::server::NamedService;
use tower::Service;

use crate::{
    app::{Admin, App},
    contract::{self, Method},
    domain::session_cookie::SessionToken,
    web::bearer,
};

/// A service that only admins reach, who then stand in the request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Admission<S> {
    service: S,
    app: Arc<App>,
}

impl<S> Admission<S> {
    pub(super) fn new(service: S, app: App) -> Self {
        let app = Arc::new(app);
        Self { service, app }
    }
}

impl<S: NamedService> NamedService for Admission<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B, R> Service<Request<B>> for Admission<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Default,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Self { mut service, app } = self.clone();
        let path = request.uri().path();
        let method = contract::methods()
            .iter()
            .find(|method| method.grpc_path() == path);
        Box::pin(async move {
            // A method that is not there is the service's to answer.
            if let Some(method) = method {
                let caller = Caller::of(&request);
                match admitted(&app, method, caller).await {
                    Ok(admin) => request.extensions_mut().insert(admin),
                    Err(fault) => return Ok(fault.into_status().into_http()),
                };
            }
            service.call(request).await
        })
    }
}

/// What a request says of who calls.
enum Caller {
    /// REST has let the admin in already.
    Admin(Admin),
    /// A token is still to be looked at.
    Token(SessionToken),
    /// There is no token.
    Nobody,
}

impl Caller {
    fn of<B>(request: &Request<B>) -> Self {
        match request.extensions().get::<Admin>() {
            Some(admin) => Self::Admin(admin.clone()),
            None => bearer(request.headers())
                .map_or(Self::Nobody, |token| Self::Token(SessionToken::new(token))),
        }
    }
}

async fn admitted(app: &App, method: &Method, caller: Caller) -> Result<Admin, Fault> {
    let admin = match caller {
        Caller::Admin(admin) => admin,
        Caller::Token(token) => app.authenticate_admin(&token).await?,
        Caller::Nobody => return Err(signed_out()),
    };
    admin.check_may_call(method.role())?;
    Ok(admin)
}

fn signed_out() -> Fault {
    Fault::new(
        ErrorReason::Unauthenticated,
        "There is no session token and no API key: send it as 'authorization: Bearer …'.",
    )
}
