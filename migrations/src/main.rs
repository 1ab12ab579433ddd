//! Applies the migrations: `migrations up`, before a release's services start.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool answers on standard output"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use sea_orm::{ConnectOptions, Database, DatabaseConnection, DbErr};

/// `EX_USAGE` of sysexits.h: what was asked for, or its configuration, is wrong.
const EXIT_USAGE: u8 = 64;
const FIX: &str = "Set DATABASE_URL to postgresql://USER:PASSWORD@HOST:PORT/DATABASE, of a user who may create tables and roles there.";
const RETRY_EVERY: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Brings the billing database to this release's tables.
#[derive(Parser)]
#[command(name = "migrations", version)]
struct Arguments {
    /// The database, as a postgresql:// URL.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Apply every pending migration. The first run applies all or none; an upgrade runs beside the
    /// services, and one that was interrupted goes on with the next run.
    Up {
        /// How long to wait for the database to come up.
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        wait: u64,
    },
    /// Take back the latest migrations. Refuses to drop rows of an older database.
    Down {
        /// How many of them.
        #[arg(long, value_name = "N", default_value_t = 1)]
        steps: u32,
    },
    /// Show which migrations are applied.
    Status,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // When a message cannot be printed there is nobody left to tell.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { 0 });
        }
    };
    let url = match checked_url(arguments.database_url) {
        Ok(url) => url,
        Err(problem) => {
            eprintln!("error: {problem} {FIX}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match run(&arguments.command, url).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The URL, or what is wrong with it. Never says what it holds: a password is in it.
fn checked_url(value: Option<String>) -> Result<String, String> {
    let value = value.unwrap_or_default();
    if value.trim().is_empty() {
        return Err("DATABASE_URL is not set.".to_owned());
    }
    let url = url::Url::parse(value.trim())
        .map_err(|error| format!("DATABASE_URL is no URL: {error}."))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err("DATABASE_URL does not start with postgresql://.".to_owned());
    }
    Ok(value.trim().to_owned())
}

async fn run(command: &Command, url: String) -> anyhow::Result<()> {
    match command {
        Command::Up { wait } => {
            let db = connect(url, Duration::from_secs(*wait)).await?;
            let applied = migrations::up(&db).await.map_err(plain)?;
            if applied.is_empty() {
                println!("nothing to do: every migration is applied");
            }
            for name in applied {
                println!("applied {name}");
            }
        }
        Command::Down { steps } => {
            let db = connect(url, Duration::ZERO).await?;
            for name in migrations::down(&db, Some(*steps)).await.map_err(plain)? {
                println!("took back {name}");
            }
        }
        Command::Status => {
            let db = connect(url, Duration::ZERO).await?;
            for (name, status) in migrations::status(&db).await.map_err(plain)? {
                println!("{:8} {name}", status.to_string().to_lowercase());
            }
        }
    }
    Ok(())
}

/// A migration's own words, without the driver's heading.
fn plain(error: DbErr) -> anyhow::Error {
    if let DbErr::Migration(message) = error {
        anyhow::Error::msg(message)
    } else {
        anyhow::Error::new(error)
    }
}

/// Connects, trying again for as long as `wait` says.
async fn connect(url: String, wait: Duration) -> anyhow::Result<DatabaseConnection> {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(1)
        .connect_timeout(CONNECT_TIMEOUT)
        .sqlx_logging(false);
    let started = Instant::now();
    loop {
        #[expect(
            clippy::disallowed_methods,
            reason = "migrations run as the owner of the tables, not in a service's role"
        )]
        let attempt = Database::connect(options.clone()).await;
        match attempt {
            Ok(db) => return Ok(db),
            Err(error) if started.elapsed() < wait => {
                eprintln!("waiting for the database: {error}");
                tokio::time::sleep(RETRY_EVERY).await;
            }
            Err(error) => anyhow::bail!(
                "The database did not answer: {error}. Check that it runs and that DATABASE_URL is right; --wait SECONDS waits for it."
            ),
        }
    }
}
