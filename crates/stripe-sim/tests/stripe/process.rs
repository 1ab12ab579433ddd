//! The simulator as a process: its flags, its signal and its state file.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::receiver::Receiver;
use crate::support::http_client;

/// Ends the process whatever becomes of the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn a_signal_saves_and_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stripe.json");
    let receiver = Receiver::open().await;
    let child = Command::new(env!("CARGO_BIN_EXE_stripe-sim"))
        .args(["--listen", "127.0.0.1:0", "--state-file"])
        .arg(&file)
        .env("STRIPE_SIM_SECRET_KEY", "sk_test_of_the_process")
        .env("STRIPE_SIM_WEBHOOK_URL", &receiver.url)
        .env("STRIPE_SIM_WEBHOOK_SECRET", "whsec_of_the_process")
        .env("RUST_LOG", "info")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut process = Process(child);
    let log = BufReader::new(process.0.stderr.take().unwrap());
    let told = log
        .lines()
        .map_while(Result::ok)
        .find(|line| line.contains("listening"))
        .unwrap();
    assert!(!told.contains("sk_test"), "{told}");
    let url = told.split('"').nth(1).unwrap();
    let http = http_client();
    let create = |key: &'static str| http.post(format!("{url}/v1/customers")).bearer_auth(key);
    assert_eq!(create("sk_test_local").send().await.unwrap().status(), 401);
    let answer = create("sk_test_of_the_process").send().await.unwrap();
    let customer: Value = answer.json().await.unwrap();
    receiver.wait_for(1).await;
    let letter = &receiver.letters()[0];
    assert!(letter.signed_at("whsec_of_the_process").is_some());
    assert_eq!(letter.value()["data"]["object"]["id"], customer["id"]);

    let id = process.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    assert!(process.0.wait().unwrap().success());
    let saved = std::fs::read_to_string(&file).unwrap();
    assert!(saved.contains(customer["id"].as_str().unwrap()));
}
