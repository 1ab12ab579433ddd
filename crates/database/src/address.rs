//! The parts of a `postgresql://` address.

use std::net::IpAddr;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use sea_orm::sqlx::ConnectOptions;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgSslMode};
use secrecy::{ExposeSecret, SecretString};

use crate::parameters::Parameters;
use crate::{ALLOW_PLAINTEXT, SCHEMA, SCHEMA_DEFAULT};

const EXAMPLE: &str = "postgresql://user:password@host:5432/database";
const PORT_DEFAULT: u16 = 5432;
/// The longest name of a schema.
const NAME_BYTES_MAX: usize = 63;

/// What is set beside the address.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The value of [`ALLOW_PLAINTEXT`].
    pub allow_plaintext: Option<String>,
    /// The value of [`SCHEMA`].
    pub schema: Option<String>,
}

/// Where a database is and how it is reached.
#[derive(Debug, Clone)]
pub struct Address {
    host: Host,
    port: u16,
    user: Option<String>,
    password: Option<SecretString>,
    database: String,
    parameters: Parameters,
    schema: String,
    is_plaintext_allowed: bool,
}

#[derive(Debug, Clone)]
enum Host {
    Name(String),
    /// The directory of a Unix socket.
    Socket(PathBuf),
}

impl Host {
    /// Whether nobody else can listen to what is said.
    fn is_this_machine(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            Self::Name(name) => {
                name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
            }
        }
    }
}

/// What can be wrong with the text in front of the parameters. No variant holds a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Scheme,
    Fragment,
    SecondAt,
    AtAfterHost,
    Characters,
    Encoding,
    SecondHost,
    NoHost,
    Host,
    Port,
    NoDatabase,
    Database,
}

impl Fault {
    fn sentence(self) -> String {
        let encode = "In a user name or password write %23 for #, %2F for /, %3F for ?, %40 for @, %3A for : and %25 for %.";
        match self {
            Self::Scheme => format!("does not begin with postgresql://. Set it to {EXAMPLE}."),
            Self::Fragment => format!("contains a #, which ends an address. {encode}"),
            Self::SecondAt => format!("contains more than one @ before the host. {encode}"),
            Self::AtAfterHost => format!(
                "contains an @ after a / or ?, which end the host and the password. {encode}"
            ),
            Self::Characters => format!(
                "contains a space, a control character or another one that must be encoded. {encode}"
            ),
            Self::Encoding => format!("contains a % that encodes nothing. {encode}"),
            Self::SecondHost => {
                "names more than one host. Name one, or an address that follows the primary server."
                    .to_owned()
            }
            Self::NoHost => format!("names no host. Set it to {EXAMPLE}."),
            Self::Host => format!("has a host that is neither a name nor an IP address. {encode}"),
            Self::Port => format!("has a port that is not a number from 1 to 65535. {encode}"),
            Self::NoDatabase => format!("names no database. Set it to {EXAMPLE}."),
            Self::Database => format!("has more than one / after the host. {encode}"),
        }
    }
}

impl Address {
    /// Reads an address that the variable `variable` has.
    ///
    /// # Errors
    /// Every problem found, each a sentence that names the variable and the fix.
    pub fn parse(variable: &str, text: &str, policy: &Policy) -> Result<Self, Vec<String>> {
        let text = text.trim();
        if text.is_empty() {
            return Err(vec![format!("{variable} is not set. Set it to {EXAMPLE}.")]);
        }
        let parts =
            Parts::split(text).map_err(|fault| vec![format!("{variable} {}", fault.sentence())])?;
        let mut problems = Vec::new();
        let parameters = Parameters::parse(parts.query, parts.host.is_none(), &mut problems);
        let problem = |problem| format!("{variable} {problem}");
        let mut problems: Vec<String> = problems.into_iter().map(problem).collect();
        let is_plaintext_allowed = read_allow_plaintext(policy, &mut problems);
        let schema = read_schema(policy, &mut problems);
        let socket = parameters.socket.clone().map(Host::Socket);
        let Some(host) = parts.host.or(socket) else {
            problems.push(format!("{variable} {}", Fault::NoHost.sentence()));
            return Err(problems);
        };
        let address = Self {
            host,
            port: parts.port.or(parameters.port).unwrap_or(PORT_DEFAULT),
            user: parts.user,
            password: parts.password.map(SecretString::from),
            database: parts.database,
            parameters,
            schema,
            is_plaintext_allowed,
        };
        if address.is_plaintext_refused() {
            problems.push(format!(
                "{variable} allows a connection without TLS to another machine. Set sslmode=verify-full (or at least sslmode=require). On a network that you trust, {ALLOW_PLAINTEXT}=true allows it."
            ));
        }
        if problems.is_empty() {
            Ok(address)
        } else {
            Err(problems)
        }
    }

    fn is_plaintext_refused(&self) -> bool {
        let asks_for_plaintext = self.parameters.ssl_mode.is_some_and(allows_plaintext);
        asks_for_plaintext && !self.host.is_this_machine() && !self.is_plaintext_allowed
    }

    /// Whether the connection may be without TLS although it leaves this machine: worth a warning.
    pub fn is_plaintext_to_another_machine(&self) -> bool {
        !self.host.is_this_machine() && allows_plaintext(self.ssl_mode())
    }

    /// The schema of our tables.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// What every session begins with, so that programs of one installation use one schema: the server
    /// would look into one that is named like the login first.
    pub fn search_path(&self) -> String {
        format!("SET search_path = \"{}\"", self.schema)
    }

