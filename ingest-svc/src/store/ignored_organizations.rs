//! `ignored_organizations`: whose users are in no total.

use sea_orm::{ConnectionTrait, DbErr};
use uuid::Uuid;

use super::sql;

/// Takes note of which organizations are ignored and which are not. Answers whether that changed.
pub(crate) async fn set(
    db: &impl ConnectionTrait,
    organizations: &[(Uuid, bool)],
) -> Result<bool, DbErr> {
    const ADD: &str = "
        INSERT INTO ignored_organizations (organization_id) SELECT DISTINCT unnest($1::uuid[])
        ON CONFLICT DO NOTHING";
    const REMOVE: &str = "DELETE FROM ignored_organizations WHERE organization_id = ANY($1)";
    let of = |is_ignored| -> Vec<Uuid> {
        let chosen = organizations.iter().filter(|(_, it)| *it == is_ignored);
        chosen.map(|(id, _)| *id).collect()
    };
    let added = db.execute_raw(sql(ADD, [of(true).into()])).await?;
    let removed = db.execute_raw(sql(REMOVE, [of(false).into()])).await?;
    Ok(added.rows_affected() + removed.rows_affected() > 0)
}
