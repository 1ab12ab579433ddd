//! The parameters of an address: those that the driver obeys, and what to do about the others.

use std::collections::BTreeSet;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgSslMode};

/// Parameters that a person may know from libpq, JDBC or another driver, each with what to do instead.
/// Only these names are ever shown: another one may be the rest of a password.
const REFUSED: [(&str, &str); 29] = [
    (
        "options",
        "is not supported: sessions set what they need. Remove it; DATABASE_SCHEMA names the schema",
    ),
    ("search_path", "is ignored. Set DATABASE_SCHEMA instead"),
    ("currentSchema", "is ignored. Set DATABASE_SCHEMA instead"),
    ("schema", "is ignored. Set DATABASE_SCHEMA instead"),
    (
        "channel_binding",
        "is not supported. Remove it; sslmode=verify-full protects against another server",
    ),
    (
        "ssl",
        "is ignored. Write sslmode=require or sslmode=verify-full",
    ),
    (
        "tls",
        "is ignored. Write sslmode=require or sslmode=verify-full",
    ),
    (
        "sslmode_required",
        "is ignored. Write sslmode=require or sslmode=verify-full",
    ),
    (
        "requiressl",
        "is ignored. Write sslmode=require or sslmode=verify-full",
    ),
    ("sslnegotiation", "is not supported. Remove it"),
    (
        "sslcrl",
        "is not supported: revoked certificates would be accepted. Remove it",
    ),
    (
        "sslcrldir",
        "is not supported: revoked certificates would be accepted. Remove it",
    ),
    (
        "sslpassword",
        "is not supported. Use a key file without a password",
    ),
    ("sslsni", "is not supported. Remove it"),
    (
        "ssl_min_protocol_version",
        "is ignored. Remove it; TLS 1.2 is the oldest that is spoken",
    ),
    ("ssl_max_protocol_version", "is ignored. Remove it"),
    ("require_auth", "is not supported. Remove it"),
    ("gssencmode", "is not supported. Remove it"),
    ("krbsrvname", "is not supported. Remove it"),
    (
        "passfile",
        "is ignored. Write the password into the address, or use DATABASE_URL_FILE",
    ),
    ("service", "is not supported. Write the address out"),
    (
        "target_session_attrs",
        "is ignored. Name the primary server; a read-only one is treated as away",
    ),
    ("load_balance_hosts", "is ignored. Name one host"),
    (
        "connect_timeout",
        "is ignored. Remove it; the time-out is fixed",
    ),
    (
        "pgbouncer",
        "is ignored. Connect to PostgreSQL itself, or to a pooler in session mode",
    ),
    (
        "connection_limit",
        "is ignored. Set DATABASE_POOL_SIZE instead",
    ),
    (
        "user",
        "belongs in front of the host. Write postgresql://user:password@host:5432/database",
    ),
    (
        "password",
        "belongs in front of the host. Write postgresql://user:password@host:5432/database",
    ),
    (
        "dbname",
        "belongs after the host. Write postgresql://user:password@host:5432/database",
    ),
];

/// What the driver obeys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters {
    pub(crate) ssl_mode: Option<PgSslMode>,
    /// The directory of a Unix socket, where the address has no host.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) port: Option<u16>,
    root_cert: Option<String>,
    client_cert: Option<String>,
    client_key: Option<String>,
    application_name: Option<String>,
}

impl Parameters {
    /// Reads what follows the question mark. `may_name_socket` where the address has no host.
    pub(crate) fn parse(query: &str, may_name_socket: bool, problems: &mut Vec<String>) -> Self {
        let mut read = Self::default();
        let mut seen = BTreeSet::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Ok(value) = percent_decode_str(value).decode_utf8() else {
                problems.push("has a parameter that is not UTF-8. Encode it again.".to_owned());
                continue;
            };
            if !seen.insert(name) {
                problems.push("has a parameter twice. Write each once.".to_owned());
            }
            if let Err(problem) = read.set(name, value.into_owned(), may_name_socket) {
                problems.push(problem);
            }
        }
        read.check_certificates(problems);
        read
    }

    fn set(&mut self, name: &str, value: String, may_name_socket: bool) -> Result<(), String> {
        match name {
            "sslmode" => self.ssl_mode = Some(ssl_mode(&value)?),
            "sslrootcert" => self.root_cert = Some(value),
            "sslcert" => self.client_cert = Some(value),
            "sslkey" => self.client_key = Some(value),
            "application_name" => self.application_name = Some(value),
            "host" if may_name_socket && value.starts_with('/') => {
                self.socket = Some(PathBuf::from(value));
            }
            "host" | "hostaddr" => {
                return Err("has a host in its parameters. Write one host after the @; the parameter host may name a socket's directory where there is none.".to_owned());
            }
            "port" if may_name_socket => {
                let port = value.parse().ok().filter(|port| *port > 0);
                self.port = Some(port.ok_or("has a port that is not a number from 1 to 65535.")?);
            }
            "port" => {
                return Err("has a port in its parameters. Write it after the host.".to_owned());
            }
            _ => return Err(refused(name)),
        }
        Ok(())
    }

    /// A certificate that would not be looked at is security that was asked for and not given.
    fn check_certificates(&self, problems: &mut Vec<String>) {
        let verifies = matches!(
            self.ssl_mode,
            Some(PgSslMode::VerifyCa | PgSslMode::VerifyFull)
        );
        match self.root_cert.as_deref() {
            Some("system") => problems.push(
                "has sslrootcert=system. Leave sslrootcert out: sslmode=verify-full then trusts the public authorities.".to_owned(),
            ),
            Some(_) if !verifies => problems.push(
                "has sslrootcert without sslmode=verify-full or sslmode=verify-ca: no certificate would be verified. Write sslmode=verify-full.".to_owned(),
            ),
            Some(_) | None => {}
        }
        if self.client_cert.is_some() != self.client_key.is_some() {
            problems.push("has only one of sslcert and sslkey. Write both.".to_owned());
        }
    }

    pub(crate) fn apply_to(&self, mut options: PgConnectOptions) -> PgConnectOptions {
        if let Some(path) = &self.root_cert {
            options = options.ssl_root_cert(path);
        }
        if let Some(path) = &self.client_cert {
            options = options.ssl_client_cert(path);
        }
        if let Some(path) = &self.client_key {
            options = options.ssl_client_key(path);
        }
        if let Some(name) = &self.application_name {
            options = options.application_name(name);
        }
        options
    }
}

fn ssl_mode(value: &str) -> Result<PgSslMode, String> {
    match value {
        "disable" => Ok(PgSslMode::Disable),
        "prefer" => Ok(PgSslMode::Prefer),
        "require" => Ok(PgSslMode::Require),
        "verify-ca" => Ok(PgSslMode::VerifyCa),
        "verify-full" => Ok(PgSslMode::VerifyFull),
        "allow" => Err("has sslmode=allow, which the driver takes for disable. Write sslmode=require or sslmode=verify-full.".to_owned()),
        _ => Err("has an unknown sslmode. Use disable, prefer, require, verify-ca or verify-full.".to_owned()),
    }
}

fn refused(name: &str) -> String {
    let known = REFUSED.iter().find(|(refused, _)| *refused == name);
    known.map_or_else(
        || "has a parameter that is not supported. Only sslmode, sslrootcert, sslcert, sslkey, application_name, and host and port of a socket are. If it is part of the password, write %3F for ? and %26 for &.".to_owned(),
        |(name, fix)| format!("has the parameter {name}, which {fix}."),
    )
}
