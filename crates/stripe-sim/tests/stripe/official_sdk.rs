//! Stripe's own Python client reads the simulator, where one is at hand.

use std::path::{Path, PathBuf};
use std::process::Command;

use stripe_sim::Config;

use crate::support::{Account, KEY};

#[tokio::test(flavor = "multi_thread")]
async fn stripes_own_client_reads_it() {
    let Some(named) = std::env::var_os("STRIPE_SDK_PYTHON").map(PathBuf::from) else {
        println!("skipped: STRIPE_SDK_PYTHON names no interpreter that has the package `stripe`");
        return;
    };
    // A bare name is looked up in PATH; a relative path starts at the workspace.
    let is_bare = named.components().count() == 1;
    let workspace = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let python = if is_bare {
        named
    } else {
        workspace.join(named)
    };
    let account = Account::open_with(Config::default()).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/official_sdk.py");
    let url = account.sim.base_url();
    let run = move || {
        Command::new(python)
            .args([script, url.as_str(), KEY])
            .output()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    println!("{}", text(&output.stdout));
    assert!(output.status.success(), "{}", text(&output.stderr));
}
