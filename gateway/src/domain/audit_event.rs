//! The audit trail as admins read it.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A change: who did what, when, from where.
#[derive(Debug, Clone)]
pub(crate) struct AuditEvent {
    /// Its id.
    pub id: Uuid,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// What was done.
    pub action: String,
    /// The organization that it was done to.
    pub organization_id: Option<String>,
    /// The user id of the admin; none where Stripe told us.
    pub admin_user_id: Option<String>,
    /// That admin's address now.
    pub admin_email: Option<String>,
    /// The API key that it was done with.
    pub api_key_id: Option<String>,
    /// Where the request came from.
    pub client_address: Option<String>,
    /// The request's id.
    pub request_id: Option<String>,
    /// As it was: a JSON object, as text.
    pub before: Option<String>,
    /// As it is since: a JSON object, as text.
    pub after: Option<String>,
}

/// Which changes are picked; what is empty picks all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AuditFilter {
    /// The organization's id.
    pub organization_id: String,
    /// The admin's user id or e-mail address.
    pub actor: String,
    /// The action.
    pub action: String,
    /// From this moment on.
    pub since: Option<DateTime<Utc>>,
    /// Before this moment.
    pub until: Option<DateTime<Utc>>,
}
