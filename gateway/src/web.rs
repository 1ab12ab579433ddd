//! What the HTTP faces stand on: whose requests they believe, and how they read them.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::body::Body;
use billing_kit::{Fault, Ids, context::CLIENT_ADDRESS};
use billing_proto::common::v1::{ErrorReason, Role};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body_util::BodyExt;

use crate::{
    app::{Admin, App, SignInClient},
    domain::{
        api_tokens::ApiTokens,
        origin::{OriginFacts, OriginFault, TrustedOrigins},
        session_cookie::{CookieJar, SessionCookies, SessionToken},
        trusted_proxies::{TrustedProxies, session_form},
    },
    grpc::{self, AdminClient, DynamicClient},
    in_flight::Client,
    limits::ReportLimits,
};

/// The largest body, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 16 * 1024;
/// Of a body that is too large, so many bytes are read and thrown away, so that the client, which
/// may still be writing, gets to read its answer.
const BODY_BYTES_DISCARDED_MAX: usize = 1024 * 1024;
/// A body has come within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The other end of the connection that a request came over; put into every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub IpAddr);

/// What the HTTP faces share. A clone is the same.
#[derive(Debug, Clone)]
pub(crate) struct Web(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    app: App,
    client: AdminClient,
    dynamic_client: DynamicClient,
    api_tokens: ApiTokens,
    cookies: SessionCookies,
    trusted_origins: TrustedOrigins,
    trusted_proxies: TrustedProxies,
    limits: ReportLimits,
    ids: Ids,
}

impl Web {
    /// HTTP faces of these verbs.
    pub(crate) fn new(
        app: App,
        api_tokens: ApiTokens,
        cookies: SessionCookies,
        trusted_origins: TrustedOrigins,
        trusted_proxies: TrustedProxies,
        limits: ReportLimits,
        ids: Ids,
    ) -> Self {
        Self(Arc::new(Shared {
            client: grpc::client(app.clone()),
            dynamic_client: DynamicClient::new(app.clone()),
            app,
            api_tokens,
            cookies,
            trusted_origins,
            trusted_proxies,
            limits,
            ids,
        }))
    }

    /// The verbs.
    pub(crate) fn app(&self) -> &App {
        &self.0.app
    }

    /// A client of the admin contract.
    pub(crate) fn admin_client(&self) -> AdminClient {
        self.0.client.clone()
    }

    /// The same for messages that know their own fields.
    pub(crate) fn dynamic_client(&self) -> &DynamicClient {
        &self.0.dynamic_client
    }

    /// New random numbers.
    pub(crate) fn ids(&self) -> &Ids {
        &self.0.ids
    }

    /// The cookies.
    pub(crate) fn cookies(&self) -> &SessionCookies {
        &self.0.cookies
    }

    /// The origins whose pages may change something.
    pub(crate) fn trusted_origins(&self) -> &TrustedOrigins {
        &self.0.trusted_origins
    }

    /// Lets an instance in by its token.
    ///
    /// # Errors
    /// UNAUTHENTICATED.
    pub(crate) fn check_api_token(&self, headers: &HeaderMap) -> Result<(), Fault> {
        let refused = |message| Fault::new(ErrorReason::Unauthenticated, message);
        let token = bearer(headers).ok_or_else(|| refused("There is no bearer token."))?;
        if self.0.api_tokens.admit(token) {
            Ok(())
        } else {
            Err(refused("The token is not valid."))
        }
    }

    /// The session of the request's cookie: of several, the first one that is good now.
    ///
    /// # Errors
    /// UNAUTHENTICATED; org-svc cannot be asked.
    pub(crate) async fn session_token(&self, headers: &HeaderMap) -> Result<SessionToken, Fault> {
        let mut tokens = self.0.cookies.session_tokens(&cookie_jar(headers));
        if tokens.len() > 1 {
            for token in &tokens {
                if self.0.app.get_session(token, true).await?.is_some() {
                    return Ok(token.clone());
                }
            }
        }
        tokens.pop().ok_or_else(signed_out)
    }

    /// Lets an admin in, to look: by a bearer token (of a session, or an API key) where there is one,
    /// else by the cookie. Several session cookies are each tried, so that a stale one signs nobody out.
    ///
    /// # Errors
    /// UNAUTHENTICATED without a session, PERMISSION_DENIED for a user who is no admin.
    pub(crate) async fn admin(&self, headers: &HeaderMap) -> Result<Admin, Fault> {
        let tokens = match bearer(headers) {
            Some(token) => vec![SessionToken::new(token)],
            None => self.0.cookies.session_tokens(&cookie_jar(headers)),
        };
        let mut refused = signed_out();
        for token in &tokens {
            match self.0.app.authenticate_admin(token).await {
                Err(fault) if fault.reason == ErrorReason::Unauthenticated => refused = fault,
                admin_or_fault => return admin_or_fault,
            }
        }
        Err(refused)
    }

