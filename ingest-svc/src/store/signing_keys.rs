//! `signing_keys`: the keys that signed an organization's reports, at most five of each; and the one
//! that is pinned, in `organization_reporting`. Everything that writes holds the organization's lock.

use billing_kit_db::StoreError;
use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, Set, raw_sql,
    sea_query::{CaseStatement, Expr},
};
use uuid::Uuid;

use super::entities::reporting::{ActiveModel, Column, Entity, Scope as _};
use crate::domain::signing::{Fingerprint, KEYS_MAX, KeyRule, PublicKey, SeenKey};

/// A key as a parameter of an array; the empty text where there is none.
pub(super) fn hex(key: Option<PublicKey>) -> String {
    key.map(PublicKey::to_hex).unwrap_or_default()
}

/// Takes note of keys that signed reports. Where an organization has more than five then, those give
/// way that are not pinned and were seen on the fewest days, of these the least recently seen; a key
/// that is new stays, so that nobody can keep it out by filling the places.
pub(crate) async fn note(
    db: &impl ConnectionTrait,
    seen: &[(Uuid, PublicKey)],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    #[derive(FromQueryResult)]
    struct Row {
        organization_id: Uuid,
        is_new: bool,
    }
    let (ids, keys): (Vec<_>, Vec<_>) = seen.iter().map(|(id, key)| (*id, key.to_hex())).unzip();
    let note = raw_sql!(
        Postgres,
        "INSERT INTO signing_keys AS k (organization_id, public_key, first_seen_at, last_seen_at, day_count)
        SELECT id, decode(key, 'hex'), {now}, {now}, 1 FROM unnest({ids}::uuid[], {keys}::text[]) AS t (id, key)
        ORDER BY id, key
        ON CONFLICT (organization_id, public_key) DO UPDATE SET last_seen_at = excluded.last_seen_at,
            day_count = k.day_count + CASE WHEN (k.last_seen_at AT TIME ZONE 'UTC')::date
                < (excluded.last_seen_at AT TIME ZONE 'UTC')::date THEN 1 ELSE 0 END
        RETURNING organization_id, first_seen_at = last_seen_at AS is_new"
    );
    let rows = Row::find_by_statement(note).all(db).await?;
    let new: Vec<_> = rows
        .into_iter()
        .filter(|row| row.is_new)
        .map(|row| row.organization_id)
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    let give_way = raw_sql!(
        Postgres,
        "DELETE FROM signing_keys k USING (
            SELECT s.organization_id, s.public_key, row_number() OVER (PARTITION BY s.organization_id
                ORDER BY (s.public_key = r.pinned_key) IS TRUE DESC, s.first_seen_at = {now} DESC,
                    s.day_count DESC, s.last_seen_at DESC, s.public_key) AS place
            FROM signing_keys s JOIN organization_reporting r USING (organization_id)
            WHERE s.organization_id = ANY({new})) p
        WHERE k.organization_id = p.organization_id AND k.public_key = p.public_key AND p.place > {KEYS_MAX}"
    );
    db.execute_raw(give_way).await?;
    Ok(())
}

/// Sets which key an organization's reports must be signed with.
pub(crate) async fn set_rule(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    rule: &KeyRule,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let pinned = rule.pinned.map(|key| key.as_bytes().to_vec());
    let awaited = rule.awaited.map(|it| it.as_bytes().to_vec());
    let change = ActiveModel {
        pinned_key: Set(pinned.clone()),
        awaited_fingerprint: Set(awaited),
        ..Default::default()
    };
    // The key that is pinned already stays pinned since then.
    let pinned_at: Expr = match pinned {
        Some(key) => CaseStatement::new()
            .case(Column::PinnedKey.eq(key), Column::PinnedAt.into_expr())
            .finally(now)
            .into(),
        None => Expr::val(None::<DateTime<Utc>>),
    };
    Entity::update_many()
        .set(change)
        .col_expr(Column::PinnedAt, pinned_at)
        .of_organization(organization_id)
        .exec(db)
        .await?;
    Ok(())
}

