//! `last_refusals`: the last report of each known organization that was refused.

use billing_kit_db::{StoreError, query::column};
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, EntityTrait, raw_sql};
use uuid::Uuid;

use super::entities::last_refusals::{Entity, Model};
use crate::domain::refusal::{Refusal, RefusalReason};

/// How often the row of an organization is written: whoever sends nonsense in a loop writes no more.
const INTERVAL: TimeDelta = TimeDelta::seconds(10);

/// Takes note of refusals, of each organization the last; only of those that reported before, so that a
/// stranger cannot fill the table.
pub(crate) async fn note(
    db: &impl ConnectionTrait,
    refusals: &[Refusal],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let address = |it: &Refusal| it.source.map_or_else(String::new, |ip| ip.to_string());
    let organizations = column(refusals, |it| it.organization_id);
    let reasons = column(refusals, |it| it.reason.as_str().to_owned());
    let messages = column(refusals, |it| it.message.clone());
    let addresses = column(refusals, address);
    let before = now - INTERVAL;
    let note = raw_sql!(
        Postgres,
        "INSERT INTO last_refusals AS l (organization_id, refused_at, reason, message, source_address)
        SELECT DISTINCT ON (t.organization_id) t.organization_id, {now}, t.reason, t.message,
            nullif(t.source_address, '')::inet
        FROM unnest({organizations}::uuid[], {reasons}::text[], {messages}::text[], {addresses}::text[]) WITH ORDINALITY
            AS t (organization_id, reason, message, source_address, place)
        JOIN organization_reporting r ON r.organization_id = t.organization_id
            AND r.last_reported_at IS NOT NULL
        ORDER BY t.organization_id, t.place DESC
        ON CONFLICT (organization_id) DO UPDATE SET refused_at = excluded.refused_at,
            reason = excluded.reason, message = excluded.message,
            source_address = excluded.source_address
        WHERE l.refused_at <= {before}"
    );
    db.execute_raw(note).await?;
    Ok(())
}

/// The last refusal of an organization.
pub(crate) async fn last(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
) -> Result<Option<Refusal>, StoreError> {
    let row = Entity::find_by_id(organization_id).one(db).await?;
    row.map(|row| {
        let Model {
            organization_id,
            refused_at,
            reason,
            message,
            source_address,
        } = row;
        Ok(Refusal {
            organization_id,
            refused_at,
            reason: RefusalReason::parse(&reason)
                .ok_or_else(|| StoreError::unknown("reason", &reason))?,
            message,
            source: source_address.map(|network| network.ip()),
        })
    })
    .transpose()
}