    /// Lets an admin in, to change something. A browser sends cookies by itself, whatever page asks;
    /// a bearer token is sent by who has it, so only cookies need an origin.
    ///
    /// # Errors
    /// ORIGIN_NOT_TRUSTED, API_KEY_READ_ONLY, and as for [`Web::admin`].
    pub(crate) async fn admin_for_change(&self, headers: &HeaderMap) -> Result<Admin, Fault> {
        let admin = self.admin_from_ours(headers).await?;
        admin.check_may_call(Role::Admin)?;
        Ok(admin)
    }

    /// Lets an admin in, to ask by a POST for what changes nothing: an API key that may only read is
    /// as good, and a cookie needs an origin as with every POST.
    ///
    /// # Errors
    /// ORIGIN_NOT_TRUSTED, and as for [`Web::admin`].
    pub(crate) async fn admin_from_ours(&self, headers: &HeaderMap) -> Result<Admin, Fault> {
        if bearer(headers).is_none() {
            self.0
                .trusted_origins
                .check_admin_change(&origin_facts(headers))
                .map_err(origin_fault)?;
        }
        self.admin(headers).await
    }

    /// Believes a change only where it comes from a page of ours.
    ///
    /// # Errors
    /// ORIGIN_NOT_TRUSTED.
    pub(crate) fn check_change(&self, headers: &HeaderMap) -> Result<(), Fault> {
        self.0
            .trusted_origins
            .check_change(&origin_facts(headers))
            .map_err(origin_fault)
    }

    /// How often instances may report.
    pub(crate) fn limits(&self) -> &ReportLimits {
        &self.0.limits
    }

    /// The address that a report comes from; `None` where it came through a proxy that nobody told
    /// us of: to count it for that proxy would turn all instances away at once.
    pub(crate) fn report_source(&self, peer: Peer, headers: &HeaderMap) -> Option<IpAddr> {
        (!self.is_hidden(peer, headers)).then(|| self.client_address(peer, headers))
    }

    /// Whether the request came through a proxy that nobody told us of, whose address stands for all
    /// its clients.
    fn is_hidden(&self, peer: Peer, headers: &HeaderMap) -> bool {
        headers.contains_key(FORWARDED_FOR) && self.0.trusted_proxies.is_unknown_proxy(peer.0)
    }

    fn client_address(&self, peer: Peer, headers: &HeaderMap) -> IpAddr {
        client_address(peer, headers, &self.0.trusted_proxies)
    }

    /// The client that a password comes from.
    pub(crate) fn client(&self, peer: Peer, headers: &HeaderMap) -> SignInClient {
        let user_agent = text(headers, &header::USER_AGENT).unwrap_or_default();
        SignInClient {
            ip_address: session_form(self.client_address(peer, headers)),
            is_shared: self.is_hidden(peer, headers),
            user_agent: user_agent.to_owned(),
            device_tokens: self.0.cookies.device_tokens(&cookie_jar(headers)),
        }
    }

    /// The `Set-Cookie`s of a session that begins.
    pub(crate) fn start_session(
        &self,
        session: &SessionToken,
        remember: bool,
        device_token: &str,
        headers: &HeaderMap,
    ) -> Vec<String> {
        let jar = cookie_jar(headers);
        let mut cookies = self.0.cookies.start_session(session, remember, &jar);
        cookies.extend(self.remember_device(device_token, headers));
        cookies
    }

    /// The `Set-Cookie` of a browser that showed the right password.
    pub(crate) fn remember_device(&self, token: &str, headers: &HeaderMap) -> Option<String> {
        let jar = cookie_jar(headers);
        (!token.is_empty()).then(|| self.0.cookies.remember_device(token, &jar))
    }
}

fn signed_out() -> Fault {
    Fault::new(ErrorReason::Unauthenticated, "Sign in first.")
}

fn client_address(peer: Peer, headers: &HeaderMap, proxies: &TrustedProxies) -> IpAddr {
    // What a client wrote there itself may be no text: the proxy's entry stands to the right of it.
    let values = headers.get_all(FORWARDED_FOR).iter();
    let values: Vec<_> = values
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    proxies.client_address(peer.0, values.iter().map(AsRef::as_ref))
}

