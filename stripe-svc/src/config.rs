//! Configuration from the environment, checked before anything is bound.

use std::{fs, net::SocketAddr, num::NonZeroU32, time::Duration};

use billing_kit::{
    Clock,
    assertion::Verifier,
    config::{ConfigError, Env, ProcessConfig},
    server::Listen,
};
use billing_kit_db::DatabaseConfig;
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use crate::{
    domain::{catalog::Catalog, catalog_file},
    stripe::CallRates,
};

/// The role of every connection to the database.
pub(crate) const DB_ROLE: &str = "billing_stripe";
/// The catalog that runs where no other is named: an example that is refused with a live key.
pub(crate) const SAMPLE_CATALOG: &str = include_str!("../catalog.toml");

const LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 50_053);
const HEALTH_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9_103);
const API_BASE_DEFAULT: &str = "https://api.stripe.com/";
/// Live mode allows 1,000 meter events a second, and each takes about a tenth of one.
const CONCURRENCY_DEFAULT: usize = 64;
/// More connections than this to one host help nobody.
const CONCURRENCY_LIMIT: usize = 1_000;
/// Stripe's documented limits of an account, in calls a second.
const CALLS_PER_SECOND_LIVE: u32 = 100;
const CALLS_PER_SECOND_TEST: u32 = 25;
const METER_EVENTS_PER_SECOND_LIVE: u32 = 1_000;
/// Webhooks bring a change within seconds; this is for those that never come.
const SWEEP_SECONDS_DEFAULT: u64 = 600;
const SWEEP_SECONDS_LIMITS: (u64, u64) = (1, 86_400);

/// How Stripe is reached.
#[derive(Debug, Clone)]
pub struct StripeAccess {
    /// The secret or restricted key.
    pub secret_key: SecretString,
    /// Where the API is; ends with a slash.
    pub api_base: Url,
    /// How fast it may be called.
    pub(crate) rates: CallRates,
}

impl StripeAccess {
    /// Reads `STRIPE_SECRET_KEY` and `STRIPE_API_BASE`.
    pub fn read(env: &mut Env) -> Self {
        let what = "a secret key (sk_…) or restricted key (rk_…) of Stripe";
        let mut access = Self {
            secret_key: env.required_secret("STRIPE_SECRET_KEY", what),
            api_base: read_api_base(env),
            rates: CallRates::default(),
        };
        access.rates = access.read_rates(env);
        let key = access.secret_key.expose_secret();
        let is_key = (key.starts_with("sk_") || key.starts_with("rk_"))
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !key.is_empty() && !is_key {
            env.problem(format!("STRIPE_SECRET_KEY is not a key. Set it to {what}."));
        }
        if access.is_live() && access.api_base.scheme() != "https" {
            env.problem("STRIPE_SECRET_KEY is a live key, and STRIPE_API_BASE is not https. Unset STRIPE_API_BASE, or use a test key.");
        }
        access
    }

    /// Whether real money is moved with this key.
    pub fn is_live(&self) -> bool {
        let key = self.secret_key.expose_secret();
        key.starts_with("sk_live_") || key.starts_with("rk_live_")
    }

    /// What Stripe's documentation says of this kind of key, unless it is configured. A simulator on
    /// this machine has no limit.
    fn read_rates(&self, env: &mut Env) -> CallRates {
        let (calls, meter_events) = match (self.is_local(), self.is_live()) {
            (true, _) => (None, None),
            (false, true) => (
                Some(CALLS_PER_SECOND_LIVE),
                Some(METER_EVENTS_PER_SECOND_LIVE),
            ),
            // Of a sandbox meter events count as calls.
            (false, false) => (Some(CALLS_PER_SECOND_TEST), None),
        };
        let what = "a number of calls a second, 1 or more";
        let mut rate = |name, default: Option<u32>| {
            if env.optional(name).is_none() {
                return default.and_then(NonZeroU32::new);
            }
            Some(env.parsed(name, NonZeroU32::MIN, what))
        };
        CallRates {
            calls: rate("STRIPE_CALLS_PER_SECOND", calls),
            meter_events: rate("STRIPE_METER_EVENTS_PER_SECOND", meter_events),
        }
    }

    /// Whether "Stripe" is on this machine: a simulator.
    pub(crate) fn is_local(&self) -> bool {
        match self.api_base.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }
}

