//! Where things are.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Context;
use tokio::process::Command;

/// The repository.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_owned()
}

/// Cargo's target directory, which also holds all that xtask makes.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        // Cargo takes a relative one from where it is called, and so does this.
        Some(dir) => std::path::absolute(&dir).unwrap_or_else(|_| PathBuf::from(dir)),
        None => root().join("target"),
    }
}

/// A program that `.ci/requirements.txt` brings: where `.ci/run` installed it, or the one in PATH.
pub(crate) fn python_tool(name: &str) -> PathBuf {
    let installed = target().join("python/bin").join(name);
    if installed.is_file() {
        installed
    } else {
        PathBuf::from(name)
    }
}

/// The cargo that runs us, or the one in PATH, in the repository.
///
/// Without the variables by which cargo tells us about our own package: build scripts watch some of
/// them (ring's does), and what is built with them and without would be built anew each time.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let about_us = ["CARGO_PKG_", "CARGO_MANIFEST_"];
        if about_us
            .iter()
            .any(|start| name.to_string_lossy().starts_with(start))
        {
            command.env_remove(name);
        }
    }
    command.current_dir(root());
    command
}

/// The catalog with sample amounts.
pub(crate) fn sample_catalog() -> PathBuf {
    root().join("stripe-svc/catalog.toml")
}

static OWN: OnceLock<PathBuf> = OnceLock::new();

/// Looks where our own binary is. To be called first: once cargo has built xtask anew while it
/// runs, the system no longer tells.
pub(crate) fn find_own() -> anyhow::Result<()> {
    let own = std::env::current_exe().context("xtask cannot tell where its own binary is")?;
    // Who set it before found the same.
    OWN.get_or_init(|| own);
    Ok(())
}

/// Our own binary.
pub(crate) fn own() -> anyhow::Result<&'static Path> {
    let own = OWN.get().context("find_own was not called")?;
    Ok(own)
}

/// A binary of the workspace: it lies beside our own.
pub(crate) fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let path = own()?.with_file_name(name);
    anyhow::ensure!(
        path.is_file(),
        "{} is not there. Run `cargo build -p {name}` and see what it says.",
        path.display()
    );
    Ok(path)
}