/// Which key an organization's reports must be signed with, since when, and the keys that were seen.
#[derive(Debug)]
pub(crate) struct SigningKeys {
    pub(crate) rule: KeyRule,
    pub(crate) pinned_at: Option<DateTime<Utc>>,
    /// The pinned one first, then those seen on most days.
    pub(crate) seen: Vec<SeenKey>,
}

/// The keys of an organization; none where it never reported.
pub(crate) async fn get(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
) -> Result<Option<SigningKeys>, StoreError> {
    #[derive(FromQueryResult)]
    struct KeyRow {
        public_key: Vec<u8>,
        first_seen_at: DateTime<Utc>,
        last_seen_at: DateTime<Utc>,
        day_count: i32,
    }
    let rule = Entity::find_by_id(organization_id).one(db).await?;
    let Some(rule) = rule else {
        return Ok(None);
    };
    // The reports of a pinned key are not noted one by one: the latest says when it was seen.
    let keys = raw_sql!(
        Postgres,
        "SELECT k.public_key, k.first_seen_at, k.day_count,
            CASE WHEN k.public_key = r.last_signing_key
                THEN greatest(k.last_seen_at, r.last_reported_at) ELSE k.last_seen_at END AS last_seen_at
        FROM signing_keys k JOIN organization_reporting r USING (organization_id)
        WHERE k.organization_id = {organization_id}
        ORDER BY (k.public_key = r.pinned_key) IS TRUE DESC, k.day_count DESC, k.last_seen_at DESC, k.public_key"
    );
    let rows = KeyRow::find_by_statement(keys).all(db).await?;
    let seen = rows.into_iter().filter_map(|row| {
        Some(SeenKey {
            key: PublicKey::from_bytes(&row.public_key)?,
            first_seen_at: row.first_seen_at,
            last_seen_at: row.last_seen_at,
            day_count: row.day_count,
        })
    });
    Ok(Some(SigningKeys {
        rule: KeyRule {
            pinned: rule.pinned_key.and_then(|key| PublicKey::from_bytes(&key)),
            awaited: rule
                .awaited_fingerprint
                .and_then(|it| Fingerprint::from_bytes(&it)),
        },
        pinned_at: rule.pinned_at,
        seen: seen.collect(),
    }))
}

/// The UTC days from `first` to before `end` of which these organizations have no report that counts,
/// since the first report of each.
pub(crate) async fn missing_days(
    db: &impl ConnectionTrait,
    organizations: Vec<Uuid>,
    first: chrono::NaiveDate,
    end: chrono::NaiveDate,
) -> Result<Vec<(Uuid, chrono::NaiveDate)>, StoreError> {
    #[derive(FromQueryResult)]
    struct Row {
        organization_id: Uuid,
        day: chrono::NaiveDate,
    }
    let missing_days = raw_sql!(
        Postgres,
        "SELECT o.id AS organization_id, d.day::date AS day
        FROM unnest({organizations}::uuid[]) AS o (id)
        CROSS JOIN LATERAL (SELECT min(reported_at) AS reported_at FROM usage_reports
            WHERE organization_id = o.id) AS earliest
        CROSS JOIN LATERAL generate_series(greatest({first}::date::timestamp,
            date_trunc('day', earliest.reported_at AT TIME ZONE 'UTC')), {end}::date - 1, interval '1 day') AS d (day)
        WHERE NOT EXISTS (SELECT 1 FROM usage_reports u WHERE u.organization_id = o.id
                AND u.reported_at >= d.day AT TIME ZONE 'UTC'
                AND u.reported_at < (d.day + interval '1 day') AT TIME ZONE 'UTC'
                AND NOT (u.hold_reason IS NOT NULL AND u.delivery_state IN ('held', 'waiting', 'not_billed')))
            AND NOT EXISTS (SELECT 1 FROM usage_report_spool s WHERE s.organization_id = o.id
                AND s.reported_at >= d.day AT TIME ZONE 'UTC'
                AND s.reported_at < (d.day + interval '1 day') AT TIME ZONE 'UTC')
        ORDER BY o.id, d.day"
    );
    let rows = Row::find_by_statement(missing_days).all(db).await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.organization_id, row.day))
        .collect())
}
