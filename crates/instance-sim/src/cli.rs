//! The command line. Every option can also come from the environment; the names are those of the
//! specification where it has one.
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::{DateTime, SubsecRound as _, Utc};
use clap::{Args, Parser, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use crate::cron::Cron;
use crate::demo::{self, DemoTarget};
use crate::fleet::{self, FleetPlan};
use crate::organizations::OrganizationStore;
use crate::report::{UsageReport, instance_url};
use crate::reporter::{BILLING_API_TOKEN, Outcome, Reporter};
use crate::retry::RetryPolicy;
use crate::signing::SigningKey;
use crate::{now, out, target};

/// One VaultAI instance, or a fleet of them, as the billing service sees them.
#[derive(Debug, Parser)]
#[command(name = "instance-sim", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Be an instance: an HTTP server with the cron behind CRON_SECRET.
    Serve(Serve),
    /// Change the instance's own database: an organization, and its users.
    Organization(Organization),
    /// Send one report and print the answer.
    Report(Report),
    /// Have a fleet report: the load generator.
    Fleet(Fleet),
    /// Bring a believable fleet to a development system; a second run adds nothing twice.
    Demo(Demo),
}

/// Where reports go.
#[derive(Debug, Args)]
struct Billing {
    /// The billing service.
    #[arg(long, env = "BILLING_URL", default_value = "http://127.0.0.1:8080")]
    billing_url: String,
    /// The token that all instances share.
    #[arg(long, env = "BILLING_API_TOKEN", default_value = BILLING_API_TOKEN, hide_env_values = true, hide_default_value = true)]
    billing_api_token: SecretString,
    /// Attempts for each report, the first included.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100))]
    max_attempts: u32,
    /// A file with an Ed25519 private key (PKCS#8, PEM): reports are signed with it.
    #[arg(long, env = "BILLING_SIGNING_KEY_FILE")]
    signing_key_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    billing: Billing,
    /// The instance's own database.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: SecretString,
    /// Where the instance listens.
    #[arg(long, env = "LISTEN_ADDR", default_value = "127.0.0.1:3000")]
    listen_addr: SocketAddr,
    /// Guards the cron.
    #[arg(long, env = "CRON_SECRET", hide_env_values = true)]
    cron_secret: SecretString,
    /// The instance's own address; its host is the report's instance_url.
    #[arg(
        long,
        env = "NEXT_PUBLIC_APP_URL",
        default_value = "https://acme.vaultai.eu"
    )]
    app_url: String,
    /// Reports wait for a random time of at most this.
    #[arg(long, env = "CRON_JITTER_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=3600))]
    cron_jitter_seconds: u64,
    /// Report by itself too, every day at 03:00 UTC.
    #[arg(long)]
    cron: bool,
    /// The organization that an empty database begins with.
    #[arg(long, default_value = "Acme Corp")]
    name: String,
    /// And its number of users.
    #[arg(long, default_value_t = 45)]
    users: i64,
}

#[derive(Debug, Args)]
struct Organization {
    /// The instance's own database.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: SecretString,
    /// An organization that is there; without it one is added.
    #[arg(long)]
    id: Option<Uuid>,
    /// The name of the one that is added.
    #[arg(long, required_unless_present = "id")]
    name: Option<String>,
    /// Users to add.
    #[arg(long, default_value_t = 0)]
    add_users: i64,
    /// Users to remove.
    #[arg(long, default_value_t = 0)]
    remove_users: i64,
}

#[derive(Debug, Args)]
struct Report {
    #[command(flatten)]
    billing: Billing,
    /// The organization's id.
    #[arg(long)]
    organization_id: Uuid,
    /// Its name.
    #[arg(long)]
    name: String,
    /// The instance's address; its host is reported.
    #[arg(long)]
    url: String,
    /// Number of users.
    #[arg(long)]
    users: i64,
    /// The moment of the count, RFC 3339; now if not given.
    #[arg(long)]
    timestamp: Option<DateTime<Utc>>,
}

#[derive(Debug, Args)]
struct Fleet {
    #[command(flatten)]
    billing: Billing,
    /// How many instances.
    #[arg(long, default_value_t = 100)]
    instances: u64,
    /// How many days each reports, up to today.
    #[arg(long, default_value_t = 1)]
    days: u64,
    /// How many reports are under way at once.
    #[arg(long, default_value_t = 32)]
    concurrency: u64,
    /// Which fleet: ids and counts follow from it. The same again sends the same reports.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Give each instance an address of its own in X-Forwarded-For.
    #[arg(long)]
    forwarded_for: bool,
    /// Allow a billing service on another machine.
    #[arg(long)]
    allow_remote: bool,
}

#[derive(Debug, Args)]
struct Demo {
    /// The gateway.
    #[arg(long, env = "BASE_URL", default_value = "http://127.0.0.1:8080")]
    base_url: String,
    /// What the admin's browser is on, if not the gateway's address.
    #[arg(long, env = "BETTER_AUTH_URL")]
    origin: Option<String>,
    /// An admin.
    #[arg(long, env = "ADMIN_EMAIL")]
    admin_email: String,
    /// The admin's password.
    #[arg(long, env = "ADMIN_PASSWORD", hide_env_values = true)]
    admin_password: SecretString,
    /// The Stripe simulator's address: a real one is refused.
    #[arg(
        long,
        env = "STRIPE_API_BASE",
        default_value = "http://127.0.0.1:12111"
    )]
    stripe_api_base: String,
    /// Its key: a live one is refused.
    #[arg(
        long,
        env = "STRIPE_SECRET_KEY",
        default_value = "sk_test_local",
        hide_env_values = true
    )]
    stripe_secret_key: SecretString,
    /// The billing database as its owner; see the module `demo::backdate`.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: SecretString,
    /// The token that all instances share.
    #[arg(long, env = "BILLING_API_TOKEN", default_value = BILLING_API_TOKEN, hide_env_values = true, hide_default_value = true)]
    billing_api_token: SecretString,
    /// Allow a development system on other machines.
    #[arg(long)]
    allow_remote: bool,
}

