//! `org-svc admin …`: who may administer billing.
#![expect(clippy::print_stdout, reason = "a command answers on standard output")]

use std::{
    io::{IsTerminal, Read},
    process::ExitCode,
};

use billing_kit::{
    Clock, Ids,
    config::{EXIT_CONFIG, Env},
    email::is_sign_in_email,
    process::complain,
};
use billing_kit_db::DatabaseConfig;
use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    app::{
        Admins, PasswordRules,
        adopt_admins::{Whom, adopt_admins},
        create_admin::{Created, create_admin},
        disable_admin::{Disabled, Who, disable_admin},
        list_admins::list_admins,
        reset_password::reset_password,
    },
    domain::{
        account::{UserId, UserName},
        attempts::AttemptLimit,
        email::EmailAddress,
        password,
    },
};

/// More than any password takes, in bytes: what is longer is some other file.
const STDIN_BYTES_MAX: u64 = 4_096;

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Create an admin with a password; an existing user gets the new password and becomes an admin.
    Create(Create),
    /// Make users of an existing Better Auth deployment admins.
    Adopt(Adopt),
    /// Give a user a new password and end their sessions and API keys.
    ResetPassword(ResetPassword),
    /// End a user's admin role, sessions and API keys; the account stays.
    Disable(Disable),
    /// Show the admins: address, name, since when, when last seen, id.
    List,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The e-mail address to sign in with.
    email: String,
    /// The name of a new user; by default the part before the @.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    password: PasswordSource,
}

