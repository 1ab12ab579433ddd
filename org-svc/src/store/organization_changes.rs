//! The table `organization_changes`: the feed of how organizations stand.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use super::{organizations, statement};
use crate::domain::organization::{Organization, OrganizationId};

/// How many changes one message of the feed holds.
pub(crate) const CHANGES_PER_MESSAGE_MAX: i64 = 500;

/// Held to the end of the transaction. Whoever is given a cursor commits before the next one is
/// given out, so a reader that has seen a cursor has seen every smaller one.
const LOCK_FEED: &str = "SELECT pg_advisory_xact_lock(hashtext('organization_changes'))";

const APPEND: &str = r"
    WITH change AS (
        INSERT INTO organization_changes (organization_id, changed_at)
        SELECT organization_id, $2 FROM unnest($1::uuid[]) AS changed (organization_id)
        ORDER BY organization_id
        RETURNING organization_id, cursor
    )
    UPDATE organizations AS o SET standing_version = change.cursor
    FROM change WHERE o.id = change.organization_id
    RETURNING o.id, o.standing_version";

#[derive(FromQueryResult)]
struct Version {
    id: Uuid,
    standing_version: i64,
}

/// Tells the feed that the standing of these organizations changed; answers with their new versions.
///
/// The last thing that a transaction does: it waits for every other writer of the feed, and makes
/// them wait to its own end. The organizations' rows are locked already.
pub(crate) async fn append(
    db: &impl ConnectionTrait,
    ids: &[OrganizationId],
    now: DateTime<Utc>,
) -> Result<Vec<(OrganizationId, i64)>, Fault> {
    db.execute_raw(statement(LOCK_FEED, []))
        .await
        .map_err(db_fault)?;
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let versions = Version::find_by_statement(statement(APPEND, [ids.into(), now.into()]))
        .all(db)
        .await
        .map_err(db_fault)?;
    Ok(versions
        .into_iter()
        .map(|row| (OrganizationId(row.id), row.standing_version))
        .collect())
}

const READ: &str = r"
    SELECT cursor, organization_id FROM organization_changes
    WHERE cursor > $1 ORDER BY cursor LIMIT $2";

#[derive(FromQueryResult)]
struct Change {
    cursor: i64,
    organization_id: Uuid,
}

/// The changes behind a cursor, each with its organization as it stands now, and the cursor to go on
/// from; `None` where there are none.
pub(crate) async fn read(
    db: &impl ConnectionTrait,
    cursor: i64,
) -> Result<Option<(Vec<Organization>, i64)>, Fault> {
    let values = [cursor.into(), CHANGES_PER_MESSAGE_MAX.into()];
    let changes = Change::find_by_statement(statement(READ, values))
        .all(db)
        .await
        .map_err(db_fault)?;
    let Some(last) = changes.last().map(|change| change.cursor) else {
        return Ok(None);
    };
    let mut ids: Vec<_> = changes
        .iter()
        .map(|change| OrganizationId(change.organization_id))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let standing: std::collections::HashMap<_, _> = organizations::get_many(db, &ids)
        .await?
        .into_iter()
        .map(|organization| (organization.id, organization))
        .collect();
    let in_order = changes
        .iter()
        .filter_map(|change| {
            standing
                .get(&OrganizationId(change.organization_id))
                .cloned()
        })
        .collect();
    Ok(Some((in_order, last)))
}
