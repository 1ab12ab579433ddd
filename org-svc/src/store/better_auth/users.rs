//! The table `user`.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, FromQueryResult};

use super::{Tables, statement};
use crate::domain::{
    account::{User, UserId},
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
            r#"SELECT "id", "name", "email", "emailVerified" AS email_verified, "image",
                      "createdAt"::timestamptz AS created_at, "updatedAt"::timestamptz AS updated_at
               FROM "user" "#,
            $rest
        )
    };
}

const GET: &str = select!(r#"WHERE "id" = $1"#);
const BY_EMAIL: &str = select!(r#"WHERE "email" = $1"#);
const LIST: &str = select!(r#"ORDER BY "createdAt", "id""#);
const INSERT: &str = r#"
    INSERT INTO "user" ("id", "name", "email", "emailVerified", "image", "createdAt", "updatedAt")
    VALUES ($1, $2, $3, $4, $5, $6, $7)"#;

impl Tables {
    /// One user.
    pub(crate) async fn user(
        &self,
        db: &impl ConnectionTrait,
        id: &UserId,
    ) -> Result<Option<User>, Fault> {
        let row = Row::find_by_statement(statement(GET, [id.0.as_str().into()]))
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
        let row = Row::find_by_statement(statement(BY_EMAIL, [email.as_str().into()]))
            .one(db)
            .await
            .map_err(db_fault)?;
        Ok(row.map(User::from))
    }

    /// Everybody who can sign in, the oldest first.
    pub(crate) async fn users(&self, db: &impl ConnectionTrait) -> Result<Vec<User>, Fault> {
        let rows = Row::find_by_statement(statement(LIST, []))
            .all(db)
            .await
            .map_err(db_fault)?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// Stores a new user.
    pub(crate) async fn insert_user(
        &self,
        db: &impl ConnectionTrait,
        user: &User,
    ) -> Result<(), Fault> {
        let User {
            id,
            name,
            email,
            email_verified,
            image,
            created_at,
            updated_at,
        } = user.clone();
        let values = [
            id.0.into(),
            name.into(),
            email.into(),
            email_verified.into(),
            image.into(),
            created_at.into(),
            updated_at.into(),
        ];
        db.execute_raw(statement(INSERT, values))
            .await
            .map_err(db_fault)?;
        Ok(())
    }
}