fn read_api_base(env: &mut Env) -> Url {
    if env.optional("STRIPE_API_BASE").is_none() {
        return default_api_base();
    }
    let mut base = env.url(
        "STRIPE_API_BASE",
        "an address such as http://127.0.0.1:12111/",
    );
    // Paths are put behind it, and one without a slash would lose its last part.
    if !base.path().ends_with('/') {
        let path = format!("{}/", base.path());
        base.set_path(&path);
    }
    base.set_query(None);
    base.set_fragment(None);
    base
}

#[expect(clippy::expect_used, reason = "the text is a constant")]
fn default_api_base() -> Url {
    Url::parse(API_BASE_DEFAULT).expect("a constant URL")
}

impl Catalog {
    /// Reads the file that `CATALOG_FILE` names, else the built-in sample.
    pub fn read(env: &mut Env) -> Option<Self> {
        let Some(path) = env.optional("CATALOG_FILE") else {
            return Self::from_text("the built-in catalog", SAMPLE_CATALOG, env);
        };
        match fs::read_to_string(&path) {
            Ok(text) => Self::from_text(&format!("CATALOG_FILE '{path}'"), &text, env),
            Err(error) => {
                env.problem(format!(
                    "CATALOG_FILE is '{path}', which cannot be read: {error}. Name a readable file, such as a copy of stripe-svc/catalog.toml."
                ));
                None
            }
        }
    }

    fn from_text(name: &str, text: &str, env: &mut Env) -> Option<Self> {
        match catalog_file::parse(text) {
            Ok(catalog) => Some(catalog),
            Err(problems) => {
                for problem in problems {
                    env.problem(format!("{name}: {problem}"));
                }
                None
            }
        }
    }

    /// Tells of amounts that must not be asked of anybody, where the key would ask them.
    pub(crate) fn check_key(&self, access: &StripeAccess, env: &mut Env) {
        if self.sample && access.is_live() {
            env.problem("STRIPE_SECRET_KEY is a live key, and the catalog's amounts are samples. Copy stripe-svc/catalog.toml, put in your amounts, set sample = false and name the copy in CATALOG_FILE.");
        }
    }
}

/// What stripe-svc is configured with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Logs, health, shutdown.
    pub process: ProcessConfig,
    /// Where it listens, and its certificate.
    pub listen: Listen,
    /// Its database.
    pub database: DatabaseConfig,
    /// How Stripe is reached.
    pub stripe: StripeAccess,
    /// What is sold.
    pub catalog: Catalog,
    /// How many meter events are on their way to Stripe at once.
    pub stripe_concurrency_max: usize,
    /// What Stripe signs webhooks with; any of them is believed, none where there are no webhooks.
    pub webhook_secrets: Vec<SecretString>,
    /// How often all subscriptions are looked at.
    pub sweep_period: Duration,
    /// The public half of the key that org-svc signs assertions with, as PEM.
    pub admin_assertion_public_key: SecretString,
}

impl Config {
    /// Reads and checks the environment.
    ///
    /// # Errors
    /// Every problem, each with its fix.
    pub fn from_env(mut env: Env) -> Result<Self, ConfigError> {
        let process = env.process(HEALTH_DEFAULT);
        let tls = env.tls();
        let listen = env.listen(LISTEN_DEFAULT, tls);
        let database = DatabaseConfig::read(&mut env);
        let stripe = StripeAccess::read(&mut env);
        let catalog = Catalog::read(&mut env);
        let what = format!("a number from 1 to {CONCURRENCY_LIMIT}");
        let concurrency = env.parsed("STRIPE_CONCURRENCY_MAX", CONCURRENCY_DEFAULT, &what);
        if !(1..=CONCURRENCY_LIMIT).contains(&concurrency) {
            env.problem(format!(
                "STRIPE_CONCURRENCY_MAX is {concurrency}. Set it to {what}."
            ));
        }
        let webhook_secrets = read_webhook_secrets(&mut env);
        let sweep_period = read_sweep_period(&mut env);
        let admin_assertion_public_key = read_public_key(&mut env);
        if let Some(catalog) = &catalog {
            catalog.check_key(&stripe, &mut env);
        }
        let Some(catalog) = catalog else {
            return Err(problems_of(env));
        };
        env.finish(Self {
            process,
            listen,
            database,
            stripe,
            catalog,
            stripe_concurrency_max: concurrency,
            webhook_secrets,
            sweep_period,
            admin_assertion_public_key,
        })
    }
}

