//! ConfirmDrained: ingest-svc has delivered everything of an organization that drains, so Stripe may
//! be asked to end its subscription.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use sea_orm::TransactionTrait;

use super::{Organizations, get_organization};
use crate::{
    domain::organization::{Drain, OrganizationId},
    store::{link_operations, organization_changes, organizations},
};

/// Takes note, and has the organization stand as drained from now on; says whether it does. One that
/// stands differently by now is left as it is: what was delivered under another standing says nothing
/// of this one.
pub(crate) async fn confirm_drained(
    app: &Organizations,
    id: OrganizationId,
    standing_version: i64,
) -> Result<bool, Fault> {
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let organization = organizations::lock(&transaction, id)
        .await?
        .ok_or_else(get_organization::not_found)?;
    match organization.drain {
        Drain::Draining if organization.standing_version == standing_version => {}
        Drain::None | Drain::Draining => return Ok(false),
        Drain::Drained => return Ok(true),
    }
    let now = app.clock.now();
    link_operations::end_drain(&transaction, id, now).await?;
    organizations::update_drain(&transaction, id, Drain::Drained, now).await?;
    organization_changes::append(&transaction, &[id], now).await?;
    transaction.commit().await.map_err(db_fault)?;
    tracing::info!(organization_id = %id.0, "everything is delivered; Stripe is asked to cancel");
    app.due.notify_one();
    app.changed.notify_waiters();
    Ok(true)
}