/// Where a password comes from; never from an argument, which every user of the machine can read.
#[derive(Debug, Args)]
struct PasswordSource {
    /// Read the password from standard input instead of asking for it: 8 to 128 characters, up to the
    /// end of its first line.
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ResetPassword {
    /// The e-mail address of the user.
    email: String,
    #[command(flatten)]
    password: PasswordSource,
}

#[derive(Debug, Args)]
pub(crate) struct Disable {
    /// The e-mail address of the admin, or the id if the user was deleted.
    admin: String,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Adopt {
    /// The e-mail address of an existing user.
    email: Option<String>,
    /// Adopt every user who can sign in.
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
        AdminCommand::ResetPassword(arguments) => reset(arguments).await,
        AdminCommand::Disable(arguments) => disable(arguments).await,
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
    // The operator signs nobody in: nothing is counted here.
    let rules = PasswordRules {
        address_limit: AttemptLimit::default(),
        account_limit: AttemptLimit::of_an_account(),
        notices: false,
    };
    let admins = Admins::new(db, Clock::system(), Ids::random(), rules);
    admins.tables().await?;
    Ok(admins)
}

async fn create(arguments: Create) -> Result<(), Problem> {
    let Create {
        email,
        name,
        password,
    } = arguments;
    parse_new_email(&email)?;
    let password = password.read(&email)?;
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
    password::check_new(&password).map_err(|problem| Problem::Usage(problem.to_string()))?;
    let email = parse_new_email(email)?;
    let name = name
        .map(UserName::parse)
        .transpose()
        .map_err(|problem| Problem::Usage(format!("--name: {problem}")))?;
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
        return Err(no_such_user());
    }
    for (user, is_new) in adopted {
        let became = if is_new { "is now" } else { "already was" };
        println!("{} {became} an admin", user.email);
    }
    Ok(())
}

async fn reset(arguments: ResetPassword) -> Result<(), Problem> {
    let ResetPassword { email, password } = arguments;
    parse_email(&email)?;
    let password = password.read(&email)?;
    reset_on(&database()?, &email, password).await?;
    println!(
        "{} has the new password; sessions and API keys have ended",
        email.to_lowercase()
    );
    Ok(())
}

pub(super) async fn reset_on(
    database: &DatabaseConfig,
    email: &str,
    password: SecretString,
) -> Result<(), Problem> {
    let email = parse_email(email)?;
    password::check_new(&password).map_err(|problem| Problem::Usage(problem.to_string()))?;
    let admins = connect(database).await?;
    if reset_password(&admins, &email, password).await? {
        Ok(())
    } else {
        Err(no_such_user())
    }
}

async fn disable(arguments: Disable) -> Result<(), Problem> {
    let Disable { admin } = arguments;
    let line = disable_on(&database()?, &admin).await?;
    println!("{line}");
    Ok(())
}

/// Disables an admin by e-mail address or id; answers with what was done.
pub(super) async fn disable_on(database: &DatabaseConfig, admin: &str) -> Result<String, Problem> {
    let who = if admin.contains('@') {
        Who::Email(parse_email(admin)?)
    } else {
        Who::Id(UserId(admin.to_owned()))
    };
    let admins = connect(database).await?;
    match disable_admin(&admins, who).await? {
        Disabled::Yes { sessions, api_keys } => Ok(format!(
            "{admin} is no longer an admin; sessions ended: {sessions}, API keys revoked: {api_keys}"
        )),
        Disabled::NoSuchAdmin => Err(Problem::Failed(
            "there is no such admin. To list them: org-svc admin list".to_owned(),
        )),
    }
}

async fn list() -> Result<(), Problem> {
    let admins = connect(&database()?).await?;
    let listed = list_admins(&admins).await?;
    if listed.is_empty() {
        println!("there are no admins yet");
    }
    for (admin, user) in listed {
        let (email, name) = user
            .as_ref()
            .map_or(("(the user was deleted)", ""), |user| {
                (user.email.as_str(), user.name.as_str())
            });
        let seen = admin.last_seen_at.map_or_else(
            || "never seen".to_owned(),
            |seen| format!("last seen {}", seen.format("%Y-%m-%d %H:%M UTC")),
        );
        println!(
            "{email}\t{name}\tsince {}\t{seen}\t{}",
            admin.since.format("%Y-%m-%d"),
            admin.user_id.0
        );
    }
    Ok(())
}

fn parse_email(text: &str) -> Result<EmailAddress, Problem> {
    EmailAddress::parse(text).map_err(|problem| Problem::Usage(format!("'{text}': {problem}")))
}

/// The address of an account that is made here: one that its user can sign in with.
fn parse_new_email(text: &str) -> Result<EmailAddress, Problem> {
    let email = parse_email(text)?;
    if !is_sign_in_email(email.as_str()) {
        let problem =
            format!("'{text}': Better Auth's sign-in does not accept this e-mail address");
        return Err(Problem::Usage(problem));
    }
    Ok(email)
}

fn no_such_user() -> Problem {
    Problem::Failed("there is no such user. Create one: org-svc admin create EMAIL".to_owned())
}

impl PasswordSource {
    /// The password, asked for twice where a person types it.
    fn read(&self, email: &str) -> Result<SecretString, Problem> {
        if self.password_stdin {
            return read_stdin();
        }
        if !std::io::stdin().is_terminal() {
            return Err(Problem::Usage(
                "there is no terminal to ask for the password. Send it on standard input, with --password-stdin"
                    .to_owned(),
            ));
        }
        let first = ask(&format!("New password for {email}: "))?;
        let second = ask("Repeat the password: ")?;
        if first.expose_secret() == second.expose_secret() {
            Ok(first)
        } else {
            Err(Problem::Usage("the two passwords differ".to_owned()))
        }
    }
}

/// Asks at the terminal, which does not show what is typed.
fn ask(question: &str) -> Result<SecretString, Problem> {
    rpassword::prompt_password(question)
        .map(SecretString::from)
        .map_err(|error| Problem::Usage(format!("the password cannot be read: {error}")))
}

fn read_stdin() -> Result<SecretString, Problem> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(STDIN_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| Problem::Usage(format!("the password cannot be read: {error}")))?;
    let first_line = text.split(['\r', '\n']).next().unwrap_or_default();
    Ok(first_line.into())
}
