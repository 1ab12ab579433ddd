//! The use cases: one file per verb. Each opens the transactions that it needs; none of them is held
//! while another service is called.

pub(crate) mod adopt_admins;
pub(crate) mod authenticate_admin;
pub(crate) mod batch_get_organizations;
pub(crate) mod cancel_subscription;
pub(crate) mod change_password;
pub(crate) mod confirm_drained;
mod count_attempt;
pub(crate) mod count_organizations;
pub(crate) mod create_admin;
pub(crate) mod create_api_key;
pub(crate) mod delete_organizations;
pub(crate) mod disable_admin;
pub(crate) mod get_organization;
pub(crate) mod get_session;
pub(crate) mod ignore_organizations;
pub(crate) mod keep_subscriptions;
pub(crate) mod link_organization;
pub(crate) mod list_admins;
pub(crate) mod list_api_keys;
pub(crate) mod list_audit_events;
pub(crate) mod list_expired_organizations;
pub(crate) mod list_notices;
pub(crate) mod list_organizations;
pub(crate) mod list_pending_groups;
mod note_failure;
pub(crate) mod observe_organizations;
mod operation;
mod passwords;
pub(crate) mod record_audit_events;
pub(crate) mod record_notices;
pub(crate) mod reset_password;
pub(crate) mod revoke_api_key;
pub(crate) mod run_link_operation;
pub(crate) mod send_notice;
pub(crate) mod sign_in;
pub(crate) mod sign_out;
mod spend_attempt;
mod tell;
pub(crate) mod unlink_organization;
pub(crate) mod update_subscription;
pub(crate) mod watch_organizations;

use billing_kit::{Clock, Fault, Ids, process::Lifecycle};
use chrono::TimeDelta;
use rand::distr::{Alphanumeric, SampleString};
use sea_orm::DatabaseConnection;
use tokio::sync::{Notify, OnceCell};

use crate::{
    app::{count_organizations::KeptCounts, passwords::Passwords},
    channel::Channel,
    domain::{
        account::ID_CHARS, admission::AdmissionCaps, attempts::AttemptLimit, link::LinkOperation,
        organization::Organization,
    },
    store::better_auth::{DetectError, IdKind, Tables},
    stripe_svc::StripeSvc,
};

/// What the use cases of organizations work with.
#[derive(Debug)]
pub(crate) struct Organizations {
    pub(crate) db: DatabaseConnection,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) stripe_svc: StripeSvc,
    pub(crate) life: Lifecycle,
    /// Wakes, in this process, whoever waits for a change of a standing or for the end of a link.
    /// Only ever a shortcut: another process's changes are found by looking.
    pub(crate) changed: Notify,
    /// Wakes, in this process, the worker of operations. Only ever a shortcut too.
    pub(crate) due: Notify,
    /// How long what was reported may take to be delivered before a cancellation at once is given up.
    pub(crate) drain_max: TimeDelta,
    pub(crate) counts: KeptCounts,
    /// How many new organizations a source network may bring on one day.
    pub(crate) admission_caps: AdmissionCaps,
    /// The operator's own channel, where there is one.
    pub(crate) channel: Option<Channel>,
}

/// An organization and the latest operation on its link, or the one that was asked for.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) organization: Organization,
    pub(crate) operation: Option<LinkOperation>,
}

/// How attempts at passwords are counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PasswordRules {
    pub(crate) address_limit: AttemptLimit,
    pub(crate) account_limit: AttemptLimit,
    /// Whether the operator has a channel that a run of attempts is told.
    pub(crate) notices: bool,
}

/// What the use cases of admins work with.
#[derive(Debug)]
pub(crate) struct Admins {
    pub(crate) db: DatabaseConnection,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    rules: PasswordRules,
    tables: OnceCell<Tables>,
    passwords: Passwords,
}

impl Admins {
    pub(crate) fn new(
        db: DatabaseConnection,
        clock: Clock,
        ids: Ids,
        rules: PasswordRules,
    ) -> Self {
        Self {
            db,
            clock,
            ids,
            rules,
            tables: OnceCell::new(),
            passwords: Passwords::new(),
        }
    }

    /// Better Auth's tables: looked at once, when the database is first there.
    pub(crate) async fn tables(&self) -> Result<Tables, DetectError> {
        self.tables
            .get_or_try_init(|| Tables::detect(&self.db))
            .await
            .copied()
    }

    /// The same, where an unsupported variant can only be a fault of ours.
    async fn known_tables(&self) -> Result<Tables, Fault> {
        self.tables().await.map_err(Fault::from)
    }

    /// The id of a new row, as the deployment's Better Auth would make it; `None` where the database
    /// does.
    fn new_id(&self, kind: IdKind) -> Option<String> {
        match kind {
            IdKind::Text => Some(random_id()),
            IdKind::Uuid => Some(self.ids.next().to_string()),
            IdKind::Serial => None,
        }
    }
}

/// An id or a session's token as Better Auth makes them: the distribution draws again where a number falls
/// outside of the alphabet, from the operating system's seed.
fn random_id() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), ID_CHARS)
}
