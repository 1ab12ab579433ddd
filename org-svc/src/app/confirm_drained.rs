//! ConfirmDrained: ingest-svc has delivered everything of an organization that drains, so Stripe may
//! be asked to end its subscription.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use sea_orm::TransactionTrait;

use super::{Organizations, get_organization};
use crate::{
    domain::organization::OrganizationId,
    store::{link_operations, organizations},
};

/// Takes note; says whether the organization drains under this standing. One that stands differently
/// by now is left as it is: what was delivered under another standing says nothing of this one.
pub(crate) async fn confirm_drained(
    app: &Organizations,
    id: OrganizationId,
    standing_version: i64,
) -> Result<bool, Fault> {
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let organization = organizations::lock(&transaction, id)
        .await?
        .ok_or_else(get_organization::not_found)?;
    if !organization.draining || organization.standing_version != standing_version {
        return Ok(false);
    }
    let now = app.clock.now();
    let is_first = link_operations::end_drain(&transaction, id, now).await?;
    transaction.commit().await.map_err(db_fault)?;
    if is_first {
        tracing::info!(organization_id = %id.0, "everything is delivered; Stripe is asked to cancel");
        app.due.notify_one();
    }
    Ok(true)
}
