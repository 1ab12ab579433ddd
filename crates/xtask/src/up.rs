//! `cargo xtask up`: the whole product on a machine with nothing but a Rust toolchain.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use billing_devkit::postgres::{Cluster, Durability};
use billing_devkit::wiring::DEVELOPER;
use tokio::process::Command;

use crate::environment;
use crate::layout;
use crate::leftovers::Ledger;
use crate::processes::{Processes, say};
use crate::ready::{self, GrpcAddresses, Ready, TlsFiles, wait_for};
use crate::run::{self, Stopped};
use crate::settings::{self, Settings};
use crate::stop::StopSignals;

/// What is built, in one call of cargo.
pub(crate) const PACKAGES: [&str; 7] = [
    "migrations",
    "org-svc",
    "ingest-svc",
    "stripe-svc",
    "gateway",
    "stripe-sim",
    "instance-sim",
];
const DATABASE: &str = "billing";

/// What was asked for on the command line.
pub(crate) struct Options {
    pub(crate) ready_file: Option<PathBuf>,
    pub(crate) demo: bool,
    pub(crate) data_dir: PathBuf,
}

/// Brings everything up, stays until told to stop, and takes everything down again.
pub(crate) async fn up(options: &Options, stop: &mut StopSignals) -> anyhow::Result<ExitCode> {
    let problems = settings::database_problems();
    if !problems.is_empty() {
        for problem in problems {
            eprintln!("error: {problem}");
        }
        return Ok(ExitCode::from(billing_database::EXIT_CONFIG));
    }
    let _claim = settings::claim(&options.data_dir)?;
    remove_ready_file(options)?;
    let mut processes = Processes::default();
    let mut cluster = None;
    let outcome = match build(stop).await {
        Ok(()) => tokio::select! {
            outcome = stay_up(options, &mut processes, &mut cluster) => outcome,
            () = stop.received() => Err(Stopped.into()),
        },
        Err(error) => Err(error),
    };

    remove_ready_file(options)?;
    let is_stopped = matches!(&outcome, Err(error) if error.is::<Stopped>());
    if let (Err(error), false) = (&outcome, is_stopped) {
        eprintln!("error: {error:#}");
    }
    say("stopping");
    let asked_twice = tokio::select! {
        () = processes.end_all() => false,
        () = stop.received() => true,
    };
    if asked_twice {
        processes.kill_all();
    }
    if let Some(cluster) = cluster {
        tokio::task::spawn_blocking(|| Cluster::stop(cluster)).await??;
    }
    say("stopped");
    Ok(if is_stopped {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn build(stop: &mut StopSignals) -> anyhow::Result<()> {
    say("building");
    let mut command = layout::cargo();
    command
        .arg("build")
        .arg("--bins")
        .current_dir(layout::root());
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    run::to_success(&mut command, stop).await
}

/// Only ever ends with an error: a process that died, or a step that failed.
async fn stay_up(
    options: &Options,
    processes: &mut Processes,
    cluster: &mut Option<Cluster>,
) -> anyhow::Result<()> {
    let settings = Settings::prepare(&options.data_dir)?;
    processes.keep(Ledger::of(&options.data_dir));
    let database_url = match &settings.database_url {
        Some(url) => {
            say("using the database of DATABASE_URL");
            url.clone()
        }
        None => start_database(&settings, cluster).await?,
    };
    say("migrating the database");
    let migrations = environment::migrations(&database_url)?;
    processes.run("migrations", migrations, "").await?;
    start_stripe(&settings, &database_url, processes).await?;
    start_services(&settings, &database_url, processes).await?;
    ensure_admin(&settings, &database_url, processes).await?;

    let gateway_pid = processes.id("gateway")?;
    let ready = ready(&settings, database_url, gateway_pid);
    if let Some(path) = &options.ready_file {
        ready.write(path)?;
    }
    welcome(&ready);
    if options.demo {
        seed_demo(&ready, processes).await?;
    }
    Err(processes.any_death().await)
}

async fn start_database(
    settings: &Settings,
    cluster: &mut Option<Cluster>,
) -> anyhow::Result<String> {
    say("starting PostgreSQL");
    let dir = settings.dir.join("postgres");
    // Blocking, and not to be dropped half way: it ends by itself, and a cluster that nobody waits
    // for any more is stopped by its own Drop.
    let start = move || Cluster::start(&dir, Durability::Kept, &say);
    let started = tokio::task::spawn_blocking(start).await??;
    let url = started.ensure_database(DATABASE)?;
    *cluster = Some(started);
    Ok(url)
}

async fn start_stripe(
    settings: &Settings,
    database_url: &str,
    processes: &mut Processes,
) -> anyhow::Result<()> {
    if settings.stripe.is_simulated {
        say("starting the Stripe simulator");
        processes.start("stripe-sim", environment::stripe_sim(settings)?)?;
        let port = settings.ports.stripe_sim;
        // It has no readiness of its own: it is ready when it answers, whatever that is.
        let answers = wait_for("stripe-sim", port, "/", |_| true);
        or_death(answers, processes).await?;
    } else {
        say(&format!("using Stripe at {}", settings.stripe.api_base));
    }
    say("applying the catalog");
    let mut catalog = environment::stripe_svc(settings, database_url)?;
    catalog.args(["catalog", "apply"]);
    processes.run("catalog", catalog, "").await
}

async fn start_services(
    settings: &Settings,
    database_url: &str,
    processes: &mut Processes,
) -> anyhow::Result<()> {
    say("starting the services");
    let ports = &settings.ports;
    let stripe_svc = environment::stripe_svc(settings, database_url)?;
    processes.start("stripe-svc", stripe_svc)?;
    let org_svc = environment::org_svc(settings, database_url)?;
    processes.start("org-svc", org_svc)?;
    let ingest_svc = environment::ingest_svc(settings, database_url)?;
    processes.start("ingest-svc", ingest_svc)?;
    processes.start("gateway", environment::gateway(settings)?)?;
    for (name, port) in [
        ("stripe-svc", ports.stripe_health),
        ("org-svc", ports.org_health),
        ("ingest-svc", ports.ingest_health),
        ("gateway", ports.gateway_health),
        ("gateway", ports.gateway),
    ] {
        let ready = wait_for(name, port, "/readyz", |status| status == 200);
        or_death(ready, processes).await?;
    }
    Ok(())
}

async fn ensure_admin(
    settings: &Settings,
    database_url: &str,
    processes: &mut Processes,
) -> anyhow::Result<()> {
    let mut create = environment::org_svc(settings, database_url)?;
    create
        .args(["admin", "create", &settings.admin.email])
        .args(["--name", "Developer", "--password-stdin"]);
    let password = format!("{}\n", settings.admin.password);
    processes.run("admin", create, &password).await
}

async fn seed_demo(ready: &Ready, processes: &mut Processes) -> anyhow::Result<()> {
    say("bringing in the demo fleet");
    let mut demo = Command::new(layout::binary("instance-sim")?);
    demo.arg("demo")
        .env("BASE_URL", &ready.base_url)
        .env("ADMIN_EMAIL", &ready.admin_email)
        .env("ADMIN_PASSWORD", &ready.admin_password)
        .env("STRIPE_API_BASE", &ready.stripe_api_base)
        .env("STRIPE_SECRET_KEY", &ready.stripe_secret_key)
        .env("DATABASE_URL", &ready.database_url);
    processes
        .run("demo", demo, "")
        .await
        .context("the demo fleet could not be brought in")?;
    say("the demo fleet is in");
    Ok(())
}

/// Waits for something, unless a process dies over it.
async fn or_death(
    wait: impl Future<Output = anyhow::Result<()>>,
    processes: &mut Processes,
) -> anyhow::Result<()> {
    tokio::select! {
        outcome = wait => outcome,
        death = processes.any_death() => Err(death),
    }
}

fn ready(settings: &Settings, database_url: String, gateway_pid: u32) -> Ready {
    let ports = &settings.ports;
    Ready {
        base_url: settings.base_url.clone(),
        admin_email: settings.admin.email.clone(),
        admin_password: settings.admin.password.clone(),
        stripe_api_base: settings.stripe.api_base.clone(),
        stripe_secret_key: settings.stripe.secret_key.clone(),
        database_url,
        grpc: GrpcAddresses {
            gateway: environment::address(ports.gateway),
            ingest: environment::address(ports.ingest),
            org: environment::address(ports.org),
            stripe: environment::address(ports.stripe),
        },
        tls: TlsFiles {
            ca: settings.pki.ca(),
            cert: settings.pki.cert(DEVELOPER),
            key: settings.pki.key(DEVELOPER),
        },
        gateway_pid,
    }
}

fn welcome(ready: &Ready) {
    say("");
    say(&format!("dashboard  {}", ready.base_url));
    say(&format!("e-mail     {}", ready.admin_email));
    say(&format!("password   {}", ready.admin_password));
    say(&format!("Stripe     {}", ready.stripe_api_base));
    say("");
    say(&format!("gRPC       http://{}", ready.grpc.gateway));
    for (name, address) in [
        ("org-svc", &ready.grpc.org),
        ("ingest-svc", &ready.grpc.ingest),
        ("stripe-svc", &ready.grpc.stripe),
    ] {
        say(&format!("{name:10} {}", ready::tls_url(address)));
    }
    if let Some(pki) = ready.tls.ca.parent() {
        say(&format!("certs      {}", pki.display()));
    }
    say("");
    say("ready; Ctrl-C stops everything");
}

fn remove_ready_file(options: &Options) -> anyhow::Result<()> {
    let Some(path) = &options.ready_file else {
        return Ok(());
    };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error)
            .with_context(|| format!("the ready file {} cannot be removed", path.display())),
        Ok(()) | Err(_) => Ok(()),
    }
}
