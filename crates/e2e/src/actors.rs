//! What an instance and an admin do over the public doors.

use std::{collections::BTreeMap, time::Duration};

use crate::{ADMIN_EMAIL, ADMIN_PASSWORD, System};
use billing_harness::{eventually, plain_http_client};
use chrono::{DateTime, SecondsFormat, SubsecRound, TimeDelta, Utc};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

/// The specification's token.
pub const TOKEN: &str = "vaultai_universal_billing_api_2024_production_key_XyZ9mP2nQ7wK";
const REQUEST_TIMEOUT: Duration = Duration::from_secs(40);

/// An answer: its status, its headers and its JSON.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: header::HeaderMap,
    pub json: Value,
}

impl Answer {
    async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let json = response.json().await.unwrap_or(Value::Null);
        Self {
            status,
            headers,
            json,
        }
    }

    pub fn text(&self, pointer: &str) -> &str {
        self.json
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

pub fn http() -> reqwest::Client {
    plain_http_client(REQUEST_TIMEOUT)
}

pub fn now() -> DateTime<Utc> {
    billing_kit::Clock::system().now().trunc_subsecs(0)
}

pub fn new_organization() -> Uuid {
    billing_kit::Ids::random().next()
}

/// An instance that reports.
#[derive(Debug, Clone)]
pub struct Instance {
    pub organization: Uuid,
    pub name: String,
    /// The address that it reports from, where it is not this machine's.
    address: Option<String>,
    base_url: String,
    http: reqwest::Client,
}

impl Instance {
    /// An instance that nobody knows yet.
    pub fn of(system: &System) -> Self {
        Self::named(system, new_organization(), "Acme Corp")
    }

    /// The instance of an organization.
    pub fn named(system: &System, organization: Uuid, name: &str) -> Self {
        Self {
            organization,
            name: name.to_owned(),
            address: None,
            base_url: system.base_url(),
            http: http(),
        }
    }

    /// The same instance at another address, which a proxy tells.
    pub fn at_address(&self, address: &str) -> Self {
        Self {
            address: Some(address.to_owned()),
            ..self.clone()
        }
    }

    pub fn report_body(&self, users: i64, at: DateTime<Utc>) -> Value {
        json!({
            "organization_id": self.organization,
            "organization_name": self.name,
            "instance_url": "acme.vaultai.eu",
            "user_count": users,
            "timestamp": at.to_rfc3339_opts(SecondsFormat::Secs, true),
        })
    }

    pub async fn report(&self, users: i64, at: DateTime<Utc>) -> Answer {
        self.post(Some(TOKEN), &self.report_body(users, at)).await
    }

    pub async fn post(&self, token: Option<&str>, body: &Value) -> Answer {
        self.send(token, self.request().json(body)).await
    }

    /// Sends a body that may not be JSON.
    pub async fn post_text(&self, body: &str) -> Answer {
        let request = self.request().body(body.to_owned());
        self.send(Some(TOKEN), request).await
    }

    fn request(&self) -> reqwest::RequestBuilder {
        self.http
            .post(format!("{}/api/usage-report", self.base_url))
    }

    async fn send(&self, token: Option<&str>, mut request: reqwest::RequestBuilder) -> Answer {
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(address) = &self.address {
            request = request.header("x-forwarded-for", address);
        }
        Answer::of(request.send().await.expect("an answer")).await
    }
}

/// An admin with a session.
#[derive(Debug, Clone)]
pub struct Admin {
    pub base_url: String,
    pub token: String,
    cookie: String,
    http: reqwest::Client,
}

impl Admin {
    pub async fn sign_in(system: &System) -> Self {
        Self::sign_in_as(system, ADMIN_EMAIL, ADMIN_PASSWORD).await
    }

    pub async fn sign_in_as(system: &System, email: &str, password: &str) -> Self {
        let (base_url, http) = (system.base_url(), http());
        let body = json!({ "email": email, "password": password });
        let url = format!("{base_url}/api/auth/sign-in/email");
        let answer = Answer::of(http.post(url).json(&body).send().await.expect("an answer")).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
        let cookie = answer
            .headers
            .get_all(header::SET_COOKIE)
            .iter()
            .find_map(|cookie| {
                let cookie = cookie.to_str().ok()?.split(';').next()?;
                cookie.contains("session_token").then(|| cookie.to_owned())
            });
        let token = answer.text("/token").to_owned();
        Self {
            base_url,
            token,
            cookie: cookie.expect("a session cookie"),
            http,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        let request = self.http.get(format!("{}{path}", self.base_url));
        Answer::of(
            request
                .header(header::COOKIE, &self.cookie)
                .send()
                .await
                .expect("an answer"),
        )
        .await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.change(Method::POST, path, body).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.change(Method::PATCH, path, body).await
    }

    async fn change(&self, method: Method, path: &str, body: &Value) -> Answer {
        let request = self
            .http
            .request(method, format!("{}{path}", self.base_url))
            .header(header::COOKIE, &self.cookie)
            .header(header::ORIGIN, &self.base_url)
            .json(body);
        Answer::of(request.send().await.expect("an answer")).await
    }

    pub async fn link(&self, organization: Uuid, terms: &Value) -> Answer {
        self.post(
            &format!("/api/admin/organizations/{organization}/link"),
            terms,
        )
        .await
    }

    /// The organization's row in the list of this kind.
    pub async fn listed(&self, kind: &str, organization: Uuid) -> Option<Value> {
        let answer = self
            .get(&format!("/api/admin/organizations?q={organization}"))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
        let rows = answer
            .json
            .pointer(&format!("/organizations/{kind}"))?
            .as_array()?
            .clone();
        rows.into_iter()
            .find(|row| text_of(row, "id") == organization.to_string())
    }

    /// The organization's reports by their ids.
    pub async fn reports(&self, organization: Uuid) -> BTreeMap<String, Value> {
        let answer = self
            .get(&format!("/api/admin/organizations/{organization}/usage"))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
        let rows = answer
            .json
            .get("reports")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        rows.into_iter()
            .map(|row| (text_of(&row, "id").to_owned(), row))
            .collect()
    }

    /// Waits until a report is in one of these delivery states.
    pub async fn delivered(&self, organization: Uuid, report_id: &str, states: &[&str]) -> Value {
        eventually(&format!("report {report_id} is {states:?}"), async || {
            let row = self.reports(organization).await.remove(report_id)?;
            states
                .iter()
                .any(|state| text_of(&row, "delivery_state") == *state)
                .then_some(row)
        })
        .await
    }
}

fn text_of<'a>(row: &'a Value, field: &str) -> &'a str {
    row.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Good terms.
pub fn terms() -> Value {
    json!({
        "admin_email": "billing@acme.example",
        "deployment_type": "on-premise",
        "plan_type": "managed-cloud",
        "trial_days": 4,
    })
}

/// An organization that reported once, an hour ago, and was linked.
pub async fn linked_instance(system: &System, admin: &Admin) -> (Instance, Answer) {
    let instance = Instance::of(system);
    let answer = instance.report(45, now() - TimeDelta::hours(1)).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    let link = admin.link(instance.organization, &terms()).await;
    assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
    (instance, link)
}
