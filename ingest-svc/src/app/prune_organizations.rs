//! Deletes what is kept of organizations that nobody ever linked, after 13 months of silence.
//!
//! Two services own the tables, and the reports refer to the organization. So org-svc lists those
//! that were never linked; this service deletes their reports where they are silent; org-svc then
//! deletes the organizations, each only if it still was never linked and no report refers to it; and
//! at last this service forgets them. Whatever breaks off in between is found again by the next pass.

use billing_kit::Fault;
use billing_kit_db::{StoreError, db_fault};
use billing_proto::org::v1::{
    DeleteOrganizationsRequest, ListExpiredOrganizationsRequest, ListExpiredOrganizationsResponse,
};
use chrono::{DateTime, Months, Utc};
use sea_orm::TransactionTrait;
use uuid::Uuid;

use crate::{Parts, store::expired};

/// How long the reports of an organization are kept that nobody links and that is silent.
const KEPT: Months = Months::new(13);
/// The most pages of 100 organizations that one pass looks at.
const PAGES_MAX: usize = 10_000;
/// Of how many organizations the reports are deleted in one transaction: some thousand rows.
const AT_ONCE: usize = 10;

/// One pass over all organizations that were never linked. Answers how many were deleted.
///
/// # Errors
/// org-svc or the database is away; the next pass goes on.
pub(crate) async fn prune_organizations(parts: &Parts) -> Result<usize, Fault> {
    let since = parts.deps.clock.now().checked_sub_months(KEPT);
    let since = since.unwrap_or(DateTime::UNIX_EPOCH);
    let mut pruned = 0;
    let mut page_token = String::new();
    for _ in 0..PAGES_MAX {
        let request = ListExpiredOrganizationsRequest { page_token };
        let ListExpiredOrganizationsResponse {
            organization_ids,
            next_page_token,
        } = parts
            .org
            .clone()
            .list_expired_organizations(request)
            .await
            .map_err(Fault::from_status)?
            .into_inner();
        let listed = parse(&organization_ids)?;
        for some in listed.chunks(AT_ONCE) {
            pruned += prune(parts, some, since).await?;
        }
        if next_page_token.is_empty() {
            break;
        }
        page_token = next_page_token;
    }
    if pruned > 0 {
        tracing::info!(pruned, "organizations that nobody ever linked were deleted");
    }
    Ok(pruned)
}

async fn prune(parts: &Parts, some: &[Uuid], since: DateTime<Utc>) -> Result<usize, Fault> {
    let silent = delete_reports(parts, some, since).await.map_err(db_fault)?;
    if silent.is_empty() {
        return Ok(0);
    }
    let request = DeleteOrganizationsRequest {
        organization_ids: silent.iter().map(Uuid::to_string).collect(),
    };
    let deleted = parts.org.clone().delete_organizations(request).await;
    let deleted = deleted.map_err(Fault::from_status)?.into_inner();
    let gone = parse(&deleted.organization_ids)?;
    expired::forget(&parts.db, &gone, since)
        .await
        .map_err(db_fault)?;
    Ok(gone.len())
}

/// Deletes the reports of those that are silent; answers which these are.
async fn delete_reports(
    parts: &Parts,
    some: &[Uuid],
    since: DateTime<Utc>,
) -> Result<Vec<Uuid>, StoreError> {
    let txn = parts.db.begin().await?;
    let silent = expired::lock_silent(&txn, some, since).await?;
    expired::delete_reports(&txn, &silent).await?;
    txn.commit().await?;
    Ok(silent)
}

fn parse(ids: &[String]) -> Result<Vec<Uuid>, Fault> {
    ids.iter()
        .map(|id| Uuid::try_parse(id).map_err(Fault::internal))
        .collect()
}
