//! `GetSigningKeys`: which keys signed an organization's reports, and which of them counts.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use billing_proto::common::v1::ErrorReason;
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::{
    Parts,
    store::signing_keys::{self, SigningKeys},
};

/// The keys of an organization.
///
/// # Errors
/// It never reported; the database could not be asked.
pub(crate) async fn get_signing_keys(
    parts: &Parts,
    organization_id: Uuid,
) -> Result<SigningKeys, Fault> {
    find(&parts.db, organization_id).await
}

/// The same on a connection or in a transaction.
pub(super) async fn find(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
) -> Result<SigningKeys, Fault> {
    let found = signing_keys::get(db, organization_id).await;
    found.map_err(db_fault)?.ok_or_else(|| {
        let message = "No organization with this id has reported.";
        Fault::new(ErrorReason::OrganizationNotFound, message)
    })
}
