//! The gateway's configuration.

use std::{net::SocketAddr, num::NonZeroU32};

use billing_kit::{
    config::{ConfigError, Env, ProcessConfig},
    tls::TlsFiles,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{
    domain::{api_tokens::ApiTokens, origin::TrustedOrigins, trusted_proxies::TrustedProxies},
    limits::ReportRates,
};

/// The least length of a secret that is not warned of, in bytes; Better Auth has the same.
pub(crate) const SECRET_LEN_MIN: usize = 32;
/// Reports a minute from one source address, where nothing is said: a company's network may hide
/// some instances.
const PER_ADDRESS_DEFAULT: u32 = 600;
/// Reports a minute of one organization: it sends one a day, or a month's backlog at once.
const PER_ORGANIZATION_DEFAULT: u32 = 60;
/// What a limit on reports may be, per minute. Below it an instance that does as it should could be
/// turned away.
const RATES: std::ops::RangeInclusive<u32> = 60..=1_000_000;

/// Everything that the gateway is configured with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Logs, the health port, the time to shut down.
    pub process: ProcessConfig,
    /// The public port: plaintext, behind an ingress that ends TLS.
    pub listen_addr: SocketAddr,
    /// Who the gateway is to the other services.
    pub tls: Option<TlsFiles>,
    /// ingest-svc.
    pub ingest_svc_url: Url,
    /// org-svc.
    pub org_svc_url: Url,
    /// stripe-svc.
    pub stripe_svc_url: Url,
    /// The secret that signs session cookies.
    pub auth_secret: SecretString,
    /// The site's own address; cookies are secure where it is https.
    pub auth_url: Url,
    /// The origins whose pages may change something.
    pub trusted_origins: TrustedOrigins,
    /// The tokens that instances report with.
    pub api_tokens: ApiTokens,
    /// Whose word on a client's address is taken.
    pub trusted_proxies: TrustedProxies,
    /// How many reports a minute are taken.
    pub report_rates: ReportRates,
}

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// Every problem, each with its fix.
    pub fn from_env(mut env: Env) -> Result<Self, ConfigError> {
        let process = env.process(SocketAddr::from(([127, 0, 0, 1], 9104)));
        let tls = env.tls();
        let auth_url = env.url(
            "BETTER_AUTH_URL",
            "the address of this site, for example https://billing.vaultai.eu",
        );
        let config = Self {
            process,
            listen_addr: env.parsed(
                "LISTEN_ADDR",
                SocketAddr::from(([127, 0, 0, 1], 8080)),
                "an address and port, for example 0.0.0.0:8080",
            ),
            ingest_svc_url: service_url(&mut env, "INGEST_SVC_URL", tls.as_ref()),
            org_svc_url: service_url(&mut env, "ORG_SVC_URL", tls.as_ref()),
            stripe_svc_url: service_url(&mut env, "STRIPE_SVC_URL", tls.as_ref()),
            tls,
            auth_secret: auth_secret(&mut env),
            trusted_origins: trusted_origins(&mut env, &auth_url),
            auth_url,
            api_tokens: api_tokens(&mut env),
            trusted_proxies: trusted_proxies(&mut env),
            report_rates: ReportRates {
                per_address: report_rate(
                    &mut env,
                    "REPORTS_PER_MINUTE_PER_ADDRESS",
                    PER_ADDRESS_DEFAULT,
                ),
                per_organization: report_rate(
                    &mut env,
                    "REPORTS_PER_MINUTE_PER_ORGANIZATION",
                    PER_ORGANIZATION_DEFAULT,
                ),
            },
        };
        env.finish(config)
    }
}

fn service_url(env: &mut Env, name: &str, tls: Option<&TlsFiles>) -> Url {
    let what = "the address of the service, for example https://org-svc:50052";
    env.service_url(name, what, tls)
}

/// Better Auth's own order: the first entry of `BETTER_AUTH_SECRETS`, else `BETTER_AUTH_SECRET`,
/// else `AUTH_SECRET`. Entries after the first sign nothing there, so they sign nothing here.
fn auth_secret(env: &mut Env) -> SecretString {
    if let Some(list) = env.optional_secret("BETTER_AUTH_SECRETS") {
        let first = list.expose_secret().split(',').next().unwrap_or_default();
        let secret = first.trim().split_once(':').map(|(_, secret)| secret);
        return match secret.filter(|secret| !secret.is_empty()) {
            Some(secret) => secret.into(),
            None => {
                env.problem("BETTER_AUTH_SECRETS is no list of VERSION:SECRET, divided by commas.");
                SecretString::default()
            }
        };
    }
    let secret = env.optional_secret("BETTER_AUTH_SECRET");
    secret
        .or_else(|| env.optional_secret("AUTH_SECRET"))
        .unwrap_or_else(|| {
            env.required_secret(
                "BETTER_AUTH_SECRET",
                "the secret that signs session cookies, at least 32 random characters",
            )
        })
}

fn trusted_origins(env: &mut Env, auth_url: &Url) -> TrustedOrigins {
    let mut origins = TrustedOrigins::default();
    origins.trust_url(auth_url);
    if env.optional("NEXT_PUBLIC_BETTER_AUTH_URL").is_some() {
        origins.trust_url(&env.url(
            "NEXT_PUBLIC_BETTER_AUTH_URL",
            "the address of this site as browsers know it",
        ));
    }
    for entry in env.list("BETTER_AUTH_TRUSTED_ORIGINS") {
        if let Err(problem) = origins.trust_entry(&entry) {
            env.problem(format!("BETTER_AUTH_TRUSTED_ORIGINS: {problem}."));
        }
    }
    origins
}

