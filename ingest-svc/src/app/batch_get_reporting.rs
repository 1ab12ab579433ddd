//! `BatchGetReporting`: what is known of the reporting of some organizations.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use uuid::Uuid;

use crate::{
    Parts,
    store::reporting::{self, Reporting},
};

/// The latest report of each organization that has one.
pub(crate) async fn batch_get_reporting(
    parts: &Parts,
    organizations: Vec<Uuid>,
) -> Result<Vec<Reporting>, Fault> {
    reporting::get_many(&parts.db, organizations)
        .await
        .map_err(db_fault)
}
