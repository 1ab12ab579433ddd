//! RecordAuditEvents: what admins did with another service, into the trail.

use billing_kit::Fault;

use super::Admins;
use crate::{domain::audit::Told, store::audit_events};

/// The most changes of a request.
pub(crate) const EVENTS_MAX: usize = 1_000;

/// Stores changes, each once by its id.
pub(crate) async fn record_audit_events(app: &Admins, told: &[Told]) -> Result<(), Fault> {
    if told.is_empty() {
        return Ok(());
    }
    audit_events::insert_told(&app.db, told).await
}
