//! The table `api_keys`.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use super::{statement, unknown_word};
use crate::domain::{
    account::UserId,
    api_key::{Access, ApiKey, ApiKeyId, ApiKeyName, Secret},
    keyset::Keyset,
    page::PageSize,
};

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    name: String,
    secret_prefix: String,
    access: String,
    admin_user_id: String,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    last_used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for ApiKey {
    type Error = Fault;

    fn try_from(row: Row) -> Result<Self, Fault> {
        let Row {
            id,
            name,
            secret_prefix,
            access,
            admin_user_id,
            created_at,
            expires_at,
            last_used_at,
            revoked_at,
        } = row;
        Ok(Self {
            id: ApiKeyId(id),
            name: ApiKeyName::stored(name),
            secret_prefix,
            access: Access::parse(&access).ok_or_else(|| unknown_word("access", &access))?,
            admin_user_id: UserId(admin_user_id),
            created_at,
            expires_at,
            last_used_at,
            revoked_at,
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, secret_prefix, access, admin_user_id, created_at, expires_at, last_used_at, revoked_at
             FROM api_keys ",
            $rest
        )
    };
}

const INSERT: &str = r"
    INSERT INTO api_keys (id, name, secret_hash, secret_prefix, access, admin_user_id, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

/// Stores a new key, with the hash of its secret.
pub(crate) async fn insert(
    db: &impl ConnectionTrait,
    key: &ApiKey,
    secret: &Secret,
) -> Result<(), Fault> {
    let values = [
        key.id.0.into(),
        key.name.as_str().into(),
        secret.hash().to_vec().into(),
        key.secret_prefix.as_str().into(),
        key.access.as_str().into(),
        key.admin_user_id.0.as_str().into(),
        key.created_at.into(),
        key.expires_at.into(),
    ];
    db.execute_raw(statement(INSERT, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}

const BY_SECRET: &str = select!("WHERE secret_hash = $1");

/// The key of a secret.
pub(crate) async fn by_secret(
    db: &impl ConnectionTrait,
    secret: &Secret,
) -> Result<Option<ApiKey>, Fault> {
    let values = [secret.hash().to_vec().into()];
    let row = Row::find_by_statement(statement(BY_SECRET, values))
        .one(db)
        .await
        .map_err(db_fault)?;
    row.map(ApiKey::try_from).transpose()
}

const LOCK: &str = select!("WHERE id = $1 FOR UPDATE");

/// A key, locked to the end of the transaction.
pub(crate) async fn lock(db: &impl ConnectionTrait, id: ApiKeyId) -> Result<Option<ApiKey>, Fault> {
    let row = Row::find_by_statement(statement(LOCK, [id.0.into()]))
        .one(db)
        .await
        .map_err(db_fault)?;
    row.map(ApiKey::try_from).transpose()
}

const LIST: &str = select!(
    "WHERE $1::timestamptz IS NULL OR (created_at, id) < ($1, $2)
     ORDER BY created_at DESC, id DESC LIMIT $3"
);

/// A page, the newest first, and whether there is more behind it.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    after: Option<Keyset>,
    size: PageSize,
) -> Result<(Vec<ApiKey>, bool), Fault> {
    let values = [
        after.map(|end| end.at).into(),
        after.map(|end| end.id).into(),
        // One more than the page holds tells whether there is another.
        (i64::from(size.get()) + 1).into(),
    ];
    let mut rows = Row::find_by_statement(statement(LIST, values))
        .all(db)
        .await
        .map_err(db_fault)?;
    let more = rows.len() > usize::from(size.get());
    rows.truncate(size.get().into());
    let keys = rows.into_iter().map(ApiKey::try_from);
    Ok((keys.collect::<Result<_, _>>()?, more))
}

const REVOKE: &str = "UPDATE api_keys SET revoked_at = $2 WHERE id = $1";

/// Ends a key.
pub(crate) async fn revoke(
    db: &impl ConnectionTrait,
    id: ApiKeyId,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    db.execute_raw(statement(REVOKE, [id.0.into(), now.into()]))
        .await
        .map_err(db_fault)?;
    Ok(())
}

const REVOKE_ALL_OF: &str =
    "UPDATE api_keys SET revoked_at = $2 WHERE admin_user_id = $1 AND revoked_at IS NULL";

/// Ends every key of an admin that has not been revoked; says how many there were.
pub(crate) async fn revoke_all_of(
    db: &impl ConnectionTrait,
    user_id: &UserId,
    now: DateTime<Utc>,
) -> Result<u64, Fault> {
    let values = [user_id.0.as_str().into(), now.into()];
    let result = db
        .execute_raw(statement(REVOKE_ALL_OF, values))
        .await
        .map_err(db_fault)?;
    Ok(result.rows_affected())
}

const NOTE_USE: &str = "UPDATE api_keys SET last_used_at = $2 WHERE id = $1";

/// Notes that a key was used.
pub(crate) async fn note_use(
    db: &impl ConnectionTrait,
    id: ApiKeyId,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    db.execute_raw(statement(NOTE_USE, [id.0.into(), now.into()]))
        .await
        .map_err(db_fault)?;
    Ok(())
}
