//! The table `account`: of it, the rows that hold a password.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, FromQueryResult};

use super::{Table, Tables};
use crate::domain::account::{CREDENTIAL_PROVIDER, UserId};

/// What versions 1.7.0 to 1.7.2 wrote to `issuer`.
const CREDENTIAL_ISSUER: &str = "local:credential";

/// Up to 1.6 the provider alone made the row; since 1.7 `accountId` is the user's id too.
const PASSWORD: &str = r#"
    SELECT "password" FROM "account"
    WHERE "userId" = $1::user_id AND "providerId" = $2
    ORDER BY "accountId" = $1 DESC, "createdAt" DESC
    LIMIT 1"#;

const SET_PASSWORD: &str = r#"
    UPDATE "account" SET "password" = $3, "updatedAt" = $4
    WHERE "userId" = $1::user_id AND "providerId" = $2"#;

const REPLACE_PASSWORD: &str = r#"
    UPDATE "account" SET "password" = $3, "updatedAt" = $4
    WHERE "userId" = $1::user_id AND "providerId" = $2 AND "password" = $5"#;

const INSERT: &str = r#"
    INSERT INTO "account" ("id", "accountId", "providerId", "userId", "password", "createdAt", "updatedAt")
    VALUES ($5::new_id, $1, $2, $1::user_id, $3, $4, $4)
    RETURNING "id"::text AS id"#;

const INSERT_WITH_ISSUER: &str = r#"
    INSERT INTO "account" ("id", "accountId", "providerId", "userId", "password", "createdAt", "updatedAt", "issuer")
    VALUES ($6::new_id, $1, $2, $1::user_id, $3, $4, $4, $5)
    RETURNING "id"::text AS id"#;

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
        let row = Row::find_by_statement(self.statement(Table::Account, PASSWORD, values))
            .one(db)
            .await
            .map_err(db_fault)?;
        Ok(row.and_then(|row| row.password))
    }

    /// Sets a user's password, whatever it was; says whether there was a row for it.
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
            .execute_raw(self.statement(Table::Account, SET_PASSWORD, values))
            .await
            .map_err(db_fault)?;
        Ok(result.rows_affected() > 0)
    }

    /// Replaces a user's password where it still is the one that was shown; says whether it was.
    pub(crate) async fn replace_password_hash(
        &self,
        db: &impl ConnectionTrait,
        user_id: &UserId,
        known: &str,
        hash: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, Fault> {
        let values = [
            user_id.0.as_str().into(),
            CREDENTIAL_PROVIDER.into(),
            hash.into(),
            now.into(),
            known.into(),
        ];
        let result = db
            .execute_raw(self.statement(Table::Account, REPLACE_PASSWORD, values))
            .await
            .map_err(db_fault)?;
        Ok(result.rows_affected() > 0)
    }

    /// Stores a user's first password.
    pub(crate) async fn insert_credential_account(
        &self,
        db: &impl ConnectionTrait,
        id: Option<String>,
        user_id: &UserId,
        hash: &str,
        now: DateTime<Utc>,
    ) -> Result<(), Fault> {
        let mut values = vec![
            user_id.0.as_str().into(),
            CREDENTIAL_PROVIDER.into(),
            hash.into(),
            now.into(),
        ];
        let sql = if self.0.account_issuer {
            values.push(CREDENTIAL_ISSUER.into());
            INSERT_WITH_ISSUER
        } else {
            INSERT
        };
        self.insert(db, Table::Account, sql, values, id).await?;
        Ok(())
    }
}
