//! `organizations.ignored_at`, and the groups in which pending organizations are decided upon.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, FromQueryResult, Value};
use uuid::Uuid;

use super::statement;
use crate::domain::{
    ignoring::{GROUP_MIN, GROUPS_MAX, PendingGroup},
    organization::{OrganizationId, SourceNetwork},
};

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
}

/// Linked ones are left out: the caller has looked at them under their locks.
const IGNORE: &str = r"
    UPDATE organizations SET ignored_at = $2, updated_at = $2
    WHERE id = ANY($1) AND stripe_customer_id IS NULL AND ignored_at IS NULL
    RETURNING id";
const RESTORE: &str = r"
    UPDATE organizations SET ignored_at = NULL, updated_at = $2
    WHERE id = ANY($1) AND ignored_at IS NOT NULL
    RETURNING id";

/// Ignores pending organizations; answers which of them were not ignored before.
pub(crate) async fn ignore(
    db: &impl ConnectionTrait,
    ids: &[OrganizationId],
    now: DateTime<Utc>,
) -> Result<Vec<OrganizationId>, Fault> {
    update(db, IGNORE, ids, now).await
}

/// Brings ignored organizations back; answers which.
pub(crate) async fn restore(
    db: &impl ConnectionTrait,
    ids: &[OrganizationId],
    now: DateTime<Utc>,
) -> Result<Vec<OrganizationId>, Fault> {
    update(db, RESTORE, ids, now).await
}

async fn update(
    db: &impl ConnectionTrait,
    sql: &'static str,
    ids: &[OrganizationId],
    now: DateTime<Utc>,
) -> Result<Vec<OrganizationId>, Fault> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    rows(db, sql, [ids.into(), now.into()]).await
}

/// Locked in the order of their ids, as every batch of organizations is.
const LOCK_GROUP: &str = r"
    SELECT id FROM organizations
    WHERE source_network = $1 AND stripe_customer_id IS NULL
        AND (ignored_at IS NOT NULL) = $2 AND created_at <= $3
    ORDER BY id LIMIT $4 FOR NO KEY UPDATE";

/// Locks what a network's pending organizations (or its ignored ones) are, up to a number, of those
/// that came until a moment.
pub(crate) async fn lock_group(
    db: &impl ConnectionTrait,
    network: &SourceNetwork,
    is_ignored: bool,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<OrganizationId>, Fault> {
    let values = [
        network.as_str().into(),
        is_ignored.into(),
        until.into(),
        limit.into(),
    ];
    rows(db, LOCK_GROUP, values).await
}

async fn rows<const N: usize>(
    db: &impl ConnectionTrait,
    sql: &'static str,
    values: [Value; N],
) -> Result<Vec<OrganizationId>, Fault> {
    let rows = Row::find_by_statement(statement(sql, values))
        .all(db)
        .await
        .map_err(db_fault)?;
    Ok(rows.into_iter().map(|row| OrganizationId(row.id)).collect())
}

const GROUPS: &str = r"
    SELECT source_network, count(*) AS organization_count,
        min(created_at) AS first_created_at, max(created_at) AS last_created_at
    FROM organizations
    WHERE stripe_customer_id IS NULL AND ignored_at IS NULL AND source_network IS NOT NULL
    GROUP BY source_network HAVING count(*) >= $1
    ORDER BY organization_count DESC, source_network LIMIT $2";

/// The networks that brought many pending organizations, those with the most first.
pub(crate) async fn groups(db: &impl ConnectionTrait) -> Result<Vec<PendingGroup>, Fault> {
    #[derive(FromQueryResult)]
    struct Group {
        source_network: String,
        organization_count: i64,
        first_created_at: DateTime<Utc>,
        last_created_at: DateTime<Utc>,
    }
    let values = [GROUP_MIN.into(), GROUPS_MAX.into()];
    let rows = Group::find_by_statement(statement(GROUPS, values))
        .all(db)
        .await
        .map_err(db_fault)?;
    let groups = rows.into_iter().map(
        |Group {
             source_network,
             organization_count,
             first_created_at,
             last_created_at,
         }| PendingGroup {
            source_network: SourceNetwork::stored(source_network),
            organization_count,
            first_created_at,
            last_created_at,
        },
    );
    Ok(groups.collect())
}
