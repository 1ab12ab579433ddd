//! The instance's client, `clients/instance-ts`: its types, its unit tests, and its tests against the
//! running product.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::process::Command;

use crate::layout;
use crate::ready::Ready;
use crate::run;
use crate::stop::StopSignals;

const DIRECTORIES: [&str; 3] = ["src", "test", "example"];
const FILES: [&str; 3] = ["package.json", "package-lock.json", "tsconfig.json"];

/// Compiles the client and runs its unit tests.
pub(crate) async fn check(stop: &mut StopSignals) -> anyhow::Result<()> {
    let dir = install(stop).await?;
    run::to_success(&mut npm(&dir, &["run", "--silent", "test"]), stop).await
}

/// Runs the client's tests against the product that runs.
pub(crate) async fn against(ready: &Ready, dir: &Path) -> anyhow::Result<()> {
    let status = npm(dir, &["run", "--silent", "test:product"])
        .env("BASE_URL", &ready.base_url)
        .env("ADMIN_EMAIL", &ready.admin_email)
        .env("ADMIN_PASSWORD", &ready.admin_password)
        .env("INSTANCES_MD", layout::root().join("docs/INSTANCES.md"))
        .kill_on_drop(true)
        .status()
        .await
        .context("npm cannot be run")?;
    anyhow::ensure!(
        status.success(),
        "the client's tests against the product failed ({status})."
    );
    Ok(())
}

/// A copy under `target`, with the compiler that its lock file names.
pub(crate) async fn install(stop: &mut StopSignals) -> anyhow::Result<PathBuf> {
    let source = layout::root().join("clients/instance-ts");
    let dir = layout::target().join("client");
    std::fs::create_dir_all(&dir)?;
    for name in DIRECTORIES {
        // What was removed since the last run is not tested any more.
        let copy = dir.join(name);
        if copy.exists() {
            std::fs::remove_dir_all(&copy)?;
        }
        copy_all(&source.join(name), &copy)?;
    }
    for name in FILES {
        std::fs::copy(source.join(name), dir.join(name))
            .with_context(|| format!("{} is missing", source.join(name).display()))?;
    }
    let mut install = npm(&dir, &["install", "--silent", "--no-audit", "--no-fund"]);
    install.arg("--ignore-scripts");
    run::to_success(&mut install, stop)
        .await
        .context("npm cannot install it; .ci/run installs npm where it is missing")?;
    Ok(dir)
}

fn npm(dir: &Path, words: &[&str]) -> Command {
    let mut npm = Command::new("npm");
    npm.args(words).current_dir(dir);
    npm
}

fn copy_all(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
