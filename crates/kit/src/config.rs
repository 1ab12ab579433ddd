//! Configuration from the environment: read once, checked as a whole, before anything is bound.
//!
//! A service's `Config::from_env` asks an [`Env`] for each variable and then calls
//! [`Env::finish`]; every problem is told at once, each with its fix. Nothing reads the environment
//! after that.

use std::{
    collections::BTreeMap, fmt::Display, fs, net::SocketAddr, path::PathBuf, str::FromStr,
    time::Duration,
};

use secrecy::SecretString;
use thiserror::Error;
use url::{Host, Url};

use crate::{server::Listen, telemetry::LogFormat, tls::TlsFiles};

/// The exit code for a configuration that is wrong (`EX_USAGE`).
pub const EXIT_CONFIG: u8 = 64;

const SHUTDOWN_GRACE_DEFAULT: Duration = Duration::from_secs(20);

/// Everything that is wrong with the environment.
#[derive(Debug, Error)]
#[error("the configuration is wrong:\n{}", problems.iter().map(|p| format!("  {p}")).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError {
    /// One sentence per variable at fault, with its fix.
    pub problems: Vec<String>,
}

/// The environment while it is read, and the problems found so far.
#[derive(Debug)]
pub struct Env {
    variables: BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Env {
    /// The process's environment.
    pub fn from_process() -> Self {
        Self::from_variables(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))
    }

    /// Any variables: for tests.
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            variables: variables.into_iter().collect(),
            problems: Vec::new(),
        }
    }

    /// Records a problem: a sentence that names the variable and the fix.
    pub fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// A variable, if it is set to something.
    pub fn optional(&mut self, name: &str) -> Option<String> {
        self.variables
            .get(name)
            .map(|value| value.trim().to_owned())
            .filter(|v| !v.is_empty())
    }

    /// A variable that must be set. `what` completes the sentence "Set it to …".
    pub fn required(&mut self, name: &str, what: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.problem(format!("{name} is not set. Set it to {what}."));
            String::new()
        })
    }

    /// A variable of any type that reads from text, or its default.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str, default: T, what: &str) -> T {
        let Some(text) = self.optional(name) else {
            return default;
        };
        text.parse().unwrap_or_else(|error| {
            self.problem(format!("{name} is '{text}': {error}. Set it to {what}."));
            default
        })
    }

    /// A secret, from `NAME` or from the file that `NAME_FILE` names.
    pub fn optional_secret(&mut self, name: &str) -> Option<SecretString> {
        if let Some(value) = self.variables.get(name).filter(|value| !value.is_empty()) {
            return Some(value.clone().into());
        }
        let file_name = format!("{name}_FILE");
        let path = self.optional(&file_name)?;
        match fs::read_to_string(&path) {
            // Editors and `kubectl create secret` leave a line end that is not part of the secret.
            Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned().into()),
            Err(error) => {
                self.problem(format!(
                    "{file_name} is '{path}', which cannot be read: {error}. Name a readable file."
                ));
                None
            }
        }
    }

    /// A secret that must be there.
    pub fn required_secret(&mut self, name: &str, what: &str) -> SecretString {
        let known = self.problems.len();
        self.optional_secret(name).unwrap_or_else(|| {
            if self.problems.len() == known {
                self.problem(format!(
                    "{name} is not set. Set it, or {name}_FILE, to {what}."
                ));
            }
            String::new().into()
        })
    }

    /// A URL with `http` or `https`; an empty placeholder URL when it is at fault.
    pub fn url(&mut self, name: &str, what: &str) -> Url {
        let text = self.required(name, what);
        match Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => return url,
            _ if text.is_empty() => {}
            Ok(_) => self.problem(format!(
                "{name} is '{text}', which is not an http or https address. Set it to {what}."
            )),
            Err(error) => {
                self.problem(format!("{name} is '{text}': {error}. Set it to {what}."));
            }
        }
        placeholder_url()
    }

    /// The address of a service of ours: with TLS anywhere, without it on this machine only, because
    /// passwords, sessions and what is billed go there.
    pub fn service_url(&mut self, name: &str, what: &str, tls: Option<&TlsFiles>) -> Url {
        let known = self.problems.len();
        let url = self.url(name, what);
        if self.problems.len() > known {
            return url;
        }
        if url.scheme() == "http" && !is_loopback(&url) {
            self.problem(format!(
                "{name} is '{url}': plaintext to another machine. Use https, with TLS_CERT_FILE, TLS_KEY_FILE and TLS_CA_FILE."
            ));
        }
        if url.scheme() == "https" && tls.is_none() {
            self.problem(format!(
                "{name} is '{url}', which needs TLS. Set TLS_CERT_FILE, TLS_KEY_FILE and TLS_CA_FILE."
            ));
        }
        url
    }

    /// A comma-separated list; empty when not set.
    pub fn list(&mut self, name: &str) -> Vec<String> {
        let text = self.optional(name).unwrap_or_default();
        text.split(',')
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect()
    }

    /// What every process needs: logs, the health port, the time to shut down.
    pub fn process(&mut self, health_default: SocketAddr) -> ProcessConfig {
        ProcessConfig {
            log_format: self.parsed("LOG_FORMAT", LogFormat::Json, "'json' or 'text'"),
            log_filter: self
                .optional("LOG_FILTER")
                .unwrap_or_else(|| "info".to_owned()),
            health_addr: self.parsed(
                "HEALTH_ADDR",
                health_default,
                "an address and port, for example 127.0.0.1:9101",
            ),
            shutdown_grace: Duration::from_secs(self.parsed(
                "SHUTDOWN_GRACE_SECONDS",
                SHUTDOWN_GRACE_DEFAULT.as_secs(),
                "a number of seconds",
            )),
        }
    }

    /// The certificate of this service and the authority that vouches for its peers; `None` where no
    /// variable is set.
    pub fn tls(&mut self) -> Option<TlsFiles> {
        let names = ["TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE"];
        let paths = names.map(|name| self.optional(name).map(PathBuf::from));
        match paths {
            [None, None, None] => None,
            [Some(cert), Some(key), Some(ca)] => match TlsFiles::read(&cert, &key, &ca) {
                Ok(files) => Some(files),
                Err(problem) => {
                    self.problem(problem);
                    None
                }
            },
            _ => {
                self.problem(
                    "Only some of TLS_CERT_FILE, TLS_KEY_FILE and TLS_CA_FILE are set. Set all three, or none for plaintext on loopback.",
                );
                None
            }
        }
    }

    /// Where a gRPC service listens: with TLS anywhere, without it on loopback only.
    pub fn listen(&mut self, default: SocketAddr, tls: Option<TlsFiles>) -> Listen {
        let addr = self.parsed(
            "LISTEN_ADDR",
            default,
            "an address and port, for example 127.0.0.1:50051",
        );
        if tls.is_none() && !addr.ip().is_loopback() {
            self.problem(format!(
                "LISTEN_ADDR is {addr}, which others can reach, but there is no TLS. Set TLS_CERT_FILE, TLS_KEY_FILE and TLS_CA_FILE, or listen on 127.0.0.1."
            ));
        }
        Listen { addr, tls }
    }

    /// Ends the reading: the value if nothing was wrong.
    ///
    /// # Errors
    /// Every problem that was found.
    pub fn finish<T>(self, value: T) -> Result<T, ConfigError> {
        if self.problems.is_empty() {
            Ok(value)
        } else {
            Err(ConfigError {
                problems: self.problems,
            })
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(domain)) => domain == "localhost",
        None => false,
    }
}

