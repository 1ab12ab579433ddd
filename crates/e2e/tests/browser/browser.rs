//! What a person does with a browser, and what the browser did meanwhile.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use billing_e2e::{ADMIN_EMAIL, ADMIN_PASSWORD, System};
use billing_harness::{EVENTUALLY_MAX, eventually};
use fantoccini::{Client, Locator, elements::Element, wd::WebDriverCompatibleCommand};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::chromium::make_dir_of;

/// The button that a page's form is sent by.
pub(crate) const SEND: &str = "main form .buttons button";

/// A browser before a system.
#[derive(Debug)]
pub(crate) struct Browser {
    pub(crate) client: Client,
    base_url: String,
    tools: PathBuf,
    watched: Mutex<Watched>,
}

/// What the browser did.
#[derive(Debug, Default)]
struct Watched {
    /// Where forms were sent to.
    sent: Vec<String>,
    /// What no page may do.
    amiss: Vec<String>,
}

impl Watched {
    /// An event of the network or the page.
    fn read_event(&mut self, event: &str, base_url: &str) {
        let event: Value = serde_json::from_str(event).unwrap();
        match text(&event, "/message/method") {
            "Network.requestWillBeSent" => {
                let request = |field| text(&event, &format!("/message/params/request/{field}"));
                let (method, url) = (request("method"), request("url"));
                if !url.starts_with(&format!("{base_url}/")) && !url.starts_with("data:") {
                    self.amiss.push(format!("asked for {url}"));
                } else if method == "POST" {
                    self.sent.push(url.to_owned());
                }
            }
            "Page.javascriptDialogOpening" => self.amiss.push(format!("a dialog: {event}")),
            _ => {}
        }
    }

    /// A line of the browser's log.
    fn read_entry(&mut self, entry: &Value) {
        // That a page answers 4xx, as it does to a wrong password, is told here, too.
        let is_answer = text(entry, "/source") == "network"
            && text(entry, "/message").contains("the server responded with a status of 4");
        if !is_answer {
            self.amiss.push(entry.to_string());
        }
    }
}

impl Browser {
    pub(crate) fn new(client: Client, system: &System, tools: PathBuf) -> Self {
        Self {
            client,
            base_url: system.base_url(),
            tools,
            watched: Mutex::default(),
        }
    }