/// Runs a command. The exit code says whether every report was recorded.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(options) => serve(options).await,
        Command::Organization(options) => organization(options).await,
        Command::Report(options) => report(options).await,
        Command::Fleet(options) => fleet(options).await,
        Command::Demo(options) => demo(options).await,
    }
}

impl Cli {
    /// What is logged where RUST_LOG says nothing: each retry, but not of a whole fleet.
    #[must_use]
    pub fn log_filter(&self) -> &'static str {
        match self.command {
            Command::Fleet(_) => "info,sqlx=warn",
            Command::Serve(_)
            | Command::Organization(_)
            | Command::Report(_)
            | Command::Demo(_) => "info,sqlx=warn,instance_sim=debug",
        }
    }
}

impl Billing {
    fn reporter(&self) -> anyhow::Result<Reporter> {
        let policy = RetryPolicy {
            max_attempts: self.max_attempts,
            ..RetryPolicy::default()
        };
        let key = self.signing_key_file.as_deref();
        let key = key.map(SigningKey::read).transpose()?;
        let reporter = Reporter::new(&self.billing_url, &self.billing_api_token, policy)?;
        Ok(reporter.signing_with(key))
    }
}

async fn serve(options: Serve) -> anyhow::Result<ExitCode> {
    if options.cron_secret.expose_secret().is_empty() {
        bail!("CRON_SECRET is empty: it must guard the cron");
    }
    let store = OrganizationStore::open(options.database_url.expose_secret()).await?;
    store.add_first(&options.name, options.users).await?;
    let cron = Cron {
        store,
        reporter: options.billing.reporter()?,
        instance_url: instance_url(&options.app_url)?,
        jitter: Duration::from_secs(options.cron_jitter_seconds),
    };
    let listener = TcpListener::bind(options.listen_addr)
        .await
        .with_context(|| format!("cannot listen on {}", options.listen_addr))?;
    out::line(&format!(
        "instance-sim listens on http://{}",
        listener.local_addr()?
    ));
    let daily = options.cron.then(|| tokio::spawn(cron.clone().run_daily()));
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    };
    axum::serve(listener, cron.router(options.cron_secret))
        .with_graceful_shutdown(stop)
        .await?;
    if let Some(daily) = daily {
        daily.abort();
    }
    Ok(ExitCode::SUCCESS)
}

async fn organization(options: Organization) -> anyhow::Result<ExitCode> {
    let store = OrganizationStore::open(options.database_url.expose_secret()).await?;
    let id = match (options.id, &options.name) {
        (Some(id), None) => id,
        (id, Some(name)) => store.add(id, name).await?,
        (None, None) => bail!("--name or --id is needed"),
    };
    store.add_users(id, options.add_users).await?;
    store.remove_users(id, options.remove_users).await?;
    let counted = store.count_users().await?;
    let one = counted
        .iter()
        .find(|each| each.id == id)
        .context("there is no such organization")?;
    out::line(&format!(
        "{} {} has {} users",
        one.id, one.name, one.user_count
    ));
    Ok(ExitCode::SUCCESS)
}

async fn report(options: Report) -> anyhow::Result<ExitCode> {
    let report = UsageReport {
        organization_id: options.organization_id,
        organization_name: options.name,
        instance_url: instance_url(&options.url)?,
        user_count: options.users,
        timestamp: options.timestamp.unwrap_or_else(now).trunc_subsecs(0),
    };
    match options.billing.reporter()?.report(&report).await? {
        Outcome::Recorded {
            answer,
            attempts: _,
        } => {
            out::line(&serde_json::to_string_pretty(&answer)?);
            return Ok(ExitCode::SUCCESS);
        }
        Outcome::Refused { status, detail } => {
            out::line(&format!("refused: HTTP {status}: {detail}"))
        }
        Outcome::GaveUp { attempts, last } => {
            out::line(&format!(
                "not known to be recorded after {attempts} attempts: {last}"
            ));
        }
    }
    Ok(ExitCode::FAILURE)
}

async fn fleet(options: Fleet) -> anyhow::Result<ExitCode> {
    target::must_be_local(&options.billing.billing_url, options.allow_remote)?;
    let plan = FleetPlan {
        instances: options.instances,
        days: options.days,
        concurrency: options.concurrency,
        seed: options.seed,
        forwarded_for: options.forwarded_for,
    };
    let totals = fleet::run(&options.billing.reporter()?, &plan, now()).await?;
    totals.lines().iter().for_each(|line| out::line(line));
    Ok(if totals.complete() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn demo(options: Demo) -> anyhow::Result<ExitCode> {
    let policy = RetryPolicy::default();
    let reporter = Reporter::new(&options.base_url, &options.billing_api_token, policy)?;
    let demo_target = DemoTarget {
        origin: options
            .origin
            .unwrap_or_else(|| options.base_url.trim_end_matches('/').to_owned()),
        base_url: options.base_url,
        admin_email: options.admin_email,
        admin_password: options.admin_password,
        stripe_api_base: options.stripe_api_base,
        stripe_secret_key: options.stripe_secret_key,
        database_url: options.database_url,
        allow_remote: options.allow_remote,
    };
    demo::run(&demo_target, reporter, now()).await?;
    Ok(ExitCode::SUCCESS)
}
