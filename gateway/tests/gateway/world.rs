//! A gateway with what stands behind it, and how a test talks to it.

use std::{net::SocketAddr, time::Duration};

use billing_kit::{config::Env, health::Health, process::Lifecycle};
use billing_proto::{
    ingest::v1::{
        reconciliation_service_server::ReconciliationServiceServer,
        usage_report_service_server::UsageReportServiceServer,
    },
    org::v1::{
        admin_session_service_server::AdminSessionServiceServer,
        organization_service_server::OrganizationServiceServer,
    },
    stripe::v1::{
        customer_service_server::CustomerServiceServer,
        webhook_service_server::WebhookServiceServer,
    },
};
use gateway::{Config, Deps};
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Server, server::Router};
use uuid::Uuid;

use crate::{
    ingest::Ingest,
    org::{ADMIN, Org, PASSWORD},
    stripe::Stripe,
};

pub(crate) const TOKEN: &str = "vaultai_universal_billing_api_2024_production_key_XyZ9mP2nQ7wK";
pub(crate) const SITE: &str = "http://billing.test";
pub(crate) const SECRET: &str = "bauth-sample-secret-0123456789abcdefABCDEF";

/// A test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) ingest: Ingest,
    pub(crate) org: Org,
    pub(crate) stripe: Stripe,
    pub(crate) addr: SocketAddr,
    pub(crate) life: Lifecycle,
    pub(crate) health: Health,
    client: reqwest::Client,
}

/// What stands behind the gateway and is away.
#[derive(PartialEq, Eq)]
pub(crate) enum Away {
    Nothing,
    Ingest,
    Org,
    Stripe,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::start(&[], Away::Nothing).await
    }

    pub(crate) async fn without(away: Away) -> Self {
        Self::start(&[], away).await
    }

    pub(crate) async fn start(variables: &[(&str, &str)], away: Away) -> Self {
        let (ingest, org, stripe) = (Ingest::new(), Org::default(), Stripe::default());
        let ingest_addr = if away == Away::Ingest {
            nobody()
        } else {
            serve(
                Server::builder()
                    .add_service(UsageReportServiceServer::new(ingest.clone()))
                    .add_service(ReconciliationServiceServer::new(ingest.clone())),
            )
            .await
        };
        let org_addr = if away == Away::Org {
            nobody()
        } else {
            serve(
                Server::builder()
                    .add_service(OrganizationServiceServer::new(org.clone()))
                    .add_service(AdminSessionServiceServer::new(org.clone())),
            )
            .await
        };
        let stripe_addr = if away == Away::Stripe {
            nobody()
        } else {
            serve(
                Server::builder()
                    .add_service(WebhookServiceServer::new(stripe.clone()))
                    .add_service(CustomerServiceServer::new(stripe.clone())),
            )
            .await
        };
        let mut all = vec![
            ("INGEST_SVC_URL", format!("http://{ingest_addr}")),
            ("ORG_SVC_URL", format!("http://{org_addr}")),
            ("STRIPE_SVC_URL", format!("http://{stripe_addr}")),
            ("BETTER_AUTH_URL", SITE.to_owned()),
            ("BETTER_AUTH_SECRET", SECRET.to_owned()),
            ("LISTEN_ADDR", "127.0.0.1:0".to_owned()),
            // Here one machine stands for all instances.
            ("REPORTS_PER_MINUTE_PER_ADDRESS", "0".to_owned()),
        ];
        all.extend(
            variables
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        let variables = all
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        let config = Config::from_env(Env::from_variables(variables)).unwrap();
        let life = Lifecycle::new();
        // Boxed: it holds a client of each service, and would make every test's future a large one.
        let running = Box::pin(gateway::start(config, Deps::system(), life.clone()))
            .await
            .unwrap();
        let client = billing_harness::plain_http_client(PATIENCE);
        Self {
            ingest,
            org,
            stripe,
            addr: running.addr,
            life,
            health: running.health,
            client,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// Reports with the good token.
    pub(crate) async fn report(&self, body: &Value) -> Answer {
        let request = self.post("/api/usage-report").bearer_auth(TOKEN);
        Answer::of(request.json(body)).await
    }

    /// Signs a user in and gives the cookie to send.
    pub(crate) async fn sign_in(&self, email: &str) -> String {
        let body = json!({"email": email, "password": PASSWORD});
        let answer = Answer::of(self.post("/api/auth/sign-in/email").json(&body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let cookie = answer.cookies.first().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    pub(crate) async fn admin(&self) -> String {
        self.sign_in(ADMIN).await
    }
}

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: header::HeaderMap,
    pub(crate) cookies: Vec<String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        Self::read(request.send().await.unwrap()).await
    }

    async fn read(response: Response) -> Self {
        let headers = response.headers().clone();
        let cookies = headers.get_all(header::SET_COOKIE).iter();
        Self {
            status: response.status(),
            cookies: cookies.map(|c| c.to_str().unwrap().to_owned()).collect(),
            headers,
            text: response.text().await.unwrap(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// The code and the fields of an error in our own shape, which is checked here.
    pub(crate) fn error(&self) -> (String, Vec<String>) {
        let body = self.json();
        assert_eq!(body["success"], json!(false), "{}", self.text);
        let error = &body["error"];
        assert_eq!(error["request_id"], self.header("x-request-id"));
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()));
        let fields = error["fields"].as_array().unwrap().iter();
        let fields = fields.map(|field| {
            assert!(!field["message"].as_str().unwrap().is_empty());
            field["field"].as_str().unwrap().to_owned()
        });
        (error["code"].as_str().unwrap().to_owned(), fields.collect())
    }
}

async fn serve(server: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    addr
}

/// An address that nobody listens at, and that no other test is given: it stays bound.
fn nobody() -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    Box::leak(Box::new(socket)).local_addr().unwrap()
}

/// Waits until it is so, but not for ever.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The body of the specification's sample, for an organization.
pub(crate) fn report_of(organization: Uuid) -> Value {
    json!({
        "organization_id": organization,
        "organization_name": "Acme Corp",
        "instance_url": "acme.vaultai.eu",
        "user_count": 45,
        "timestamp": "2024-11-03T03:00:00Z",
    })
}
