//! The table `sign_in_failures`: attempts at passwords that failed, counted by hour, account and
//! network, so that an attacker cannot fill it.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, FromQueryResult};
use serde_json::{Map, json};
use uuid::Uuid;

use super::{audit_events::Picked, statement};
use crate::domain::{
    account::UserId,
    audit::Recorded,
    keyset::Keyset,
    page::PageSize,
    sign_in_failure::{FailedAction, Failure},
};

/// Networks beyond so many rows of an hour are counted together.
const ROWS_OF_AN_HOUR_MAX: i64 = 200;
/// How long failures are kept.
const KEPT: TimeDelta = TimeDelta::days(90);
/// How many old rows go with each new one.
const FORGOTTEN_AT_ONCE: i64 = 100;

const COUNT_ANOTHER: &str = r"
    UPDATE sign_in_failures
    SET wrong_count = wrong_count + $5, refused_count = refused_count + $6,
        last_at = greatest(last_at, $7), client_address = $8::inet
    WHERE hour_at = $1 AND action = $2 AND user_id = $3 AND network = $4";

const HAS_ROOM: &str = "SELECT count(*) < $2 AS has_room FROM sign_in_failures WHERE hour_at = $1";

const INSERT: &str = r"
    INSERT INTO sign_in_failures AS f (id, hour_at, action, user_id, network, wrong_count,
        refused_count, first_at, last_at, client_address)
    VALUES ($9, $1, $2, $3, $4, $5, $6, $7, $7, $8::inet)
    ON CONFLICT (hour_at, action, user_id, network) DO UPDATE
    SET wrong_count = f.wrong_count + $5, refused_count = f.refused_count + $6,
        last_at = greatest(f.last_at, $7), client_address = $8::inet";

const FORGET: &str = r"
    DELETE FROM sign_in_failures WHERE id IN (
        SELECT id FROM sign_in_failures WHERE first_at < $1
        ORDER BY first_at LIMIT $2 FOR UPDATE SKIP LOCKED)";

#[derive(FromQueryResult)]
struct Room {
    has_room: bool,
}

/// Counts a failure; says whether it is the first of its row.
pub(crate) async fn count(
    db: &impl ConnectionTrait,
    id: Uuid,
    failure: &Failure<'_>,
) -> Result<bool, Fault> {
    let values = |network: &str| {
        [
            failure.hour_at().into(),
            failure.action.as_str().into(),
            failure.user_id.map_or("", |id| &id.0).into(),
            network.into(),
            i64::from(!failure.is_refused).into(),
            i64::from(failure.is_refused).into(),
            failure.at.into(),
            failure.address.map(|address| address.to_string()).into(),
        ]
    };
    let network = failure.network();
    let counted = db
        .execute_raw(statement(COUNT_ANOTHER, values(&network)))
        .await
        .map_err(db_fault)?;
    if counted.rows_affected() > 0 {
        return Ok(false);
    }
    let room = [failure.hour_at().into(), ROWS_OF_AN_HOUR_MAX.into()];
    let room = Room::find_by_statement(statement(HAS_ROOM, room))
        .one(db)
        .await
        .map_err(db_fault)?;
    let has_room = room.is_some_and(|room| room.has_room);
    let network = if has_room { &*network } else { "" };
    if !has_room {
        let counted = db
            .execute_raw(statement(COUNT_ANOTHER, values(network)))
            .await
            .map_err(db_fault)?;
        if counted.rows_affected() > 0 {
            return Ok(false);
        }
    }
    let values = values(network).into_iter().chain([id.into()]);
    db.execute_raw(statement(INSERT, values))
        .await
        .map_err(db_fault)?;
    let forget = [(failure.at - KEPT).into(), FORGOTTEN_AT_ONCE.into()];
    db.execute_raw(statement(FORGET, forget))
        .await
        .map_err(db_fault)?;
    Ok(true)
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    action: String,
    user_id: String,
    network: String,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
    wrong_count: i64,
    refused_count: i64,
    client_address: Option<String>,
}

impl From<Row> for Recorded {
    fn from(row: Row) -> Self {
        let Row {
            id,
            action,
            user_id,
            network,
            first_at,
            last_at,
            wrong_count,
            refused_count,
            client_address,
        } = row;
        let mut after = Map::new();
        for (name, count) in [("wrong", wrong_count), ("too_often", refused_count)] {
            if count > 0 {
                after.insert(name.to_owned(), json!(count));
            }
        }
        if !network.is_empty() {
            after.insert("network".to_owned(), json!(network));
        }
        let last = last_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        after.insert("last_at".to_owned(), json!(last));
        Self {
            id,
            occurred_at: first_at,
            action,
            organization_id: None,
            admin_user_id: (!user_id.is_empty()).then_some(UserId(user_id)),
            api_key_id: None,
            client_address: client_address.and_then(|address| address.parse().ok()),
            request_id: None,
            before: None,
            after: Some(after.into()),
        }
    }
}

const LIST: &str = r"
    SELECT id, action, user_id, network, first_at, last_at, wrong_count, refused_count,
           host(client_address) AS client_address
    FROM sign_in_failures
    WHERE ($1::text IS NULL OR user_id = $1)
      AND ($2::text IS NULL OR action = $2)
      AND ($3::timestamptz IS NULL OR first_at >= $3)
      AND ($4::timestamptz IS NULL OR first_at < $4)
      AND ($5::timestamptz IS NULL OR (first_at, id) < ($5, $6))
    ORDER BY first_at DESC, id DESC LIMIT $7";

/// The failures that a page of the trail may show, the latest first: one more than fit.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    picked: &Picked<'_>,
    after: Option<Keyset>,
    size: PageSize,
) -> Result<Vec<Recorded>, Fault> {
    let Picked {
        organization_id,
        admin_user_id,
        action,
        since,
        until,
    } = picked;
    let is_of_another_table = action.is_some_and(|word| FailedAction::from_word(word).is_none());
    if organization_id.is_some() || is_of_another_table {
        return Ok(Vec::new());
    }
    let values = [
        admin_user_id.map(|id| id.0.as_str()).into(),
        (*action).into(),
        (*since).into(),
        (*until).into(),
        after.map(|end| end.at).into(),
        after.map(|end| end.id).into(),
        (i64::from(size.get()) + 1).into(),
    ];
    let rows = Row::find_by_statement(statement(LIST, values))
        .all(db)
        .await
        .map_err(db_fault)?;
    Ok(rows.into_iter().map(Recorded::from).collect())
}
