//! A headless Chromium, driven by ChromeDriver: how a test gets one, and how it is gone again.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::Duration,
};

use billing_e2e::System;
use fantoccini::{Client, ClientBuilder};
use futures::FutureExt;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::browser::Browser;

/// How long a test may take, whatever it waits for in between.
const TEST_MAX: Duration = Duration::from_secs(180);
const START_TIMEOUT: Duration = Duration::from_secs(60);
const ARGUMENTS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    // No name leads anywhere, should a page ever ask for one.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/// Who looks at the pages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visitor {
    languages: &'static str,
    has_script: bool,
}

/// Reads English.
pub(crate) const ENGLISH: Visitor = Visitor {
    languages: "en-GB,en",
    has_script: true,
};
/// Reads French.
pub(crate) const FRENCH: Visitor = Visitor {
    languages: "fr-FR,fr",
    has_script: true,
};
/// Reads English, and lets no page run a script.
pub(crate) const WITHOUT_SCRIPT: Visitor = Visitor {
    languages: "en-GB,en",
    has_script: false,
};

/// Runs a test: a whole system, and a browser before it that is closed whatever happens. Of a test
/// that fails a picture of the page and its source are kept in the tools' directory.
pub(crate) async fn in_browser(visitor: Visitor, steps: impl AsyncFnOnce(&System, &Browser)) {
    let Some(tools) = tools_dir() else { return };
    let system = System::start().await;
    let mut driver = Driver::start().await;
    let client = driver.open(visitor).await;
    let browser = Browser::new(client, &system, tools.clone());
    let watched = async {
        steps(&system, &browser).await;
        browser.assert_nothing_amiss().await;
    };
    let outcome = AssertUnwindSafe(timeout(TEST_MAX, watched))
        .catch_unwind()
        .await;
    if !matches!(outcome, Ok(Ok(()))) {
        let name = thread::current()
            .name()
            .unwrap_or("test")
            .replace("::", "-");
        browser
            .keep_evidence(&tools.join("failed").join(name))
            .await;
    }
    browser.close().await;
    driver.process.kill().await.unwrap();
    match outcome {
        Ok(in_time) => in_time.unwrap_or_else(|_| panic!("not done within {TEST_MAX:?}")),
        Err(panic) => resume_unwind(panic),
    }
}

/// Where axe-core is, and where evidence goes to.
fn tools_dir() -> Option<PathBuf> {
    let named = std::env::var_os("BROWSER_TOOLS_DIR").map(PathBuf::from);
    if named.is_none() {
        println!(
            "SKIPPED: BROWSER_TOOLS_DIR is not set, so nothing is proved here. Run: cargo xtask ci browser"
        );
    }
    named
}

/// ChromeDriver. It ends when it is dropped, and the browsers that it started are closed before.
struct Driver {
    process: Child,
    url: String,
    // Read by nobody any more, but writing to it must not fail.
    _output: BufReader<ChildStdout>,
}

impl Driver {
    async fn start() -> Self {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver cannot be started: {error}"));
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let port = timeout(START_TIMEOUT, port_of(&mut output)).await.unwrap();
        Self {
            process,
            url: format!("http://127.0.0.1:{port}"),
            _output: output,
        }
    }

    async fn open(&mut self, visitor: Visitor) -> Client {
        let Value::Object(capabilities) = capabilities(visitor) else {
            panic!("capabilities are an object");
        };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let connected = builder.capabilities(capabilities).connect(&self.url);
        let client = timeout(START_TIMEOUT, connected).await.unwrap();
        client.unwrap_or_else(|error| panic!("no browser: {error}"))
    }
}

/// ChromeDriver says last on which port it listens.
async fn port_of(output: &mut BufReader<ChildStdout>) -> u16 {
    let mut line = String::new();
    loop {
        line.clear();
        let read = output.read_line(&mut line).await.unwrap();
        assert!(read > 0, "chromedriver ended before it listened");
        if let Some((_, port)) = line.trim_end_matches(['.', '\n']).split_once("on port ")
            && line.contains("successfully")
        {
            return port.parse().unwrap();
        }
    }
}

fn capabilities(visitor: Visitor) -> Value {
    // 1 allows and 2 blocks.
    let script = if visitor.has_script { 1 } else { 2 };
    json!({
        "goog:chromeOptions": {
            "args": ARGUMENTS,
            "prefs": {
                "intl.accept_languages": visitor.languages,
                "profile.managed_default_content_settings.javascript": script,
            },
        },
        "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
    })
}

/// Makes the directory that a file is to be in.
pub(crate) fn make_dir_of(file: &Path) {
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir).unwrap();
    }
}
