//! `GetIntake`: where an organization's reports come from, and what of them was refused.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use uuid::Uuid;

use crate::{
    Parts,
    domain::refusal::Refusal,
    store::{
        conflicts::{self, Conflict},
        refusals,
        sources::{self, SourceNetwork},
    },
};

/// The most networks that are told, those that were seen last.
const NETWORKS_MAX: i64 = 50;

/// What is known of how an organization's reports come in.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) networks: Vec<SourceNetwork>,
    pub(crate) conflicts: Vec<Conflict>,
    pub(crate) last_refusal: Option<Refusal>,
}

/// Answers it; all is empty for an organization that never reported.
pub(crate) async fn get_intake(parts: &Parts, organization_id: Uuid) -> Result<Intake, Fault> {
    Ok(Intake {
        networks: sources::list(&parts.db, organization_id, NETWORKS_MAX)
            .await
            .map_err(db_fault)?,
        conflicts: conflicts::list(&parts.db, organization_id)
            .await
            .map_err(db_fault)?,
        last_refusal: refusals::last(&parts.db, organization_id)
            .await
            .map_err(db_fault)?,
    })
}