#[expect(clippy::expect_used, reason = "the text is a constant")]
fn placeholder_url() -> Url {
    Url::parse("http://invalid/").expect("a constant URL")
}

/// What every process is configured with.
#[derive(Debug, Clone)]
pub struct ProcessConfig {
    /// The form of the log.
    pub log_format: LogFormat,
    /// What is logged, in the syntax of `tracing_subscriber::EnvFilter`.
    pub log_filter: String,
    /// Where health is told, in plaintext; nothing else is served there.
    pub health_addr: SocketAddr,
    /// How long requests in flight may take once the process was told to stop.
    pub shutdown_grace: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(variables: &[(&str, &str)]) -> Env {
        Env::from_variables(
            variables
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned())),
        )
    }

    #[test]
    fn every_problem_is_told_at_once_with_its_fix() {
        let mut env = env(&[("PORT", "many"), ("LISTEN_ADDR", "0.0.0.0:1")]);
        env.required("DATABASE_URL", "postgresql://…");
        env.parsed("PORT", 1_u16, "a number");
        env.listen(([127, 0, 0, 1], 1).into(), None);
        let told = env.finish(()).unwrap_err().to_string();
        for part in [
            "DATABASE_URL is not set",
            "PORT is 'many'",
            "there is no TLS",
        ] {
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn plaintext_stays_on_this_machine() {
        for (address, problems) in [
            ("http://127.0.0.1:1", 0),
            ("http://[::1]:1", 0),
            ("http://localhost:1", 0),
            ("http://10.0.0.7:1", 1),
            ("http://org-svc:50052", 1),
            ("http://localhost.example:1", 1),
            ("https://org-svc:50052", 1),
            ("org-svc:50052", 1),
            ("", 1),
        ] {
            let mut env = env(&[("ORG_SVC_URL", address)]);
            env.service_url("ORG_SVC_URL", "an address", None);
            let found = env.finish(()).err().map_or(0, |error| error.problems.len());
            assert_eq!(found, problems, "{address}");
        }
    }

    #[test]
    fn half_a_certificate_is_a_problem() {
        let mut env = env(&[("TLS_CERT_FILE", "cert.pem")]);
        env.tls();
        assert!(
            env.finish(())
                .unwrap_err()
                .to_string()
                .contains("Set all three")
        );
    }

    #[test]
    fn a_secret_file_gives_its_text_without_the_line_end() {
        use secrecy::ExposeSecret;
        let file = std::env::temp_dir().join(format!("billing-kit-{}", std::process::id()));
        fs::write(&file, "s3cret \n").unwrap();
        let mut env = env(&[("KEY_FILE", file.to_str().unwrap())]);
        assert_eq!(
            env.required_secret("KEY", "a key").expose_secret(),
            "s3cret "
        );
        fs::remove_file(file).unwrap();
    }
}
