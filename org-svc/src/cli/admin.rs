//! `org-svc admin …`: who may administer billing.
#![expect(clippy::print_stdout, reason = "a command answers on standard output")]

use std::{io::Read, process::ExitCode};

use billing_kit::{
    Clock, Ids,
    config::{EXIT_CONFIG, Env},
    process::complain,
};
use billing_kit_db::DatabaseConfig;
use clap::{Args, Subcommand};
use secrecy::SecretString;

use crate::{
    app::{
        Admins,
        adopt_admins::{Whom, adopt_admins},
        create_admin::{Created, create_admin},
        list_admins::list_admins,
    },
    domain::{account::UserName, email::EmailAddress, password},
};

/// More than any password takes, in bytes: what is longer is some other file.
const STDIN_BYTES_MAX: u64 = 4_096;

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Create an admin with a password; an existing user gets the new password and becomes an admin.
    Create(Create),
    /// Make users of an existing Better Auth deployment admins.
    Adopt(Adopt),
    /// Show the admins.
    List,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The e-mail address to sign in with.
    email: String,
    /// The name of a new user; what stands before the @ by default.
    #[arg(long)]
    name: Option<String>,
    /// Read the password from standard input: 8 to 128 characters, up to the end of its first line.
    #[arg(long, required = true)]
    password_stdin: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Adopt {
    /// The e-mail address of an existing user.
    email: Option<String>,
    /// Everybody who can sign in.
    #[arg(long)]
    all: bool,
}

/// What went wrong, for the person at the terminal.
pub(super) enum Problem {
    /// The command or the environment is wrong.
    Usage(String),
    /// It could not be done.
    Failed(String),
}

impl From<billing_kit::Fault> for Problem {
    fn from(fault: billing_kit::Fault) -> Self {
        let cause = std::error::Error::source(&fault).map(ToString::to_string);
        Self::Failed(match cause {
            Some(cause) => format!("{fault} ({cause})"),
            None => fault.to_string(),
        })
    }
}

impl From<crate::store::better_auth::DetectError> for Problem {
    fn from(error: crate::store::better_auth::DetectError) -> Self {
        use crate::store::better_auth::DetectError;
        match error {
            DetectError::Unsupported(problem) => Self::Failed(problem),
            DetectError::Database(fault) => fault.into(),
        }
    }
}

pub(super) fn run(command: AdminCommand) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("org-svc: the runtime cannot be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let (line, code) = match runtime.block_on(obey(command)) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Problem::Usage(line)) => (line, ExitCode::from(EXIT_CONFIG)),
        Err(Problem::Failed(line)) => (line, ExitCode::FAILURE),
    };
    complain(&format!("org-svc: {line}"));
    code
}

async fn obey(command: AdminCommand) -> Result<(), Problem> {
    match command {
        AdminCommand::Create(arguments) => create(arguments).await,
        AdminCommand::Adopt(arguments) => adopt(arguments).await,
        AdminCommand::List => list().await,
    }
}

fn database() -> Result<DatabaseConfig, Problem> {
    let mut env = Env::from_process();
    let database = DatabaseConfig::read(&mut env);
    env.finish(database)
        .map_err(|error| Problem::Usage(error.to_string()))
}

async fn connect(database: &DatabaseConfig) -> Result<Admins, Problem> {
    let db = crate::connect(database).await.map_err(Problem::Failed)?;
    let admins = Admins::new(db, Clock::system(), Ids::random());
    admins.tables().await?;
    Ok(admins)
}

async fn create(arguments: Create) -> Result<(), Problem> {
    let Create {
        email,
        name,
        password_stdin: _,
    } = arguments;
    let password = read_password()?;
    let created = create_on(&database()?, &email, name.as_deref(), password).await?;
    let email = email.to_lowercase();
    match created {
        Created::NewUser => println!("created the admin {email}"),
        Created::NewPassword => println!("the user {email} has the new password and is an admin"),
    }
    Ok(())
}

pub(super) async fn create_on(
    database: &DatabaseConfig,
    email: &str,
    name: Option<&str>,
    password: SecretString,
) -> Result<Created, Problem> {
    let email = parse_email(email)?;
    let name = name
        .map(UserName::parse)
        .transpose()
        .map_err(|problem| Problem::Usage(format!("--name: {problem}")))?;
    password::check_new(&password).map_err(|problem| Problem::Usage(problem.to_owned()))?;
    let admins = connect(database).await?;
    Ok(create_admin(&admins, &email, name.as_ref(), password).await?)
}

async fn adopt(arguments: Adopt) -> Result<(), Problem> {
    let Adopt { email, all: _ } = arguments;
    let whom = match &email {
        Some(email) => Whom::One(parse_email(email)?),
        None => Whom::Everybody,
    };
    let admins = connect(&database()?).await?;
    let adopted = adopt_admins(&admins, whom).await?;
    if adopted.is_empty() {
        return Err(Problem::Failed(
            "there is no such user. Create one: org-svc admin create EMAIL --password-stdin"
                .to_owned(),
        ));
    }
    for (user, is_new) in adopted {
        let became = if is_new { "is now" } else { "already was" };
        println!("{} {became} an admin", user.email);
    }
    Ok(())
}

async fn list() -> Result<(), Problem> {
    let admins = connect(&database()?).await?;
    let listed = list_admins(&admins).await?;
    if listed.is_empty() {
        println!("there are no admins yet");
    }
    for admin in listed {
        let (email, name) = admin
            .user
            .as_ref()
            .map_or(("(the user was deleted)", ""), |user| {
                (user.email.as_str(), user.name.as_str())
            });
        println!(
            "{email}\t{name}\t{}\tsince {}",
            admin.user_id.0,
            admin.since.format("%Y-%m-%d")
        );
    }
    Ok(())
}

fn parse_email(text: &str) -> Result<EmailAddress, Problem> {
    EmailAddress::parse(text).map_err(|problem| Problem::Usage(format!("'{text}': {problem}")))
}

fn read_password() -> Result<SecretString, Problem> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(STDIN_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| Problem::Usage(format!("the password cannot be read: {error}")))?;
    let first_line = text.split(['\r', '\n']).next().unwrap_or_default();
    Ok(first_line.into())
}
