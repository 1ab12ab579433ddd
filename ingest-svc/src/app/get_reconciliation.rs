//! `GetReconciliation`: how reconciliation stands.

use billing_kit::Fault;
use billing_kit_db::db_fault;

use crate::{
    Parts,
    store::reconciliation::{self, Standing},
};

/// When the last full pass was, and what is open.
pub(crate) async fn get_reconciliation(parts: &Parts) -> Result<Standing, Fault> {
    reconciliation::standing(&parts.db)
        .await
        .map_err(db_fault)?
        .ok_or_else(|| Fault::internal("reconciliation_pass has no row"))
}
