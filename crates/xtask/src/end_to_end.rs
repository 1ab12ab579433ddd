//! The checks of the running whole: `cargo xtask up` as a newcomer runs it, the product's four steps
//! or what is documented for programs against it, and a clean end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::process::{Child, Command};

use crate::client;
use crate::layout;
use crate::ready::{self, Ready};
use crate::run::{self, Stopped};
use crate::stop::StopSignals;

/// From the call to ready. The build is part of it, and may be the first one.
const UP_TIMEOUT: Duration = Duration::from_secs(1_200);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What would let the run leave this machine.
const REPLACING: [&str; 7] = [
    "DATABASE_URL",
    "STRIPE_SECRET_KEY",
    "STRIPE_API_BASE",
    "BETTER_AUTH_SECRET",
    "BETTER_AUTH_URL",
    "NEXT_PUBLIC_BETTER_AUTH_URL",
    "BILLING_API_TOKENS",
];

/// The product's four steps, and the instance's client.
pub(crate) async fn end_to_end(stop: &mut StopSignals) -> anyhow::Result<()> {
    let dir = client::install(stop).await?;
    let steps = async |ready: Ready, _: &Path| {
        four_steps(&ready).await?;
        client::against(&ready, &dir).await
    };
    against_up("ci", &[], steps, stop).await
}

/// What is documented for programs: the OpenAPI document, and the lines of docs/ADMIN.md and
/// docs/SERVICES.md.
pub(crate) async fn open_api(buf: PathBuf, stop: &mut StopSignals) -> anyhow::Result<()> {
    let steps = async |ready, _: &Path| documented(ready, &buf).await;
    against_up("ci", &[], steps, stop).await
}

/// Runs it all in a directory named after `name`, with these variables beside those of the caller, and
/// takes the steps: they are given what the ready file says, and its path.
pub(crate) async fn against_up(
    name: &str,
    variables: &[(&str, &str)],
    steps: impl AsyncFnOnce(Ready, &Path) -> anyhow::Result<()>,
    stop: &mut StopSignals,
) -> anyhow::Result<()> {
    let dir = layout::target().join(format!("{name}-dev"));
    if dir.exists() {
        std::fs::remove_dir_all(&dir)
            .with_context(|| format!("{} cannot be removed", dir.display()))?;
    }
    let ready_file = layout::target().join(format!("{name}-ready.json"));
    let mut up = Command::new(layout::own()?);
    up.arg("up").arg("--data-dir").arg(&dir);
    up.arg("--ready-file").arg(&ready_file);
    for name in REPLACING {
        up.env_remove(name);
    }
    up.envs(variables.iter().copied());
    let mut up = up.process_group(0).spawn()?;
    let outcome = tokio::select! {
        outcome = once_ready(&mut up, &ready_file, steps) => outcome,
        () = stop.received() => Err(Stopped.into()),
    };
    let status = run::end(&mut up).await?;
    outcome?;
    anyhow::ensure!(
        status.success(),
        "`cargo xtask up` did not end cleanly ({status})."
    );
    anyhow::ensure!(
        !ready_file.exists(),
        "`cargo xtask up` left its ready file behind."
    );
    Ok(())
}

async fn once_ready(
    up: &mut Child,
    ready_file: &Path,
    steps: impl AsyncFnOnce(Ready, &Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let ready = tokio::time::timeout(UP_TIMEOUT, wait_until_ready(up, ready_file));
    let ready = ready
        .await
        .with_context(|| format!("not up within {} s", UP_TIMEOUT.as_secs()))??;
    steps(ready, ready_file).await
}

async fn documented(ready: Ready, buf: &Path) -> anyhow::Result<()> {
    let status = Command::new("python3")
        .arg(layout::root().join(".ci/openapi.py"))
        .env("BASE_URL", &ready.base_url)
        .env("ADMIN_EMAIL", &ready.admin_email)
        .env("ADMIN_PASSWORD", &ready.admin_password)
        .env("ORG_SVC_URL", ready::tls_url(&ready.grpc.org))
        .env("TLS_CA_FILE", &ready.tls.ca)
        .env("TLS_CERT_FILE", &ready.tls.cert)
        .env("TLS_KEY_FILE", &ready.tls.key)
        .env("SCHEMATHESIS", layout::python_tool("schemathesis"))
        .env("BUF", buf)
        .kill_on_drop(true)
        .status()
        .await
        .context("python3 cannot be run")?;
    anyhow::ensure!(status.success(), "openapi.py failed ({status}).");
    Ok(())
}

async fn four_steps(ready: &Ready) -> anyhow::Result<()> {
    let script = layout::root().join("../shared/accept/seed_flow.py");
    if !script.is_file() {
        return Ok(());
    }
    let status = Command::new("python3")
        .arg(script)
        .env("BASE_URL", &ready.base_url)
        .env("ADMIN_EMAIL", &ready.admin_email)
        .env("ADMIN_PASSWORD", &ready.admin_password)
        .env("STRIPE_API_BASE", &ready.stripe_api_base)
        .env("STRIPE_SECRET_KEY", &ready.stripe_secret_key)
        .env_remove("BETTER_AUTH_URL")
        .env_remove("BILLING_API_TOKEN")
        .kill_on_drop(true)
        .status()
        .await
        .context("python3 cannot be run")?;
    anyhow::ensure!(status.success(), "seed_flow.py failed ({status}).");
    Ok(())
}

async fn wait_until_ready(up: &mut Child, ready_file: &Path) -> anyhow::Result<Ready> {
    loop {
        if let Ok(ready) = Ready::read(ready_file) {
            return Ok(ready);
        }
        if let Some(status) = up.try_wait()? {
            anyhow::bail!("`cargo xtask up` ended before it was ready ({status}).");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
