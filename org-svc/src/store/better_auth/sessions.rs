//! The table `session`. Tokens stand in it in plain, as Better Auth wants them.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, FromQueryResult};

use super::{Table, Tables};
use crate::domain::account::{NewSession, Session, SessionToken, UserId};

#[derive(FromQueryResult)]
struct Row {
    id: String,
    token: String,
    user_id: String,
    expires_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    ip_address: Option<String>,
    user_agent: Option<String>,
}

impl From<Row> for Session {
    fn from(row: Row) -> Self {
        let Row {
            id,
            token,
            user_id,
            expires_at,
            created_at,
            updated_at,
            ip_address,
            user_agent,
        } = row;
        Self {
            id,
            token: SessionToken::new(token),
            user_id: UserId(user_id),
            expires_at,
            created_at,
            updated_at,
            ip_address,
            user_agent,
        }
    }
}

const BY_TOKEN: &str = r#"
    SELECT "id"::text AS id, "token", "userId"::text AS user_id, "expiresAt"::timestamptz AS expires_at,
           "createdAt"::timestamptz AS created_at, "updatedAt"::timestamptz AS updated_at,
           "ipAddress" AS ip_address, "userAgent" AS user_agent
    FROM "session" WHERE "token" = $1"#;

const INSERT: &str = r#"
    INSERT INTO "session" ("id", "token", "userId", "expiresAt", "createdAt", "updatedAt", "ipAddress", "userAgent")
    VALUES ($7::new_id, $1, $2::user_id, $3, $4, $4, $5, $6)
    RETURNING "id"::text AS id"#;

const EXTEND: &str =
    r#"UPDATE "session" SET "expiresAt" = $2, "updatedAt" = $3 WHERE "token" = $1"#;

const DELETE_ALL: &str = r#"DELETE FROM "session" WHERE "userId" = $1::user_id"#;

const DELETE: &str = r#"DELETE FROM "session" WHERE "token" = $1"#;

impl Tables {
    /// The session that a token stands for, ended or not.
    pub(crate) async fn session(
        &self,
        db: &impl ConnectionTrait,
        token: &SessionToken,
    ) -> Result<Option<Session>, Fault> {
        let row = Row::find_by_statement(self.statement(
            Table::Session,
            BY_TOKEN,
            [token.expose().into()],
        ))
        .one(db)
        .await
        .map_err(db_fault)?;
        Ok(row.map(Session::from))
    }

    /// Stores a new session. `id` is `None` where the database makes it.
    pub(crate) async fn insert_session(
        &self,
        db: &impl ConnectionTrait,
        id: Option<String>,
        session: NewSession,
    ) -> Result<Session, Fault> {
        let NewSession {
            token,
            user_id,
            expires_at,
            created_at,
            ip_address,
            user_agent,
        } = session;
        let values = vec![
            token.expose().into(),
            user_id.0.as_str().into(),
            expires_at.into(),
            created_at.into(),
            ip_address.as_str().into(),
            user_agent.as_str().into(),
        ];
        let id = self.insert(db, Table::Session, INSERT, values, id).await?;
        Ok(Session {
            id,
            token,
            user_id,
            expires_at,
            created_at,
            updated_at: created_at,
            ip_address: Some(ip_address),
            user_agent: Some(user_agent),
        })
    }

    /// Moves a session's end; says whether the session was still there.
    pub(crate) async fn extend_session(
        &self,
        db: &impl ConnectionTrait,
        token: &SessionToken,
        expires_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<bool, Fault> {
        let values = [token.expose().into(), expires_at.into(), now.into()];
        let result = db
            .execute_raw(self.statement(Table::Session, EXTEND, values))
            .await
            .map_err(db_fault)?;
        Ok(result.rows_affected() > 0)
    }

    /// Ends every session of a user; says how many there were.
    pub(crate) async fn delete_sessions_of(
        &self,
        db: &impl ConnectionTrait,
        user: &UserId,
    ) -> Result<u64, Fault> {
        let result = db
            .execute_raw(self.statement(Table::Session, DELETE_ALL, [user.0.as_str().into()]))
            .await
            .map_err(db_fault)?;
        Ok(result.rows_affected())
    }

    /// Ends a session; one that is not there has ended already.
    pub(crate) async fn delete_session(
        &self,
        db: &impl ConnectionTrait,
        token: &SessionToken,
    ) -> Result<(), Fault> {
        db.execute_raw(self.statement(Table::Session, DELETE, [token.expose().into()]))
            .await
            .map_err(db_fault)?;
        Ok(())
    }
}
