//! Configuration from the environment.

use billing_kit::{
    Clock,
    assertion::{Admin, Signer, Verifier},
    config::{ConfigError, Env, ProcessConfig},
    server::Listen,
    tls::TlsFiles,
};
use billing_kit_db::DatabaseConfig;
use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};
use std::{net::SocketAddr, num::NonZeroU32};
use tonic::metadata::MetadataMap;
use url::Url;

use crate::{
    channel::ChannelConfig,
    domain::{admission::AdmissionCaps, attempts::AttemptLimit},
};

const LISTEN_DEFAULT: ([u8; 4], u16) = ([127, 0, 0, 1], 50_052);
const HEALTH_DEFAULT: ([u8; 4], u16) = ([127, 0, 0, 1], 9_102);
/// A day: longer than an outage of Stripe's or of ours that is worth waiting for.
const CANCEL_DRAIN_SECONDS_DEFAULT: u32 = 86_400;
/// A week.
const CANCEL_DRAIN_SECONDS_MAX: u32 = 604_800;

/// One network rarely brings more instances in a day; a provider that hosts many may.
const NEW_ORGANIZATIONS_PER_NETWORK_DEFAULT: u32 = 50;
/// Without a known proxy all instances share this one.
const NEW_ORGANIZATIONS_UNKNOWN_SOURCE_DEFAULT: u32 = 1_000;

/// What org-svc runs with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Logs, health, shutdown.
    pub process: ProcessConfig,
    /// Where it listens.
    pub listen: Listen,
    /// What it shows to stripe-svc; `None` on plaintext.
    pub tls: Option<TlsFiles>,
    /// Its database.
    pub database: DatabaseConfig,
    /// Where stripe-svc listens.
    pub stripe_svc_url: Url,
    /// The key that admin assertions are signed with: Ed25519, PKCS#8, PEM.
    pub admin_assertion_private_key: SecretString,
    /// Its public half (SPKI, PEM); derived from the private one where it is not set.
    pub admin_assertion_public_key: Option<String>,
    /// Identities of other internal services that may read organizations.
    pub org_readers: Vec<String>,
    /// How often one address may try a password.
    pub attempt_limit: AttemptLimit,
    /// How often the password of one account may be tried.
    pub account_limit: AttemptLimit,
    /// How long what was reported may take to be delivered before a cancellation at once is given up.
    pub cancel_drain: TimeDelta,
    /// The operator's own channel; `None` for none.
    pub notices: Option<ChannelConfig>,
    /// How many new organizations a source network may bring on one UTC day.
    pub admission_caps: AdmissionCaps,
}

