//! The table `user`.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, FromQueryResult};

use super::{Table, Tables};
use crate::domain::{
    account::{NewUser, Restrictions, User, UserId},
    email::EmailAddress,
};

#[derive(FromQueryResult)]
struct Row {
    id: String,
    name: String,
    email: String,
    email_verified: bool,
    image: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for User {
    fn from(row: Row) -> Self {
        let Row {
            id,
            name,
            email,
            email_verified,
            image,
            created_at,
            updated_at,
        } = row;
        Self {
            id: UserId(id),
            name,
            email,
            email_verified,
            image,
            created_at,
            updated_at,
        }
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            r#"SELECT "id"::text AS id, "name", "email", "emailVerified" AS email_verified, "image",
                      "createdAt"::timestamptz AS created_at, "updatedAt"::timestamptz AS updated_at
               FROM "user" "#,
            $rest
        )
    };
}

const GET: &str = select!(r#"WHERE "id" = $1::user_id"#);
const BY_EMAIL: &str = select!(r#"WHERE "email" = $1"#);
const LIST: &str = select!(r#"ORDER BY "createdAt", "id""#);
const INSERT: &str = r#"
    INSERT INTO "user" ("id", "name", "email", "emailVerified", "createdAt", "updatedAt")
    VALUES ($4::new_id, $1, $2, false, $3, $3)
    RETURNING "id"::text AS id"#;

/// The plugins' columns may be there or not, under either name, with times of either type: as JSON
/// what is not there is null.
const RESTRICTIONS: &str = r#"
    SELECT coalesce((plugins ->> 'banned')::boolean, false) AS banned,
           CASE WHEN ban_end ~ '^[0-9]+$' THEN to_timestamp(ban_end::numeric / 1000)
                ELSE ban_end::timestamptz END AS ban_expires_at,
           coalesce((second_factor)::boolean, false) AS second_factor
    FROM (SELECT to_jsonb(u) AS plugins,
                 coalesce(to_jsonb(u) ->> 'banExpires', to_jsonb(u) ->> 'ban_expires') AS ban_end,
                 coalesce(to_jsonb(u) ->> 'twoFactorEnabled', to_jsonb(u) ->> 'two_factor_enabled') AS second_factor
          FROM "user" AS u WHERE u."id" = $1::user_id) AS one"#;

#[derive(FromQueryResult)]
struct RestrictionsRow {
    banned: bool,
    ban_expires_at: Option<DateTime<Utc>>,
    second_factor: bool,
}

impl Tables {
    /// One user.
    pub(crate) async fn user(
        &self,
        db: &impl ConnectionTrait,
        id: &UserId,
    ) -> Result<Option<User>, Fault> {
        let row = Row::find_by_statement(self.statement(Table::User, GET, [id.0.as_str().into()]))
            .one(db)
            .await
            .map_err(db_fault)?;
        Ok(row.map(User::from))
    }

    /// The user with this address, in any case.
    pub(crate) async fn user_by_email(
        &self,
        db: &impl ConnectionTrait,
        email: &EmailAddress,
    ) -> Result<Option<User>, Fault> {
        let email = email.to_lowercase();
        let row =
            Row::find_by_statement(self.statement(Table::User, BY_EMAIL, [email.as_str().into()]))
                .one(db)
                .await
                .map_err(db_fault)?;
        Ok(row.map(User::from))
    }

    /// Everybody who can sign in, the oldest first.
    pub(crate) async fn users(&self, db: &impl ConnectionTrait) -> Result<Vec<User>, Fault> {
        let rows = Row::find_by_statement(self.statement(Table::User, LIST, []))
            .all(db)
            .await
            .map_err(db_fault)?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// What the plugins of the deployment say against a user. Nothing, of one who is not there.
    pub(crate) async fn restrictions(
        &self,
        db: &impl ConnectionTrait,
        id: &UserId,
    ) -> Result<Restrictions, Fault> {
        let values = [id.0.as_str().into()];
        let row =
            RestrictionsRow::find_by_statement(self.statement(Table::User, RESTRICTIONS, values))
                .one(db)
                .await
                .map_err(db_fault)?;
        let RestrictionsRow {
            banned,
            ban_expires_at,
            second_factor,
        } = row.unwrap_or(RestrictionsRow {
            banned: false,
            ban_expires_at: None,
            second_factor: false,
        });
        Ok(Restrictions {
            banned,
            ban_expires_at,
            second_factor,
        })
    }

    /// Stores a new user. `id` is `None` where the database makes it.
    pub(crate) async fn insert_user(
        &self,
        db: &impl ConnectionTrait,
        id: Option<String>,
        user: NewUser,
    ) -> Result<User, Fault> {
        let NewUser {
            name,
            email,
            created_at,
        } = user;
        let values = vec![
            name.as_str().into(),
            email.as_str().into(),
            created_at.into(),
        ];
        let id = self.insert(db, Table::User, INSERT, values, id).await?;
        Ok(User {
            id: UserId(id),
            name,
            email,
            email_verified: false,
            image: None,
            created_at,
            updated_at: created_at,
        })
    }
}
