//! Applies the migrations: `migrations up`, before a release's services start.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool answers on standard output"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use billing_database::{
    ALLOW_PLAINTEXT, Address, EXIT_CONFIG, Policy, SCHEMA, StartError, check_session,
};
use clap::{Parser, Subcommand};
use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm::{DatabaseConnection, DbErr, SqlxPostgresConnector};

const URL: &str = "DATABASE_URL";
const RETRY_EVERY: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Brings the billing database to this release's tables.
#[derive(Parser)]
#[command(name = "migrations", version)]
struct Arguments {
    /// The database, as a postgresql:// URL.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// 'true' allows a connection without TLS to another machine.
    #[arg(long, env = ALLOW_PLAINTEXT, value_name = "true|false")]
    database_allow_plaintext: Option<String>,
    /// The schema of the tables; use the same for the services.
    #[arg(long, env = SCHEMA, value_name = "NAME")]
    database_schema: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Apply every pending migration. The first run applies all or none; an upgrade runs beside the
    /// services, and the next run continues one that was interrupted.
    Up {
        /// How long to wait until the database is up.
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        wait: u64,
    },
    /// Take back the latest migrations. Refuses to drop rows of an older database.
    Down {
        /// How many migrations to take back.
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
            return ExitCode::from(if error.use_stderr() { EXIT_CONFIG } else { 0 });
        }
    };
    let policy = Policy {
        allow_plaintext: arguments.database_allow_plaintext,
        schema: arguments.database_schema,
    };
    let url = arguments.database_url.unwrap_or_default();
    let address = match Address::parse(URL, &url, &policy) {
        Ok(address) => address,
        Err(problems) => {
            for problem in problems {
                eprintln!("error: {problem}");
            }
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match run(&arguments.command, &address).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: &Command, address: &Address) -> anyhow::Result<()> {
    match command {
        Command::Up { wait } => {
            let db = connect(address, Duration::from_secs(*wait)).await?;
            let applied = migrations::up_in(&db, address.schema())
                .await
                .map_err(plain)?;
            if applied.is_empty() {
                println!("nothing to do: every migration is applied");
            }
            for name in applied {
                println!("applied {name}");
            }
        }
        Command::Down { steps } => {
            let db = connect(address, Duration::ZERO).await?;
            for name in migrations::down(&db, Some(*steps)).await.map_err(plain)? {
                println!("took back {name}");
            }
        }
        Command::Status => {
            let db = connect(address, Duration::ZERO).await?;
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

/// Connects, trying again for as long as `wait` says. Every session uses the schema that the services use.
async fn connect(address: &Address, wait: Duration) -> anyhow::Result<DatabaseConnection> {
    let options = address
        .connect_options()
        .options([("search_path", address.schema())]);
    let started = Instant::now();
    loop {
        match connect_once(&options).await {
            Ok(db) => return Ok(db),
            Err(StartError::Refused(problem)) => anyhow::bail!("{URL} {problem}"),
            Err(StartError::Away(error)) if started.elapsed() < wait => {
                eprintln!("waiting for the database: {error}");
                tokio::time::sleep(RETRY_EVERY).await;
            }
            Err(StartError::Away(error)) => anyhow::bail!(
                "The database did not answer: {error}. Check that it runs and that {URL} is correct. Use --wait SECONDS to wait for it."
            ),
        }
    }
}

async fn connect_once(options: &PgConnectOptions) -> Result<DatabaseConnection, StartError> {
    check_session(options).await?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT_TIMEOUT)
        .connect_with(options.clone())
        .await?;
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}