impl Config {
    /// Reads the variables.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn from_env(mut env: Env) -> Result<Self, ConfigError> {
        let process = env.process(SocketAddr::from(HEALTH_DEFAULT));
        let tls = env.tls();
        let listen = env.listen(SocketAddr::from(LISTEN_DEFAULT), tls.clone());
        let stripe_svc_url = env.service_url(
            "STRIPE_SVC_URL",
            "the address of stripe-svc, for example http://127.0.0.1:50053",
            tls.as_ref(),
        );
        let config = Self {
            process,
            listen,
            tls,
            database: DatabaseConfig::read(&mut env),
            stripe_svc_url,
            admin_assertion_private_key: env.required_secret(
                "ADMIN_ASSERTION_PRIVATE_KEY",
                "an Ed25519 private key in PKCS#8 PEM",
            ),
            admin_assertion_public_key: env
                .optional_secret("ADMIN_ASSERTION_PUBLIC_KEY")
                .map(|key| key.expose_secret().to_owned()),
            org_readers: env.list("ORG_READERS"),
            attempt_limit: env.parsed(
                "AUTH_ATTEMPT_LIMIT",
                AttemptLimit::default(),
                "ATTEMPTS/SECONDS, for example 3/10, or to off",
            ),
            account_limit: env.parsed(
                "AUTH_ACCOUNT_LIMIT",
                AttemptLimit::of_an_account(),
                "ATTEMPTS/SECONDS, for example 10/900, or to off",
            ),
            cancel_drain: read_cancel_drain(&mut env),
            notices: read_notices(&mut env),
            admission_caps: read_admission_caps(&mut env),
        };
        let has_key = !config
            .admin_assertion_private_key
            .expose_secret()
            .is_empty();
        if has_key && let Err(problem) = config.assertion_keys(Clock::system()) {
            env.problem(problem);
        }
        env.finish(config)
    }

    /// The two halves of the key, seen to belong together.
    pub(crate) fn assertion_keys(&self, clock: Clock) -> Result<(Signer, Verifier), String> {
        let signer = Signer::from_pem(&self.admin_assertion_private_key)
            .map_err(|problem| format!("ADMIN_ASSERTION_PRIVATE_KEY cannot be used: {problem}. Make one with: openssl genpkey -algorithm ed25519"))?;
        let verifier = match &self.admin_assertion_public_key {
            Some(pem) => Verifier::from_pem(pem, clock.clone()).map_err(|problem| {
                format!("ADMIN_ASSERTION_PUBLIC_KEY cannot be used: {problem}. Make it with: openssl pkey -pubout")
            })?,
            None => signer.verifier(clock.clone()).map_err(|problem| {
                format!("ADMIN_ASSERTION_PUBLIC_KEY is not set, and of the private key {problem}. Set it to the public half; make it with: openssl pkey -pubout")
            })?,
        };
        if !belong_together(&signer, &verifier, &clock) {
            return Err("ADMIN_ASSERTION_PUBLIC_KEY is not the public half of ADMIN_ASSERTION_PRIVATE_KEY. Make it with: openssl pkey -pubout".to_owned());
        }
        Ok((signer, verifier))
    }
}

fn read_cancel_drain(env: &mut Env) -> TimeDelta {
    let what = format!("a number of seconds from 1 to {CANCEL_DRAIN_SECONDS_MAX}");
    let name = "CANCEL_DRAIN_SECONDS";
    let seconds = env.parsed(name, CANCEL_DRAIN_SECONDS_DEFAULT, &what);
    if !(1..=CANCEL_DRAIN_SECONDS_MAX).contains(&seconds) {
        env.problem(format!("{name} is {seconds}. Set it to {what}."));
    }
    TimeDelta::seconds(seconds.into())
}

fn read_admission_caps(env: &mut Env) -> AdmissionCaps {
    const WHAT: &str = "a number of new organizations a day, or 0 for any number";
    let mut cap = |name, default| NonZeroU32::new(env.parsed(name, default, WHAT));
    AdmissionCaps {
        per_network: cap(
            "NEW_ORGANIZATIONS_PER_NETWORK",
            NEW_ORGANIZATIONS_PER_NETWORK_DEFAULT,
        ),
        unknown_source: cap(
            "NEW_ORGANIZATIONS_UNKNOWN_SOURCE",
            NEW_ORGANIZATIONS_UNKNOWN_SOURCE_DEFAULT,
        ),
    }
}

/// The address may carry a token of the receiver's: it is read and told like a secret.
fn read_notices(env: &mut Env) -> Option<ChannelConfig> {
    const WHAT: &str = "Set it to the https address that receives notices.";
    let url = env.optional_secret("NOTICE_URL");
    let private_addresses = env.parsed("NOTICE_PRIVATE_ADDRESSES", false, "true or false");
    let Ok(url) = Url::parse(url?.expose_secret()) else {
        env.problem(format!("NOTICE_URL is not an address. {WHAT}"));
        return None;
    };
    let config = ChannelConfig {
        url,
        secret: env.required_secret("NOTICE_SECRET", "the secret that signs notices"),
        private_addresses,
    };
    if let Some(problem) = config.problem() {
        env.problem(format!("NOTICE_URL {problem}. {WHAT}"));
    }
    Some(config)
}