/// `STRIPE_WEBHOOK_SECRETS`, a list while a secret is rolled, or `STRIPE_WEBHOOK_SECRET`.
fn read_webhook_secrets(env: &mut Env) -> Vec<SecretString> {
    let secrets = env
        .optional_secret("STRIPE_WEBHOOK_SECRETS")
        .or_else(|| env.optional_secret("STRIPE_WEBHOOK_SECRET"));
    let text = secrets.unwrap_or_default();
    let parts = text.expose_secret().split(',').map(str::trim);
    parts
        .filter(|secret| !secret.is_empty())
        .map(SecretString::from)
        .collect()
}

fn read_sweep_period(env: &mut Env) -> Duration {
    let (least, most) = SWEEP_SECONDS_LIMITS;
    let what = format!("a number of seconds from {least} to {most}");
    let seconds = env.parsed("STRIPE_SWEEP_SECONDS", SWEEP_SECONDS_DEFAULT, &what);
    if !(least..=most).contains(&seconds) {
        env.problem(format!(
            "STRIPE_SWEEP_SECONDS is {seconds}. Set it to {what}."
        ));
    }
    Duration::from_secs(seconds)
}

fn read_public_key(env: &mut Env) -> SecretString {
    let key = env.required_secret(
        "ADMIN_ASSERTION_PUBLIC_KEY",
        "the public half of org-svc's Ed25519 key, as PEM",
    );
    if !key.expose_secret().is_empty()
        && let Err(problem) = admin_verifier(&key, Clock::system())
    {
        env.problem(problem);
    }
    key
}

/// What verifies the assertions of admins.
pub(crate) fn admin_verifier(key: &SecretString, clock: Clock) -> Result<Verifier, String> {
    Verifier::from_pem(key.expose_secret(), clock)
        .map_err(|problem| format!("ADMIN_ASSERTION_PUBLIC_KEY cannot be used: {problem}."))
}

/// What `stripe-svc catalog` is configured with: no database, and nothing to listen on.
#[derive(Debug, Clone)]
pub struct CatalogConfig {
    /// How Stripe is reached.
    pub stripe: StripeAccess,
    /// What is sold.
    pub catalog: Catalog,
}

impl CatalogConfig {
    /// Reads and checks the environment. To look at the difference is harmless with any key; to make
    /// it with a live one takes amounts that are no samples.
    ///
    /// # Errors
    /// Every problem, each with its fix.
    pub fn from_env(mut env: Env, to_apply: bool) -> Result<Self, ConfigError> {
        let stripe = StripeAccess::read(&mut env);
        let catalog = Catalog::read(&mut env);
        if let (true, Some(catalog)) = (to_apply, &catalog) {
            catalog.check_key(&stripe, &mut env);
        }
        match catalog {
            Some(catalog) => env.finish(Self { stripe, catalog }),
            None => Err(problems_of(env)),
        }
    }
}

