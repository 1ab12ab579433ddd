//! `last_refusals`: the last report of each known organization that was refused.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use uuid::Uuid;

use super::{sql, unknown_word};
use crate::domain::refusal::{Refusal, RefusalReason};

/// How often the row of an organization is written: whoever sends nonsense in a loop writes no more.
const INTERVAL: TimeDelta = TimeDelta::seconds(10);

/// Takes note of refusals, of each organization the last; only of those that reported before, so that a
/// stranger cannot fill the table.
pub(crate) async fn note(
    db: &impl ConnectionTrait,
    refusals: &[Refusal],
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    const NOTE: &str = "
        INSERT INTO last_refusals AS l (organization_id, refused_at, reason, message, source_address)
        SELECT DISTINCT ON (t.organization_id) t.organization_id, $5, t.reason, t.message,
            nullif(t.source_address, '')::inet
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
            AS t (organization_id, reason, message, source_address, place)
        JOIN organization_reporting r ON r.organization_id = t.organization_id
            AND r.last_reported_at IS NOT NULL
        ORDER BY t.organization_id, t.place DESC
        ON CONFLICT (organization_id) DO UPDATE SET refused_at = excluded.refused_at,
            reason = excluded.reason, message = excluded.message,
            source_address = excluded.source_address
        WHERE l.refused_at <= $6";
    fn column<T>(refusals: &[Refusal], of: impl Fn(&Refusal) -> T) -> Vec<T> {
        refusals.iter().map(of).collect()
    }
    let address = |it: &Refusal| it.source.map_or_else(String::new, |ip| ip.to_string());
    let values = [
        column(refusals, |it| it.organization_id).into(),
        column(refusals, |it| it.reason.as_str().to_owned()).into(),
        column(refusals, |it| it.message.clone()).into(),
        column(refusals, address).into(),
        now.into(),
        (now - INTERVAL).into(),
    ];
    db.execute_raw(sql(NOTE, values)).await.map(drop)
}

/// The last refusal of an organization.
pub(crate) async fn last(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
) -> Result<Option<Refusal>, DbErr> {
    #[derive(FromQueryResult)]
    struct Row {
        refused_at: DateTime<Utc>,
        reason: String,
        message: String,
        source_address: Option<String>,
    }
    const LAST: &str = "
        SELECT refused_at, reason, message, host(source_address) AS source_address
        FROM last_refusals WHERE organization_id = $1";
    let row = Row::find_by_statement(sql(LAST, [organization_id.into()]))
        .one(db)
        .await?;
    row.map(|row| {
        Ok(Refusal {
            organization_id,
            refused_at: row.refused_at,
            reason: RefusalReason::parse(&row.reason)
                .ok_or_else(|| unknown_word("reason", &row.reason))?,
            message: row.message,
            source: row.source_address.and_then(|it| it.parse().ok()),
        })
    })
    .transpose()
}