/// Whether the one accepts what the other signs. Otherwise every admin would be turned away, by every
/// service, and nobody would know why.
fn belong_together(signer: &Signer, verifier: &Verifier, clock: &Clock) -> bool {
    let nobody = Admin {
        user_id: String::new(),
        email: String::new(),
    };
    let Ok(assertion) = signer.sign(&nobody, clock.now()) else {
        return false;
    };
    let Ok(value) = assertion.parse() else {
        return false;
    };
    let mut metadata = MetadataMap::new();
    metadata.insert(billing_kit::assertion::ADMIN_ASSERTION, value);
    verifier.admin(&metadata).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made for these tests alone.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
    const OTHER_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    fn read(changes: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let mut variables = std::collections::BTreeMap::from([
            ("DATABASE_URL", "postgresql://localhost/billing"),
            ("STRIPE_SVC_URL", "http://127.0.0.1:50053"),
            ("ADMIN_ASSERTION_PRIVATE_KEY", PRIVATE),
        ]);
        variables.extend(changes.iter().copied());
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Config::from_env(Env::from_variables(variables.into_iter().map(owned)))
    }

    #[test]
    fn the_defaults_are_this_machine() {
        let config = read(&[("ORG_READERS", "crm, reporting")]).unwrap();
        assert_eq!(config.listen.addr.to_string(), "127.0.0.1:50052");
        assert_eq!(config.process.health_addr.to_string(), "127.0.0.1:9102");
        assert_eq!(config.org_readers, ["crm", "reporting"]);
        assert_eq!(config.cancel_drain, TimeDelta::hours(24));
        assert_eq!(config.admission_caps.per_network, NonZeroU32::new(50));
        let config = read(&[("NEW_ORGANIZATIONS_PER_NETWORK", "0")]).unwrap();
        assert_eq!(config.admission_caps.per_network, None);
        assert!(read(&[("ADMIN_ASSERTION_PUBLIC_KEY", PUBLIC)]).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_fix() {
        for (variable, value, told) in [
            (
                "ADMIN_ASSERTION_PRIVATE_KEY",
                "",
                "ADMIN_ASSERTION_PRIVATE_KEY is not set",
            ),
            (
                "ADMIN_ASSERTION_PRIVATE_KEY",
                "secret-text",
                "no Ed25519 private key",
            ),
            ("ADMIN_ASSERTION_PUBLIC_KEY", "x", "no Ed25519 public key"),
            (
                "ADMIN_ASSERTION_PUBLIC_KEY",
                OTHER_PUBLIC,
                "not the public half",
            ),
            ("STRIPE_SVC_URL", "stripe", "STRIPE_SVC_URL"),
            ("CANCEL_DRAIN_SECONDS", "0", "from 1 to 604800"),
            ("CANCEL_DRAIN_SECONDS", "a day", "CANCEL_DRAIN_SECONDS"),
            ("DATABASE_URL", "mysql://x", "DATABASE_URL"),
            ("AUTH_ATTEMPT_LIMIT", "3", "AUTH_ATTEMPT_LIMIT"),
            ("AUTH_ACCOUNT_LIMIT", "10", "AUTH_ACCOUNT_LIMIT"),
            (
                "NEW_ORGANIZATIONS_PER_NETWORK",
                "few",
                "NEW_ORGANIZATIONS_PER_NETWORK",
            ),
            (
                "STRIPE_SVC_URL",
                "http://stripe-svc:50053",
                "plaintext to another machine",
            ),
            ("LISTEN_ADDR", "0.0.0.0:50052", "there is no TLS"),
            ("NOTICE_URL", "secret-text", "NOTICE_URL is not an address"),
            (
                "NOTICE_URL",
                "https://hooks.example.com/secret-text",
                "NOTICE_SECRET is not set",
            ),
            (
                "NOTICE_URL",
                "http://hooks.example.com/secret-text",
                "not an https address",
            ),
            (
                "NOTICE_URL",
                "https://10.0.0.1/secret-text",
                "NOTICE_PRIVATE_ADDRESSES=true",
            ),
        ] {
            let error = read(&[(variable, value)]).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
            assert!(!error.contains("secret-text"), "{error}");
        }
    }
}
