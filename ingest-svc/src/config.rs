//! What ingest-svc is configured with, from the environment.

use std::time::Duration;

use billing_kit::{
    Clock,
    assertion::Verifier,
    config::{ConfigError, Env, ProcessConfig},
    server::Listen,
};
use billing_kit_db::DatabaseConfig;
use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::domain::{expectation::Patience, hold::HoldRules};

/// The role that every connection to the database takes.
pub(crate) const DB_ROLE: &str = "billing_ingest";
/// How long org-svc may take to say how organizations stand; past it reports are spooled.
pub(crate) const ORG_DEADLINE: Duration = Duration::from_secs(2);
/// How long stripe-svc may take for a batch; below the time that a process has to stop, and well
/// below the lease of the batch's organizations.
pub(crate) const STRIPE_DEADLINE: Duration = Duration::from_secs(15);

/// How often Stripe's meter is compared with what was reported, in seconds.
const RECONCILE_SECONDS_DEFAULT: u32 = 3_600;
const RECONCILE_SECONDS_MAX: u32 = 86_400;

/// After how many seconds without a report an instance is late: a day, and three hours of grace.
const LATE_SECONDS_DEFAULT: u32 = 27 * 3_600;
/// After how many seconds without a report an instance is silent: two days, and the same grace.
const SILENT_SECONDS_DEFAULT: u32 = 51 * 3_600;
/// A year, in seconds.
const SILENT_SECONDS_MAX: u32 = 365 * 86_400;

/// For how many seconds the instances that fall silent are gathered into one notice: most fall silent
/// within a minute, because most report at the same time of day.
const GATHER_SECONDS_DEFAULT: u32 = 600;
const GATHER_SECONDS_MAX: u32 = 86_400;

/// A count above twice the baseline, and more than twenty seats above it, is not the growth of a day.
const JUMP_FACTOR_DEFAULT: u32 = 2;
const JUMP_SEATS_DEFAULT: u32 = 20;
/// A count below a tenth, and more than fifty seats below, is not a company that let people go.
const DROP_FACTOR_DEFAULT: u32 = 10;
const DROP_SEATS_DEFAULT: u32 = 50;
/// A count below half of the baseline is worth a look.
const LOW_FACTOR_DEFAULT: u32 = 2;

/// What ingest-svc is configured with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Logs, health, shutdown.
    pub process: ProcessConfig,
    /// Where it listens, and its certificate.
    pub listen: Listen,
    /// Its database.
    pub database: DatabaseConfig,
    /// Where org-svc is.
    pub org_svc_url: Url,
    /// Where stripe-svc is.
    pub stripe_svc_url: Url,
    /// The public half of the key that org-svc signs admin assertions with, as PEM.
    pub admin_assertion_public_key: SecretString,
    /// Between the end of a pass of reconciliation and the beginning of the next.
    pub reconcile_interval: TimeDelta,
    /// When an instance is late, and silent.
    pub patience: Patience,
    /// For how long the instances that fall silent are gathered into one notice.
    pub silence_gathered: TimeDelta,
    /// Which reports are held until a person looked at them.
    pub hold_rules: HoldRules,
}

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// Every variable that is missing or wrong, each with its fix.
    pub fn from_env(mut env: Env) -> Result<Self, ConfigError> {
        let tls = env.tls();
        let config = Self {
            process: env.process(([127, 0, 0, 1], 9101).into()),
            listen: env.listen(([127, 0, 0, 1], 50051).into(), tls.clone()),
            database: DatabaseConfig::read(&mut env),
            org_svc_url: env.service_url(
                "ORG_SVC_URL",
                "where org-svc is, for example https://org-svc:50052",
                tls.as_ref(),
            ),
            stripe_svc_url: env.service_url(
                "STRIPE_SVC_URL",
                "where stripe-svc is, for example https://stripe-svc:50053",
                tls.as_ref(),
            ),
            admin_assertion_public_key: env.required_secret(
                "ADMIN_ASSERTION_PUBLIC_KEY",
                "the public half of org-svc's Ed25519 key, as PEM",
            ),
            reconcile_interval: read_reconcile_interval(&mut env),
            patience: read_patience(&mut env),
            silence_gathered: read_silence_gathered(&mut env),
            hold_rules: read_hold_rules(&mut env),
        };
        if !config.admin_assertion_public_key.expose_secret().is_empty()
            && let Err(problem) = config.admin_verifier(Clock::system())
        {
            env.problem(problem);
        }
        env.finish(config)
    }

    /// What verifies the assertions of admins.
    pub(crate) fn admin_verifier(&self, clock: Clock) -> Result<Verifier, String> {
        Verifier::from_pem(self.admin_assertion_public_key.expose_secret(), clock)
            .map_err(|problem| format!("ADMIN_ASSERTION_PUBLIC_KEY cannot be used: {problem}."))
    }
}