/// The problems of an environment that is known to have some.
fn problems_of(env: Env) -> ConfigError {
    match env.finish(()) {
        Err(error) => error,
        Ok(()) => ConfigError {
            problems: vec!["the catalog cannot be used".to_owned()],
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(variables: &[(&str, &str)]) -> Env {
        let variables = variables.iter();
        Env::from_variables(variables.map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
    }

    fn problems(variables: &[(&str, &str)]) -> String {
        Config::from_env(env(variables)).map_or_else(|error| error.to_string(), |_| String::new())
    }

    // Made for tests alone.
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";

    const GOOD: [(&str, &str); 3] = [
        ("DATABASE_URL", "postgresql://localhost/billing"),
        ("STRIPE_SECRET_KEY", "sk_test_1"),
        ("ADMIN_ASSERTION_PUBLIC_KEY", PUBLIC),
    ];

    #[test]
    fn three_variables_are_enough_and_the_rest_has_defaults() {
        let config = Config::from_env(env(&GOOD)).unwrap();
        assert_eq!(config.stripe.api_base.as_str(), API_BASE_DEFAULT);
        assert_eq!(config.listen.addr, LISTEN_DEFAULT);
        assert!(!format!("{config:?}").contains("sk_test_1"));
    }

    #[test]
    fn every_problem_is_named() {
        let told = problems(&[
            ("STRIPE_SECRET_KEY", "pk_test_1"),
            ("STRIPE_CONCURRENCY_MAX", "0"),
            ("STRIPE_SWEEP_SECONDS", "0"),
            ("ADMIN_ASSERTION_PUBLIC_KEY", "no key"),
            ("CATALOG_FILE", "/nowhere.toml"),
        ]);
        for part in [
            "DATABASE_URL is not set",
            "STRIPE_SECRET_KEY is not a key",
            "STRIPE_CONCURRENCY_MAX is 0",
            "STRIPE_SWEEP_SECONDS is 0",
            "ADMIN_ASSERTION_PUBLIC_KEY cannot be used",
            "CATALOG_FILE is '/nowhere.toml'",
        ] {
            assert!(told.contains(part), "{part} is not in:\n{told}");
        }
        assert!(!told.contains("pk_test_1"), "{told}");
    }

    #[test]
    fn sample_amounts_are_never_asked_with_a_live_key() {
        for key in ["sk_live_1", "rk_live_1"] {
            let told = problems(&[GOOD[0], ("STRIPE_SECRET_KEY", key)]);
            assert!(told.contains("amounts are samples"), "{told}");
            let variables = [("STRIPE_SECRET_KEY", key)];
            assert!(CatalogConfig::from_env(env(&variables), true).is_err());
            assert!(CatalogConfig::from_env(env(&variables), false).is_ok());
        }
        let plain = [
            GOOD[0],
            GOOD[2],
            ("STRIPE_SECRET_KEY", "sk_live_1"),
            ("STRIPE_API_BASE", "http://127.0.0.1:1/"),
        ];
        assert!(problems(&plain).contains("is not https"));
    }

    #[test]
    fn stripe_is_called_as_fast_as_it_allows() {
        let rates = |more: &[(&str, &str)]| {
            let variables: Vec<_> = more.iter().chain(&GOOD).copied().collect();
            // What is named first counts.
            let variables = variables.into_iter().rev();
            let env = Env::from_variables(variables.map(|(n, v)| (n.to_owned(), v.to_owned())));
            let mut env = env;
            let CallRates {
                calls,
                meter_events,
            } = StripeAccess::read(&mut env).rates;
            (
                calls.map(NonZeroU32::get),
                meter_events.map(NonZeroU32::get),
            )
        };
        let live = ("STRIPE_SECRET_KEY", "rk_live_1");
        let local = ("STRIPE_API_BASE", "http://127.0.0.1:12111/");
        let calls = ("STRIPE_CALLS_PER_SECOND", "7");
        let meter_events = ("STRIPE_METER_EVENTS_PER_SECOND", "9");
        assert_eq!(rates(&[live]), (Some(100), Some(1_000)));
        assert_eq!(rates(&[]), (Some(25), None));
        assert_eq!(rates(&[local]), (None, None));
        assert_eq!(rates(&[local, calls]), (Some(7), None));
        assert_eq!(rates(&[live, calls, meter_events]), (Some(7), Some(9)));
        let told = problems(&[GOOD[0], GOOD[1], GOOD[2], ("STRIPE_CALLS_PER_SECOND", "0")]);
        assert!(told.contains("STRIPE_CALLS_PER_SECOND is '0'"), "{told}");
    }

    #[test]
    fn webhooks_are_signed_with_any_of_the_secrets() {
        let secrets = |more: &[(&str, &str)]| {
            let variables: Vec<_> = GOOD.iter().chain(more).copied().collect();
            let secrets = Config::from_env(env(&variables)).unwrap().webhook_secrets;
            let secrets = secrets.iter().map(|it| it.expose_secret().to_owned());
            secrets.collect::<Vec<_>>()
        };
        assert!(secrets(&[]).is_empty());
        assert_eq!(
            secrets(&[("STRIPE_WEBHOOK_SECRET", "whsec_1")]),
            ["whsec_1"]
        );
        let both = [
            ("STRIPE_WEBHOOK_SECRET", "whsec_1"),
            ("STRIPE_WEBHOOK_SECRETS", "whsec_2, whsec_1"),
        ];
        assert_eq!(secrets(&both), ["whsec_2", "whsec_1"]);
    }

    #[test]
    fn a_base_address_keeps_its_path() {
        let base = [
            GOOD[0],
            GOOD[1],
            GOOD[2],
            ("STRIPE_API_BASE", "http://127.0.0.1:12111/sub"),
        ];
        let config = Config::from_env(env(&base)).unwrap();
        assert_eq!(
            config.stripe.api_base.as_str(),
            "http://127.0.0.1:12111/sub/"
        );
        assert!(config.stripe.is_local());
    }
}
