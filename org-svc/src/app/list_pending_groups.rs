//! ListPendingGroups: the networks that brought many pending organizations.

use billing_kit::Fault;

use super::Organizations;
use crate::{domain::ignoring::PendingGroup, store::ignored};

/// The groups, those with the most organizations first.
pub(crate) async fn list_pending_groups(app: &Organizations) -> Result<Vec<PendingGroup>, Fault> {
    ignored::groups(&app.db).await
}
