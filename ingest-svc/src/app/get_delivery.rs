//! `GetDelivery`: what of an organization's reports is still to be delivered.

use billing_kit::Fault;
use billing_kit_db::{StoreError, db_fault};
use sea_orm::TransactionTrait;
use uuid::Uuid;

use crate::{
    Parts,
    domain::standing::UNKNOWN_VERSION,
    store::{delivery, reporting},
};

/// What is still open of an organization's reports, and under which standing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    pub(crate) open_count: i64,
    pub(crate) standing_version: i64,
}

/// Judges an organization's reports by how it stands, and counts those that may still be sent. Both in
/// one transaction: a standing may be known before its reports were looked at again.
pub(crate) async fn get_delivery(parts: &Parts, organization_id: Uuid) -> Result<Delivery, Fault> {
    count(parts, organization_id).await.map_err(db_fault)
}

async fn count(parts: &Parts, organization_id: Uuid) -> Result<Delivery, StoreError> {
    let txn = parts.db.begin().await?;
    let standing = reporting::lock(&txn, organization_id).await?;
    let standing_version = standing.map_or(UNKNOWN_VERSION, |standing| standing.version);
    delivery::reconsider(&txn, vec![organization_id], parts.deps.clock.now()).await?;
    let open_count = delivery::count_open(&txn, organization_id).await?;
    txn.commit().await?;
    Ok(Delivery {
        open_count,
        standing_version,
    })
}