fn read_reconcile_interval(env: &mut Env) -> TimeDelta {
    let what = format!("a number of seconds from 1 to {RECONCILE_SECONDS_MAX}");
    let seconds = env.parsed("RECONCILE_SECONDS", RECONCILE_SECONDS_DEFAULT, &what);
    if !(1..=RECONCILE_SECONDS_MAX).contains(&seconds) {
        env.problem(format!("RECONCILE_SECONDS is {seconds}. Set it to {what}."));
    }
    TimeDelta::seconds(seconds.into())
}

fn read_patience(env: &mut Env) -> Patience {
    let what = format!("a number of seconds from 1 to {SILENT_SECONDS_MAX}");
    let late = env.parsed("REPORT_LATE_SECONDS", LATE_SECONDS_DEFAULT, &what);
    let silent = env.parsed("REPORT_SILENT_SECONDS", SILENT_SECONDS_DEFAULT, &what);
    if late == 0 {
        env.problem(format!("REPORT_LATE_SECONDS is 0. Set it to {what}."));
    }
    if !(late..=SILENT_SECONDS_MAX).contains(&silent) {
        env.problem(format!(
            "REPORT_SILENT_SECONDS is {silent}. Set it to {what}, and not below REPORT_LATE_SECONDS ({late})."
        ));
    }
    Patience {
        late_after: TimeDelta::seconds(late.into()),
        silent_after: TimeDelta::seconds(silent.into()),
    }
}

fn read_silence_gathered(env: &mut Env) -> TimeDelta {
    let what = format!("a number of seconds from 1 to {GATHER_SECONDS_MAX}");
    let seconds = env.parsed("SILENCE_GATHER_SECONDS", GATHER_SECONDS_DEFAULT, &what);
    if !(1..=GATHER_SECONDS_MAX).contains(&seconds) {
        env.problem(format!(
            "SILENCE_GATHER_SECONDS is {seconds}. Set it to {what}."
        ));
    }
    TimeDelta::seconds(seconds.into())
}

fn read_hold_rules(env: &mut Env) -> HoldRules {
    HoldRules {
        jump_factor: env.parsed(
            "HOLD_JUMP_FACTOR",
            JUMP_FACTOR_DEFAULT,
            "above how many times the baseline a count is held, or 0 to hold none",
        ),
        jump_seats: env.parsed(
            "HOLD_JUMP_SEATS",
            JUMP_SEATS_DEFAULT,
            "how many seats above the baseline a count is held at least, or 0 to hold none",
        ),
        drop_factor: env.parsed(
            "HOLD_DROP_FACTOR",
            DROP_FACTOR_DEFAULT,
            "below which fraction of the baseline a count is held, or 0 to hold none",
        ),
        drop_seats: env.parsed(
            "HOLD_DROP_SEATS",
            DROP_SEATS_DEFAULT,
            "how many seats below the baseline a count is held at least, or 0 to hold none",
        ),
        low_factor: env.parsed(
            "LOW_COUNT_FACTOR",
            LOW_FACTOR_DEFAULT,
            "below which fraction of the baseline a count is marked, or 0 to mark none",
        ),
        other_url: env.parsed("HOLD_OTHER_URL", true, "true or false"),
        new_network: env.parsed("HOLD_NEW_NETWORK", true, "true or false"),
        late_raise: env.parsed("HOLD_LATE_RAISE", true, "true or false"),
    }
}
