//! The table `account`: of it, the rows that hold a password.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, FromQueryResult};

use super::{Tables, statement};
use crate::domain::account::{CREDENTIAL_PROVIDER, UserId};

/// What versions 1.7.0 to 1.7.2 wrote to `issuer`.
const CREDENTIAL_ISSUER: &str = "local:credential";

/// Up to 1.6 the provider alone made the row; since 1.7 `accountId` is the user's id too.
const PASSWORD: &str = r#"
    SELECT "password" FROM "account"
    WHERE "userId" = $1 AND "providerId" = $2
    ORDER BY "accountId" = $1 DESC, "createdAt" DESC
    LIMIT 1"#;

const SET_PASSWORD: &str = r#"
    UPDATE "account" SET "password" = $3, "updatedAt" = $4
    WHERE "userId" = $1 AND "providerId" = $2"#;

const INSERT: &str = r#"
    INSERT INTO "account" ("id", "accountId", "providerId", "userId", "password", "createdAt", "updatedAt")
    VALUES ($1, $2, $3, $2, $4, $5, $5)"#;

const INSERT_WITH_ISSUER: &str = r#"
    INSERT INTO "account" ("id", "accountId", "providerId", "userId", "password", "createdAt", "updatedAt", "issuer")
    VALUES ($1, $2, $3, $2, $4, $5, $5, $6)"#;

#[derive(FromQueryResult)]
struct Row {
    password: Option<String>,
}

impl Tables {
    /// The stored hash of a user's password; `None` for a user who has none.
    pub(crate) async fn password_hash(
        &self,
        db: &impl ConnectionTrait,
        user_id: &UserId,
    ) -> Result<Option<String>, Fault> {
        let values = [user_id.0.as_str().into(), CREDENTIAL_PROVIDER.into()];
        let row = Row::find_by_statement(statement(PASSWORD, values))
            .one(db)
            .await
            .map_err(db_fault)?;
        Ok(row.and_then(|row| row.password))
    }

    /// Replaces a user's password; says whether there was a row for it.
    pub(crate) async fn set_password_hash(
        &self,
        db: &impl ConnectionTrait,
        user_id: &UserId,
        hash: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, Fault> {
        let values = [
            user_id.0.as_str().into(),
            CREDENTIAL_PROVIDER.into(),
            hash.into(),
            now.into(),
        ];
        let result = db
            .execute_raw(statement(SET_PASSWORD, values))
            .await
            .map_err(db_fault)?;
        Ok(result.rows_affected() > 0)
    }

    /// Stores a user's first password.
    pub(crate) async fn insert_credential_account(
        &self,
        db: &impl ConnectionTrait,
        id: String,
        user_id: &UserId,
        hash: &str,
        now: DateTime<Utc>,
    ) -> Result<(), Fault> {
        let mut values = vec![
            id.into(),
            user_id.0.as_str().into(),
            CREDENTIAL_PROVIDER.into(),
            hash.into(),
            now.into(),
        ];
        let sql = if self.account_issuer {
            values.push(CREDENTIAL_ISSUER.into());
            INSERT_WITH_ISSUER
        } else {
            INSERT
        };
        db.execute_raw(statement(sql, values))
            .await
            .map_err(db_fault)?;
        Ok(())
    }
}
