//! Authenticates the caller of each method of `billing.admin.v1` and checks the method's role.

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

/// A service behind authentication. It finds the [`Admin`] in the request's extensions.
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
            // The service itself answers for an unknown method.
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

/// Who calls, as far as the request says.
enum Caller {
    /// REST or the dashboard has authenticated the admin.
    Admin(Admin),
    /// A token to be verified.
    Token(SessionToken),
    /// No token.
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
