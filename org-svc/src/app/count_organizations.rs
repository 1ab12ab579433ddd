//! CountOrganizations: how many there are, linked and pending.

use billing_kit::Fault;

use super::Organizations;
use crate::{domain::organization::Counts, store::organizations};

/// Counts all organizations.
pub(crate) async fn count_organizations(app: &Organizations) -> Result<Counts, Fault> {
    organizations::count(&app.db).await
}