    /// TLS is required unless the address says otherwise or stays on this machine.
    fn ssl_mode(&self) -> PgSslMode {
        let default = if self.host.is_this_machine() {
            PgSslMode::Prefer
        } else {
            PgSslMode::Require
        };
        self.parameters.ssl_mode.unwrap_or(default)
    }

    /// For the driver.
    pub fn connect_options(&self) -> PgConnectOptions {
        let mut options = PgConnectOptions::new_without_pgpass()
            .port(self.port)
            .database(&self.database)
            .ssl_mode(self.ssl_mode())
            .disable_statement_logging();
        options = match &self.host {
            Host::Name(name) => options.host(name),
            Host::Socket(directory) => options.socket(directory),
        };
        if let Some(user) = &self.user {
            options = options.username(user);
        }
        if let Some(password) = &self.password {
            options = options.password(password.expose_secret());
        }
        self.parameters.apply_to(options)
    }
}

fn allows_plaintext(mode: PgSslMode) -> bool {
    match mode {
        PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer => true,
        PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull => false,
    }
}

fn read_allow_plaintext(policy: &Policy, problems: &mut Vec<String>) -> bool {
    match policy.allow_plaintext.as_deref().map(str::trim) {
        Some("true") => true,
        None | Some("" | "false") => false,
        Some(_) => {
            problems.push(format!(
                "{ALLOW_PLAINTEXT} is neither true nor false. Leave it unset unless every machine between here and PostgreSQL is trusted."
            ));
            false
        }
    }
}

fn read_schema(policy: &Policy, problems: &mut Vec<String>) -> String {
    let schema = policy.schema.as_deref().map_or("", str::trim);
    if schema.is_empty() {
        return SCHEMA_DEFAULT.to_owned();
    }
    let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    let mut letters = schema.chars();
    let is_valid = schema.len() <= NAME_BYTES_MAX
        && letters.next().is_some_and(is_name)
        && letters.all(|letter| is_name(letter) || letter.is_ascii_digit());
    if !is_valid || schema.starts_with("pg_") {
        problems.push(format!(
            "{SCHEMA} is not the name of a schema. Use lower-case letters, digits and _, for example {SCHEMA_DEFAULT}."
        ));
    }
    schema.to_owned()
}

/// What stands before the parameters, decoded.
struct Parts<'a> {
    user: Option<String>,
    password: Option<String>,
    host: Option<Host>,
    port: Option<u16>,
    database: String,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Self, Fault> {
        let rest = text
            .strip_prefix("postgresql://")
            .or_else(|| text.strip_prefix("postgres://"))
            .ok_or(Fault::Scheme)?;
        if rest.contains('#') {
            return Err(Fault::Fragment);
        }
        if !rest.chars().all(|letter| letter.is_ascii_graphic()) {
            return Err(Fault::Characters);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if after.contains('@') {
            return Err(Fault::AtAfterHost);
        }
        let (account, place) = match authority.split_once('@') {
            Some((account, place)) => (Some(account), place),
            None => (None, authority),
        };
        if place.contains('@') {
            return Err(Fault::SecondAt);
        }
        let (user, password) = match account.map(|account| account.split_once(':')) {
            Some(Some((user, password))) => (Some(decoded(user)?), Some(decoded(password)?)),
            Some(None) => (account.map(decoded).transpose()?, None),
            None => (None, None),
        };
        let (host, port) = split_place(place)?;
        let (path, query) = after.split_once('?').unwrap_or((after, ""));
        let database = path.strip_prefix('/').unwrap_or(path);
        if database.is_empty() {
            return Err(Fault::NoDatabase);
        }
        if database.contains('/') {
            return Err(Fault::Database);
        }
        Ok(Self {
            user: user.filter(|user| !user.is_empty()),
            password: password.filter(|password| !password.is_empty()),
            host,
            port,
            database: decoded(database)?,
            query,
        })
    }
}

fn split_place(place: &str) -> Result<(Option<Host>, Option<u16>), Fault> {
    if place.contains(',') {
        return Err(Fault::SecondHost);
    }
    // An IPv6 address stands in brackets, because of its colons.
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(Fault::Host)?;
        host.parse::<std::net::Ipv6Addr>()
            .map_err(|_| Fault::Host)?;
        let port = match after.strip_prefix(':') {
            Some(port) => Some(port),
            None if after.is_empty() => None,
            None => return Err(Fault::Host),
        };
        (host, port)
    } else {
        match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        }
    };
    let port = match port {
        Some(port) => Some(
            port.parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or(Fault::Port)?,
        ),
        None => None,
    };
    let host = decoded(host)?;
    if host.is_empty() {
        return Ok((None, port));
    }
    if host.starts_with('/') {
        return Ok((Some(Host::Socket(PathBuf::from(host))), port));
    }
    let is_name =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_' | ':');
    if !host.chars().all(is_name) {
        return Err(Fault::Host);
    }
    Ok((Some(Host::Name(host)), port))
}

/// The text that percent-encoding stands for.
fn decoded(text: &str) -> Result<String, Fault> {
    let is_hex = |digit: Option<&u8>| digit.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
        if !is_hex(bytes.get(at + 1)) || !is_hex(bytes.get(at + 2)) {
            return Err(Fault::Encoding);
        }
    }
    let text = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| Fault::Encoding)?;
    if text.contains('\0') {
        return Err(Fault::Encoding);
    }
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests;