fn api_tokens(env: &mut Env) -> ApiTokens {
    let Some(list) = env.optional_secret("BILLING_API_TOKENS") else {
        return ApiTokens::universal();
    };
    let tokens: Vec<SecretString> = list
        .expose_secret()
        .split(',')
        .map(str::trim)
        .filter(|token| !token.is_empty())
        .map(SecretString::from)
        .collect();
    if tokens.is_empty() {
        env.problem("BILLING_API_TOKENS holds no token. List at least one, or leave it unset.");
    }
    ApiTokens::new(&tokens)
}

fn trusted_proxies(env: &mut Env) -> TrustedProxies {
    let entries = env.list("TRUSTED_PROXIES");
    TrustedProxies::parse(&entries).unwrap_or_else(|entry| {
        env.problem(format!(
            "TRUSTED_PROXIES holds '{entry}', which is no network. Set it to networks, for example 10.0.0.0/8,192.0.2.7."
        ));
        TrustedProxies::default()
    })
}

/// A limit on reports; 0 is none.
fn report_rate(env: &mut Env, name: &str, default: u32) -> Option<NonZeroU32> {
    let what = format!(
        "a number of reports a minute from {} to {}, or 0 for no limit",
        RATES.start(),
        RATES.end()
    );
    let rate = env.parsed(name, default, &what);
    if rate != 0 && !RATES.contains(&rate) {
        env.problem(format!("{name} is {rate}. Set it to {what}."));
    }
    NonZeroU32::new(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 5] = [
        ("INGEST_SVC_URL", "http://127.0.0.1:1"),
        ("ORG_SVC_URL", "http://localhost:2"),
        ("STRIPE_SVC_URL", "http://localhost:3"),
        ("BETTER_AUTH_URL", "https://billing.vaultai.eu"),
        ("BETTER_AUTH_SECRET", "the plain one"),
    ];

    fn read(more: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variables = GOOD.iter().chain(more);
        Config::from_env(Env::from_variables(
            variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        ))
    }

    #[test]
    fn the_secret_is_better_auths_choice() {
        let secret =
            |more: &[(&str, &str)]| read(more).unwrap().auth_secret.expose_secret().to_owned();
        assert_eq!(secret(&[]), "the plain one");
        assert_eq!(secret(&[("AUTH_SECRET", "x")]), "the plain one");
        assert_eq!(
            secret(&[("BETTER_AUTH_SECRETS", " 2:new:er , 1:old")]),
            "new:er"
        );
        assert_eq!(
            secret(&[("BETTER_AUTH_SECRET", ""), ("AUTH_SECRET", "x")]),
            "x"
        );
    }

    #[test]
    fn every_problem_is_named() {
        let problems = read(&[
            ("INGEST_SVC_URL", "http://ingest-svc:50051"),
            ("ORG_SVC_URL", "https://org-svc:50052"),
            ("STRIPE_SVC_URL", ""),
            ("BETTER_AUTH_SECRET", ""),
            ("BETTER_AUTH_TRUSTED_ORIGINS", "billing.example"),
            ("BILLING_API_TOKENS", " , "),
            ("TRUSTED_PROXIES", "10.0.0.0/8,nonsense"),
            ("REPORTS_PER_MINUTE_PER_ADDRESS", "59"),
            ("REPORTS_PER_MINUTE_PER_ORGANIZATION", "few"),
            ("LISTEN_ADDR", "8080"),
        ])
        .unwrap_err()
        .problems;
        for name in [
            "INGEST_SVC_URL",
            "ORG_SVC_URL",
            "STRIPE_SVC_URL",
            "BETTER_AUTH_SECRET",
            "BETTER_AUTH_TRUSTED_ORIGINS",
            "BILLING_API_TOKENS",
            "TRUSTED_PROXIES",
            "REPORTS_PER_MINUTE_PER_ADDRESS",
            "REPORTS_PER_MINUTE_PER_ORGANIZATION",
            "LISTEN_ADDR",
        ] {
            let told = problems.iter().filter(|p| p.starts_with(name)).count();
            assert_eq!(told, 1, "{name}: {problems:#?}");
        }
    }

    #[test]
    fn the_list_replaces_the_compiled_token() {
        use crate::domain::api_tokens::UNIVERSAL_TOKEN;
        assert!(read(&[]).unwrap().api_tokens.admit(UNIVERSAL_TOKEN));
        let tokens = read(&[("BILLING_API_TOKENS", "a, b")]).unwrap().api_tokens;
        assert!(tokens.admit("b") && !tokens.admit(UNIVERSAL_TOKEN));
    }

    #[test]
    fn origins_come_from_three_variables() {
        let origins = read(&[
            ("NEXT_PUBLIC_BETTER_AUTH_URL", "https://www.vaultai.eu/x"),
            ("BETTER_AUTH_TRUSTED_ORIGINS", "https://*.example.com"),
        ])
        .unwrap()
        .trusted_origins;
        for origin in [
            "https://billing.vaultai.eu",
            "https://www.vaultai.eu",
            "https://a.example.com",
        ] {
            assert!(origins.trusts(origin), "{origin}");
        }
    }
}