/// Writes where a request came from to where all our services read it, over whatever the client
/// wrote there. Who the limits count the request for.
pub(crate) fn name_the_client(
    headers: &mut HeaderMap,
    peer: Peer,
    proxies: &TrustedProxies,
) -> Client {
    let address = client_address(peer, headers, proxies);
    // A proxy that TRUSTED_PROXIES does not name must not be taken for one client.
    let is_hidden = headers.contains_key(FORWARDED_FOR) && proxies.is_unknown_proxy(peer.0);
    if is_hidden && proxies.is_first_unknown_proxy(peer.0) {
        tracing::warn!(
            peer = %peer.0,
            "a proxy forwards requests that TRUSTED_PROXIES does not name: its clients cannot be told \
             apart, and are not limited by their addresses. Set TRUSTED_PROXIES to its network"
        );
    }
    headers.remove(CLIENT_ADDRESS);
    if let Ok(value) = HeaderValue::try_from(address.to_string()) {
        headers.insert(CLIENT_ADDRESS, value);
    }
    if is_hidden || address.is_loopback() || proxies.contains(address) {
        Client::Many(address)
    } else {
        Client::one(address)
    }
}

/// The token of `Authorization: Bearer …`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text(headers, &header::AUTHORIZATION)?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim())
        .filter(|token| !token.is_empty())
}

/// The request's cookies.
pub(crate) fn cookie_jar(headers: &HeaderMap) -> CookieJar<'_> {
    let headers = headers.get_all(header::COOKIE).iter();
    CookieJar::read(headers.map(|value| value.as_bytes()))
}

/// What the request's headers say of where it came from. HTTP/2's authority stands in `Host` by now:
/// see [`crate::doors`].
pub(crate) fn origin_facts(headers: &HeaderMap) -> OriginFacts<'_> {
    let text = |name| text(headers, name).map(str::trim).filter(|t| !t.is_empty());
    OriginFacts {
        origin: text(&header::ORIGIN),
        referer: text(&header::REFERER),
        host: text(&header::HOST),
        has_cookie: headers.contains_key(header::COOKIE),
        fetch_site: text(&FETCH_SITE),
        fetch_mode: text(&FETCH_MODE),
        fetch_dest: text(&FETCH_DEST),
        content_type: text(&header::CONTENT_TYPE),
    }
}

/// A change that is not believed, in our own form.
pub(crate) fn origin_fault(fault: OriginFault) -> Fault {
    let message = match fault {
        OriginFault::Invalid => "The change came from a page that is not trusted.",
        OriginFault::MissingOrNull => "A change with a cookie needs an Origin or Referer header.",
        OriginFault::CrossSiteNavigation => "Another site cannot sign anybody in.",
    };
    Fault::new(ErrorReason::OriginNotTrusted, message)
}

/// The text of a header.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Reads a body, whatever it says it is: people call with curl.
///
/// # Errors
/// BODY_TOO_LARGE; MALFORMED_BODY when it broke off or did not come in time.
pub(crate) async fn read_body(body: Body) -> Result<Bytes, Fault> {
    read_body_within(body, BODY_BYTES_MAX).await
}

/// The same where a path takes more.
///
/// # Errors
/// As [`read_body`].
pub(crate) async fn read_body_within(body: Body, bytes_max: usize) -> Result<Bytes, Fault> {
    tokio::time::timeout(BODY_TIMEOUT, collect(body, bytes_max))
        .await
        .unwrap_or_else(|_| {
            Err(Fault::new(
                ErrorReason::MalformedBody,
                "The body did not come within 10 seconds.",
            ))
        })
}

async fn collect(mut body: Body, bytes_max: usize) -> Result<Bytes, Fault> {
    let mut kept = BytesMut::new();
    let mut discarded = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Fault::new(ErrorReason::MalformedBody, "The body broke off.").caused_by(error)
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if discarded > 0 || kept.len() + data.len() > bytes_max {
            discarded += data.len();
            if discarded > BODY_BYTES_DISCARDED_MAX {
                break;
            }
        } else {
            kept.extend_from_slice(&data);
        }
    }
    if discarded > 0 {
        return Err(Fault::new(
            ErrorReason::BodyTooLarge,
            format!("The body is larger than {} KiB.", bytes_max / 1024),
        ));
    }
    Ok(kept.freeze())
}
