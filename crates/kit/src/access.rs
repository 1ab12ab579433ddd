//! Who may call which method: one readable table per service, enforced before anything is read.

use std::{
    collections::BTreeSet,
    sync::Arc,
    task::{Context, Poll},
};

use billing_proto::common::v1::ErrorReason;
use futures::future::{Either, Ready, ready};
use http::{Request, Response};
use tonic::{body::Body, transport::server::TlsConnectInfo};
use tower::{Layer, Service};

use crate::{accept::ConnectionInfo, fault::Fault, tls};

/// Who calls: put into every request that was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A service that showed a certificate of this name.
    Service(String),
    /// Somebody on this machine, where the service runs without TLS; taken for any service.
    Loopback,
}

/// The methods that are open to each identity. What is not named is closed.
#[derive(Debug, Clone, Default)]
pub struct AccessTable {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    path: &'static str,
    callers: BTreeSet<String>,
}

impl AccessTable {
    /// A table with nothing open.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a method (`/package.Service/Method`), or a whole service (`/package.Service/`), to
    /// these identities.
    #[must_use]
    pub fn allow<I: Into<String>>(
        mut self,
        path: &'static str,
        callers: impl IntoIterator<Item = I>,
    ) -> Self {
        self.rules.push(Rule {
            path,
            callers: callers.into_iter().map(Into::into).collect(),
        });
        self
    }

    fn admits(&self, path: &str, caller: &Caller) -> bool {
        let open_to_all = ["/grpc.health.v1.Health/", "/grpc.reflection."];
        open_to_all.iter().any(|open| path.starts_with(open))
            || self.rules.iter().any(|rule| {
                let matches =
                    rule.path == path || (rule.path.ends_with('/') && path.starts_with(rule.path));
                matches
                    && match caller {
                        Caller::Service(name) => rule.callers.contains(name),
                        Caller::Loopback => true,
                    }
            })
    }
}

/// Lets in whom the table names.
#[derive(Debug, Clone)]
pub struct AccessLayer(Arc<AccessTable>);

impl AccessLayer {
    /// Enforces a table.
    pub fn new(table: AccessTable) -> Self {
        Self(Arc::new(table))
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, next: S) -> Self::Service {
        Access {
            table: Arc::clone(&self.0),
            next,
        }
    }
}

/// See [`AccessLayer`].
#[derive(Debug, Clone)]
pub struct Access<S> {
    table: Arc<AccessTable>,
    next: S,
}

impl<S, B> Service<Request<B>> for Access<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Self::Response, Self::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.next.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let path = request.uri().path();
        match caller_of(&request) {
            Some(caller) if self.table.admits(path, &caller) => {
                request.extensions_mut().insert(caller);
                Either::Left(self.next.call(request))
            }
            caller => {
                tracing::warn!(path, ?caller, "a call was refused");
                let fault = Fault::new(
                    ErrorReason::CallerNotAdmitted,
                    "You may not call this method.",
                );
                Either::Right(ready(Ok(fault.into_status().into_http())))
            }
        }
    }
}

fn caller_of<B>(request: &Request<B>) -> Option<Caller> {
    let extensions = request.extensions();
    if let Some(tls) = extensions.get::<TlsConnectInfo<ConnectionInfo>>() {
        let certificates = tls.peer_certs()?;
        return tls::identity_of(certificates.first()?).map(Caller::Service);
    }
    let peer = extensions.get::<ConnectionInfo>()?.peer;
    peer.ip().is_loopback().then_some(Caller::Loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_closed() {
        let table = AccessTable::new()
            .allow("/a.S/One", ["gateway"])
            .allow("/b.S/", ["org-svc", "ingest-svc"]);
        let gateway = Caller::Service("gateway".to_owned());
        assert!(table.admits("/a.S/One", &gateway));
        assert!(!table.admits("/a.S/OneMore", &gateway));
        assert!(!table.admits("/b.S/Two", &gateway));
        assert!(table.admits("/b.S/Two", &Caller::Service("org-svc".to_owned())));
        assert!(!table.admits("/c.S/Three", &Caller::Loopback));
    }
}
