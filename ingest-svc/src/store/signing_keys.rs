//! `signing_keys`: the keys that signed an organization's reports, at most five of each; and the one
//! that is pinned, in `organization_reporting`. Everything that writes holds the organization's lock.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use uuid::Uuid;

use super::sql;
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
) -> Result<(), DbErr> {
    #[derive(FromQueryResult)]
    struct Row {
        organization_id: Uuid,
        is_new: bool,
    }
    const NOTE: &str = "
        INSERT INTO signing_keys AS k (organization_id, public_key, first_seen_at, last_seen_at, day_count)
        SELECT id, decode(key, 'hex'), $3, $3, 1 FROM unnest($1::uuid[], $2::text[]) AS t (id, key)
        ORDER BY id, key
        ON CONFLICT (organization_id, public_key) DO UPDATE SET last_seen_at = excluded.last_seen_at,
            day_count = k.day_count + CASE WHEN (k.last_seen_at AT TIME ZONE 'UTC')::date
                < (excluded.last_seen_at AT TIME ZONE 'UTC')::date THEN 1 ELSE 0 END
        RETURNING organization_id, first_seen_at = last_seen_at AS is_new";
    const GIVE_WAY: &str = "
        DELETE FROM signing_keys k USING (
            SELECT s.organization_id, s.public_key, row_number() OVER (PARTITION BY s.organization_id
                ORDER BY (s.public_key = r.pinned_key) IS TRUE DESC, s.first_seen_at = $2 DESC,
                    s.day_count DESC, s.last_seen_at DESC, s.public_key) AS place
            FROM signing_keys s JOIN organization_reporting r USING (organization_id)
            WHERE s.organization_id = ANY($1)) p
        WHERE k.organization_id = p.organization_id AND k.public_key = p.public_key AND p.place > $3";
    let (ids, keys): (Vec<_>, Vec<_>) = seen.iter().map(|(id, key)| (*id, key.to_hex())).unzip();
    let rows = Row::find_by_statement(sql(NOTE, [ids.into(), keys.into(), now.into()]))
        .all(db)
        .await?;
    let new: Vec<_> = rows
        .into_iter()
        .filter(|row| row.is_new)
        .map(|row| row.organization_id)
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    db.execute_raw(sql(GIVE_WAY, [new.into(), now.into(), KEYS_MAX.into()]))
        .await
        .map(drop)
}

/// Sets which key an organization's reports must be signed with.
pub(crate) async fn set_rule(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    rule: &KeyRule,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    const SET_RULE: &str = "
        UPDATE organization_reporting SET pinned_key = $2, awaited_fingerprint = $3,
            pinned_at = CASE WHEN $2::bytea IS NULL THEN NULL WHEN pinned_key = $2 THEN pinned_at
                ELSE $4::timestamptz END
        WHERE organization_id = $1";
    let values = [
        organization_id.into(),
        rule.pinned.map(|key| key.as_bytes().to_vec()).into(),
        rule.awaited
            .map(|fingerprint| fingerprint.as_bytes().to_vec())
            .into(),
        now.into(),
    ];
    db.execute_raw(sql(SET_RULE, values)).await.map(drop)
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
) -> Result<Option<SigningKeys>, DbErr> {
    #[derive(FromQueryResult)]
    struct RuleRow {
        pinned_key: Option<Vec<u8>>,
        pinned_at: Option<DateTime<Utc>>,
        awaited_fingerprint: Option<Vec<u8>>,
    }
    #[derive(FromQueryResult)]
    struct KeyRow {
        public_key: Vec<u8>,
        first_seen_at: DateTime<Utc>,
        last_seen_at: DateTime<Utc>,
        day_count: i32,
    }
    const RULE: &str = "
        SELECT pinned_key, pinned_at, awaited_fingerprint FROM organization_reporting
        WHERE organization_id = $1";
    // The reports of a pinned key are not noted one by one: the latest says when it was seen.
    const KEYS: &str = "
        SELECT k.public_key, k.first_seen_at, k.day_count,
            CASE WHEN k.public_key = r.last_signing_key
                THEN greatest(k.last_seen_at, r.last_reported_at) ELSE k.last_seen_at END AS last_seen_at
        FROM signing_keys k JOIN organization_reporting r USING (organization_id)
        WHERE k.organization_id = $1
        ORDER BY (k.public_key = r.pinned_key) IS TRUE DESC, k.day_count DESC, k.last_seen_at DESC, k.public_key";
    let rule = RuleRow::find_by_statement(sql(RULE, [organization_id.into()]))
        .one(db)
        .await?;
    let Some(RuleRow {
        pinned_key,
        pinned_at,
        awaited_fingerprint,
    }) = rule
    else {
        return Ok(None);
    };
    let rows = KeyRow::find_by_statement(sql(KEYS, [organization_id.into()]))
        .all(db)
        .await?;
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
            pinned: pinned_key.and_then(|bytes| PublicKey::from_bytes(&bytes)),
            awaited: awaited_fingerprint.and_then(|bytes| Fingerprint::from_bytes(&bytes)),
        },
        pinned_at,
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
) -> Result<Vec<(Uuid, chrono::NaiveDate)>, DbErr> {
    #[derive(FromQueryResult)]
    struct Row {
        organization_id: Uuid,
        day: chrono::NaiveDate,
    }
    const MISSING_DAYS: &str = "
        SELECT o.id AS organization_id, d.day::date AS day
        FROM unnest($1::uuid[]) AS o (id)
        CROSS JOIN LATERAL (SELECT min(reported_at) AS reported_at FROM usage_reports
            WHERE organization_id = o.id) AS earliest
        CROSS JOIN LATERAL generate_series(greatest($2::date::timestamp,
            date_trunc('day', earliest.reported_at AT TIME ZONE 'UTC')), $3::date - 1, interval '1 day') AS d (day)
        WHERE NOT EXISTS (SELECT 1 FROM usage_reports u WHERE u.organization_id = o.id
                AND u.reported_at >= d.day AT TIME ZONE 'UTC'
                AND u.reported_at < (d.day + interval '1 day') AT TIME ZONE 'UTC'
                AND NOT (u.hold_reason IS NOT NULL AND u.delivery_state IN ('held', 'waiting', 'not_billed')))
            AND NOT EXISTS (SELECT 1 FROM usage_report_spool s WHERE s.organization_id = o.id
                AND s.reported_at >= d.day AT TIME ZONE 'UTC'
                AND s.reported_at < (d.day + interval '1 day') AT TIME ZONE 'UTC')
        ORDER BY o.id, d.day";
    let values = [organizations.into(), first.into(), end.into()];
    let rows = Row::find_by_statement(sql(MISSING_DAYS, values))
        .all(db)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.organization_id, row.day))
        .collect())
}
