//! What is kept of organizations that nobody ever linked, once they have been silent for long.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult};
use uuid::Uuid;

use super::sql;

/// Those of these organizations that have not reported since a moment and are not linked; under their
/// locks, so that no report comes in before the transaction ends.
pub(crate) async fn lock_silent(
    txn: &DatabaseTransaction,
    organizations: &[Uuid],
    since: DateTime<Utc>,
) -> Result<Vec<Uuid>, DbErr> {
    #[derive(FromQueryResult)]
    struct Row {
        organization_id: Uuid,
        is_silent: bool,
    }
    const LOCK: &str = "
        SELECT organization_id, stripe_customer_id IS NULL
            AND coalesce(last_reported_at, '-infinity') < $2
            AND NOT EXISTS (SELECT FROM usage_report_spool s
                WHERE s.organization_id = r.organization_id) AS is_silent
        FROM organization_reporting r
        WHERE organization_id = ANY($1) ORDER BY organization_id FOR UPDATE";
    let values = [organizations.to_vec().into(), since.into()];
    let rows = Row::find_by_statement(sql(LOCK, values)).all(txn).await?;
    let reporting: HashSet<_> = rows
        .into_iter()
        .filter(|row| !row.is_silent)
        .map(|row| row.organization_id)
        .collect();
    // One of which nothing is known here has no report either.
    let silent = organizations.iter().copied();
    Ok(silent.filter(|id| !reporting.contains(id)).collect())
}

/// Deletes the reports of organizations that were never billed: none that Stripe has, or might get.
pub(crate) async fn delete_reports(
    txn: &DatabaseTransaction,
    organizations: &[Uuid],
) -> Result<u64, DbErr> {
    const DELETE: &str = "
        DELETE FROM usage_reports WHERE organization_id = ANY($1) AND stripe_meter_event_id IS NULL
            AND delivery_state IN ('waiting', 'not_billed', 'too_late', 'superseded')
            AND (hold_reason IS NULL OR delivery_state = 'waiting')";
    let deleted = txn
        .execute_raw(sql(DELETE, [organizations.to_vec().into()]))
        .await?;
    Ok(deleted.rows_affected())
}

/// Forgets organizations that are gone, unless they have reported again.
pub(crate) async fn forget(
    db: &impl ConnectionTrait,
    organizations: &[Uuid],
    since: DateTime<Utc>,
) -> Result<(), DbErr> {
    const FORGET: &str = "
        DELETE FROM organization_reporting WHERE organization_id = ANY($1)
            AND stripe_customer_id IS NULL AND coalesce(last_reported_at, '-infinity') < $2";
    // Whatever else is kept by organization goes with it.
    const FORGET_THE_REST: &str = "
        WITH gone AS (
            SELECT id FROM unnest($1::uuid[]) AS id WHERE NOT EXISTS (
                SELECT FROM organization_reporting r WHERE r.organization_id = id)
        ), keys AS (
            DELETE FROM signing_keys k USING gone WHERE k.organization_id = gone.id
        ), conflicts AS (
            DELETE FROM report_conflicts c USING gone WHERE c.organization_id = gone.id
        ), refusals AS (
            DELETE FROM last_refusals l USING gone WHERE l.organization_id = gone.id
        ), networks AS (
            DELETE FROM organization_source_networks n USING gone WHERE n.organization_id = gone.id
        )
        DELETE FROM ignored_organizations WHERE organization_id = ANY($1)";
    let ids = organizations.to_vec();
    db.execute_raw(sql(FORGET, [ids.clone().into(), since.into()]))
        .await?;
    db.execute_raw(sql(FORGET_THE_REST, [ids.into()]))
        .await
        .map(drop)
}
