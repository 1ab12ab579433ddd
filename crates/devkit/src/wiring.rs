//! The variables that each of the product's processes is started with on one machine. They are the
//! same that a deployment sets.

use std::ffi::OsString;
use std::path::Path;

use crate::pki::{DevPki, SigningKey};

/// Who may read from org-svc besides the services: stands for any other internal service.
pub const DEVELOPER: &str = "developer";
/// The identities that need certificates.
pub const IDENTITIES: [&str; 5] = ["gateway", "ingest-svc", "org-svc", "stripe-svc", DEVELOPER];

/// Names and values of variables.
pub type Variables = Vec<(&'static str, OsString)>;

/// What the processes of one run have in common.
#[derive(Debug, Clone, Copy)]
pub struct Wiring<'a> {
    /// Every service's certificate.
    pub pki: &'a DevPki,
    /// What org-svc signs admins' assertions with.
    pub signing_key: &'a SigningKey,
    /// What session cookies are signed with.
    pub better_auth_secret: &'a str,
    /// The dashboard's own address.
    pub base_url: &'a str,
    /// Where Stripe is.
    pub stripe_api_base: &'a str,
    /// What it is called with.
    pub stripe_secret_key: &'a str,
    /// What is sold.
    pub catalog: &'a Path,
    /// How long a process that is told to stop may take, in seconds.
    pub grace_seconds: u64,
}

/// The ports on which a service listens on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Where it serves.
    pub port: u16,
    /// Where it tells its health.
    pub health_port: u16,
}

/// The ports at which a service finds those that it calls.
#[derive(Debug, Clone, Copy)]
pub struct Callees {
    /// ingest-svc.
    pub ingest: u16,
    /// org-svc.
    pub org: u16,
    /// stripe-svc.
    pub stripe: u16,
}

impl Wiring<'_> {
    /// The gateway's.
    #[must_use]
    pub fn gateway(&self, place: Place, callees: Callees) -> Variables {
        let mut variables = self.service("gateway", place);
        variables.extend([
            ("INGEST_SVC_URL", url(callees.ingest).into()),
            ("ORG_SVC_URL", url(callees.org).into()),
            ("STRIPE_SVC_URL", url(callees.stripe).into()),
            ("BETTER_AUTH_SECRET", self.better_auth_secret.into()),
            ("BETTER_AUTH_URL", self.base_url.into()),
            ("NEXT_PUBLIC_BETTER_AUTH_URL", self.base_url.into()),
            // A whole fleet reports from one machine, and its past all at once.
            ("REPORTS_PER_MINUTE_PER_ADDRESS", "0".into()),
            ("REPORTS_PER_MINUTE_PER_ORGANIZATION", "0".into()),
        ]);
        variables
    }

    /// ingest-svc's.
    #[must_use]
    pub fn ingest_svc(&self, place: Place, callees: Callees, database_url: &str) -> Variables {
        let mut variables = self.service("ingest-svc", place);
        variables.extend([
            ("DATABASE_URL", database_url.into()),
            ("ORG_SVC_URL", url(callees.org).into()),
            ("STRIPE_SVC_URL", url(callees.stripe).into()),
            self.public_key(),
        ]);
        variables
    }

    /// org-svc's.
    #[must_use]
    pub fn org_svc(&self, place: Place, callees: Callees, database_url: &str) -> Variables {
        let private_key = self.signing_key.private.clone();
        let mut variables = self.service("org-svc", place);
        variables.extend([
            ("DATABASE_URL", database_url.into()),
            ("STRIPE_SVC_URL", url(callees.stripe).into()),
            ("ORG_READERS", DEVELOPER.into()),
            // Everybody is at this machine's own address. Better Auth counts in production only, too.
            ("AUTH_ATTEMPT_LIMIT", "off".into()),
            ("NEW_ORGANIZATIONS_PER_NETWORK", "0".into()),
            ("NEW_ORGANIZATIONS_UNKNOWN_SOURCE", "0".into()),
            self.public_key(),
            ("ADMIN_ASSERTION_PRIVATE_KEY_FILE", private_key.into()),
        ]);
        variables
    }

    /// stripe-svc's.
    #[must_use]
    pub fn stripe_svc(&self, place: Place, database_url: &str) -> Variables {
        let mut variables = self.service("stripe-svc", place);
        variables.extend([
            ("DATABASE_URL", database_url.into()),
            ("STRIPE_SECRET_KEY", self.stripe_secret_key.into()),
            ("STRIPE_API_BASE", self.stripe_api_base.into()),
            ("CATALOG_FILE", self.catalog.into()),
            self.public_key(),
        ]);
        variables
    }

    /// What every service is told: where to listen, who it is, how long it may drain.
    fn service(&self, name: &str, place: Place) -> Variables {
        vec![
            ("LISTEN_ADDR", address(place.port).into()),
            ("HEALTH_ADDR", address(place.health_port).into()),
            ("TLS_CERT_FILE", self.pki.cert(name).into()),
            ("TLS_KEY_FILE", self.pki.key(name).into()),
            ("TLS_CA_FILE", self.pki.ca().into()),
            (
                "SHUTDOWN_GRACE_SECONDS",
                self.grace_seconds.to_string().into(),
            ),
        ]
    }

    fn public_key(&self) -> (&'static str, OsString) {
        let public_key = self.signing_key.public.clone();
        ("ADMIN_ASSERTION_PUBLIC_KEY_FILE", public_key.into())
    }
}

/// HOST:PORT on this machine.
#[must_use]
pub fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// By name, as between machines: certificates are checked against it.
fn url(port: u16) -> String {
    format!("https://localhost:{port}")
}
