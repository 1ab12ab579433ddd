//! `ignored_organizations`: whose users are in no total.

use billing_kit_db::StoreError;
use sea_orm::{ConnectionTrait, EntityTrait, raw_sql};
use uuid::Uuid;

use super::entities::ignored_organizations::{Entity, Scope as _};

/// Takes note of which organizations are ignored and which are not. Answers whether that changed.
pub(crate) async fn set(
    db: &impl ConnectionTrait,
    organizations: &[(Uuid, bool)],
) -> Result<bool, StoreError> {
    let of = |is_ignored| -> Vec<Uuid> {
        let chosen = organizations.iter().filter(|(_, it)| *it == is_ignored);
        chosen.map(|(id, _)| *id).collect()
    };
    let ignored = of(true);
    let add = raw_sql!(
        Postgres,
        "INSERT INTO ignored_organizations (organization_id) SELECT DISTINCT unnest({ignored}::uuid[])
        ON CONFLICT DO NOTHING"
    );
    let added = db.execute_raw(add).await?.rows_affected();
    let removed = Entity::delete_many().among(of(false)).exec(db).await?;
    Ok(added + removed.rows_affected > 0)
}