    /// A file that npm installed.
    pub(crate) fn package_file(&self, name: &str) -> String {
        let path = self.tools.join("node_modules").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Goes to an address of the gateway's.
    pub(crate) async fn open(&self, address: &str) {
        let url = format!("{}{address}", self.base_url);
        self.client.goto(&url).await.unwrap();
    }

    /// Signs in by the form, as the admin whom every system has.
    pub(crate) async fn sign_in(&self) {
        self.open("/sign-in").await;
        self.type_into("#email", ADMIN_EMAIL).await;
        self.type_into("#password", ADMIN_PASSWORD).await;
        self.click(SEND).await;
        self.arrives("/").await;
    }

    /// Waits for an element.
    pub(crate) async fn see(&self, css: &str) -> Element {
        let wait = self.client.wait().at_most(EVENTUALLY_MAX);
        let found = wait.for_element(Locator::Css(css)).await;
        found.unwrap_or_else(|error| panic!("{css} is not to be seen: {error}"))
    }

    /// Waits until an element says something.
    pub(crate) async fn see_text(&self, css: &str, text: &str) {
        eventually(&format!("{css} says {text:?}"), async || {
            self.texts(css)
                .await
                .join("\n")
                .contains(text)
                .then_some(())
        })
        .await;
    }

    /// What elements say, as it is shown. One that is exchanged meanwhile, or its page, says nothing.
    pub(crate) async fn texts(&self, css: &str) -> Vec<String> {
        let mut texts = Vec::new();
        let elements = self.client.find_all(Locator::Css(css)).await;
        for element in elements.unwrap_or_default() {
            texts.push(element.text().await.unwrap_or_default());
        }
        texts
    }

    /// Clicks an element; its successor, where it is exchanged at that moment.
    pub(crate) async fn click(&self, css: &str) {
        eventually(&format!("{css} is clicked"), async || {
            match self.see(css).await.click().await {
                Ok(()) => Some(()),
                Err(error) if error.is_stale_element_reference() => None,
                Err(error) => panic!("{css} cannot be clicked: {error}"),
            }
        })
        .await;
    }

    /// Types into an empty field.
    pub(crate) async fn type_into(&self, css: &str, text: &str) {
        self.see(css).await.send_keys(text).await.unwrap();
    }

    /// Chooses from a list.
    pub(crate) async fn choose(&self, css: &str, value: &str) {
        self.see(css).await.select_by_value(value).await.unwrap();
    }

    /// The path of the page.
    pub(crate) async fn path(&self) -> String {
        self.client.current_url().await.unwrap().path().to_owned()
    }

    /// Waits until the browser is at a path.
    pub(crate) async fn arrives(&self, path: &str) {
        eventually(&format!("the browser is at {path}"), async || {
            (self.path().await == path).then_some(())
        })
        .await;
    }

    /// What a script of the test's gives. It is none of the page's, and may run where these may not.
    pub(crate) async fn script(&self, body: &str) -> Value {
        self.client.execute(body, Vec::new()).await.unwrap()
    }

    /// Makes the window as wide as this, in pixels; a phone's is narrower than a window can be made.
    pub(crate) async fn set_width(&self, width: u32) {
        let parameters =
            json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": true });
        let command = DevTools("Emulation.setDeviceMetricsOverride", parameters);
        self.client.issue_cmd(command).await.unwrap();
    }

    /// Reads what the browser did since it was looked at last.
    async fn look(&self) -> MutexGuard<'_, Watched> {
        let events = self.read_log("performance").await;
        let entries = self.read_log("browser").await;
        let mut watched = self.watched.lock().unwrap();
        for event in events {
            watched.read_event(text(&event, "/message"), &self.base_url);
        }
        for entry in entries {
            watched.read_entry(&entry);
        }
        watched
    }

    /// How often a form was sent to an address.
    pub(crate) async fn sent_count(&self, address: &str) -> usize {
        let url = format!("{}{address}", self.base_url);
        let watched = self.look().await;
        watched.sent.iter().filter(|sent| **sent == url).count()
    }

    /// What is to be said against the pages, and was not said before.
    pub(crate) async fn amiss(&self) -> Vec<String> {
        std::mem::take(&mut self.look().await.amiss)
    }

    /// Fails where a page did what none may do.
    pub(crate) async fn assert_nothing_amiss(&self) {
        let amiss = self.amiss().await;
        assert!(amiss.is_empty(), "{}", amiss.join("\n"));
    }

    async fn read_log(&self, kind: &'static str) -> Vec<Value> {
        let entries = self.client.issue_cmd(ReadLog(kind)).await.unwrap();
        entries.as_array().cloned().unwrap_or_default()
    }

    /// Keeps what can be seen of a failure, as far as the browser still answers.
    pub(crate) async fn keep_evidence(&self, to: &Path) {
        make_dir_of(to);
        let url = self.client.current_url().await;
        println!("failed at {url:?}; see {}.*", to.display());
        if let Ok(picture) = self.client.screenshot().await {
            std::fs::write(to.with_extension("png"), picture).unwrap();
        }
        if let Ok(source) = self.client.source().await {
            std::fs::write(to.with_extension("html"), source).unwrap();
        }
    }

    pub(crate) async fn close(self) {
        self.client.close().await.unwrap();
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

/// Reads what came to a log since it was read last.
#[derive(Debug)]
struct ReadLog(&'static str);

impl WebDriverCompatibleCommand for ReadLog {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _request_url: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({ "type": self.0 }).to_string()))
    }
}

/// A command of Chromium's own.
#[derive(Debug)]
struct DevTools(&'static str, Value);

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!(
            "session/{}/goog/cdp/execute",
            session.unwrap_or_default()
        ))
    }

    fn method_and_body(&self, _request_url: &Url) -> (Method, Option<String>) {
        let Self(command, parameters) = self;
        (
            Method::POST,
            Some(json!({ "cmd": command, "params": parameters }).to_string()),
        )
    }
}
