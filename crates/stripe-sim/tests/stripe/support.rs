//! An account to test against, and answers that assert.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use stripe_sim::{Config, Handle, Simulator};

use crate::spec;

pub(crate) const KEY: &str = "sk_test_local";
/// 2026-03-02 12:00:00 UTC, a Monday.
pub(crate) const NOON: i64 = 1_772_452_800;
pub(crate) const DAY: i64 = 86_400;

pub(crate) type Pairs<'a> = &'a [(&'a str, &'a str)];

/// How long a test waits for something at most, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Looks until something is so.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let looked = tokio::time::timeout(PATIENCE, async {
        while !is_so() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
    assert!(looked.await.is_ok(), "it never came to be: {what}");
}

pub(crate) struct Account {
    pub(crate) sim: Handle,
    http: reqwest::Client,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{:#}", self.body);
        self.body
    }

    /// Asserts a refusal by its status, code and parameter, and gives its message.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: Option<&str>, param: Option<&str>) -> String {
        let error = &self.body["error"];
        let found = (self.status, error["code"].as_str(), error["param"].as_str());
        assert_eq!(found, (status, code, param), "{:#}", self.body);
        error["message"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Account {
    /// A fresh account at noon.
    pub(crate) async fn open() -> Self {
        let account = Self::open_with(Config::default()).await;
        account.sim.set_clock(NOON);
        account
    }

    /// Waits until the calls that the injected faults are for have begun.
    pub(crate) async fn until_struck(&self) {
        eventually("each fault strikes", || {
            self.sim.unspent_faults().is_empty()
        })
        .await;
    }

    pub(crate) async fn open_with(config: Config) -> Self {
        let sim = Simulator::start(config).await.unwrap();
        Self {
            sim,
            http: http_client(),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.sim.base_url()))
    }

    /// Sends without a key and without judging the answer.
    pub(crate) async fn raw(&self, request: RequestBuilder) -> Result<Answer, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer {
            status,
            headers,
            body: response.json().await?,
        })
    }

    pub(crate) async fn try_post(
        &self,
        path: &str,
        form: Pairs<'_>,
        key: Option<&str>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.request(Method::POST, path).bearer_auth(KEY).form(form);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let answer = self.raw(request).await?;
        spec::check("POST", path, answer.status, &answer.body);
        assert!(answer.header("request-id").unwrap().starts_with("req_"));
        Ok(answer)
    }

    pub(crate) async fn post(&self, path: &str, form: Pairs<'_>) -> Answer {
        self.try_post(path, form, None).await.unwrap()
    }

    pub(crate) async fn post_keyed(&self, path: &str, form: Pairs<'_>, key: &str) -> Answer {
        self.try_post(path, form, Some(key)).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str, query: Pairs<'_>) -> Answer {
        let request = self
            .request(Method::GET, path)
            .bearer_auth(KEY)
            .query(query);
        let answer = self.raw(request).await.unwrap();
        spec::check("GET", path, answer.status, &answer.body);
        answer
    }

    pub(crate) async fn delete(&self, path: &str, form: Pairs<'_>) -> Answer {
        let request = self
            .request(Method::DELETE, path)
            .bearer_auth(KEY)
            .form(form);
        let answer = self.raw(request).await.unwrap();
        spec::check("DELETE", path, answer.status, &answer.body);
        answer
    }

    pub(crate) async fn control(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.raw(self.request(method, path).json(body))
            .await
            .unwrap()
    }

    pub(crate) async fn customer(&self) -> String {
        let form = [("name", "Acme"), ("email", "billing@acme.example")];
        id(&self.post("/v1/customers", &form).await.ok())
    }

    /// A test clock that stands at this time, and a customer who lives on it.
    pub(crate) async fn clock(&self, at: i64) -> (String, String) {
        let at = at.to_string();
        let path = "/v1/test_helpers/test_clocks";
        let clock = id(&self.post(path, &[("frozen_time", &at)]).await.ok());
        let form = [
            ("test_clock", clock.as_str()),
            ("email", "billing@acme.example"),
        ];
        let customer = id(&self.post("/v1/customers", &form).await.ok());
        (clock, customer)
    }

    pub(crate) async fn advance(&self, clock: &str, to: i64) {
        let path = format!("/v1/test_helpers/test_clocks/{clock}/advance");
        let to = to.to_string();
        let advancing = self.post(&path, &[("frozen_time", &to)]).await.ok();
        assert_eq!(advancing["status"], "advancing");
    }

    /// A meter named `seats`; `more` are further parameters.
    pub(crate) async fn meter(&self, formula: &str, more: Pairs<'_>) -> String {
        let mut form = vec![
            ("display_name", "Seats"),
            ("event_name", "seats"),
            ("default_aggregation[formula]", formula),
        ];
        form.extend(more);
        id(&self.post("/v1/billing/meters", &form).await.ok())
    }

    /// A monthly price of one euro per unit of the meter, on a product of its own.
    pub(crate) async fn metered_price(&self, meter: &str) -> String {
        let product = id(&self.post("/v1/products", &[("name", "Seats")]).await.ok());
        let form = [
            ("product", product.as_str()),
            ("currency", "eur"),
            ("unit_amount", "100"),
            ("recurring[interval]", "month"),
            ("recurring[usage_type]", "metered"),
            ("recurring[meter]", meter),
        ];
        id(&self.post("/v1/prices", &form).await.ok())
    }

    pub(crate) async fn event(
        &self,
        customer: &str,
        identifier: &str,
        value: &str,
        at: i64,
    ) -> Answer {
        let at = at.to_string();
        let form = [
            ("event_name", "seats"),
            ("identifier", identifier),
            ("timestamp", at.as_str()),
            ("payload[stripe_customer_id]", customer),
            ("payload[value]", value),
        ];
        self.post("/v1/billing/meter_events", &form).await
    }
}

/// A client that is built the same way whatever features the rest of the workspace gives reqwest.
/// It only ever speaks plain HTTP, so it believes no authority at all.
pub(crate) fn http_client() -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

/// `a=1&b=2` as pairs, without any decoding.
pub(crate) fn pairs(text: &str) -> Vec<(&str, &str)> {
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .collect()
}

pub(crate) fn id(object: &Value) -> String {
    object["id"].as_str().unwrap().to_owned()
}
