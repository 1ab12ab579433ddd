//! `usage_report_spool`: acknowledged reports that wait until org-svc can be asked about them.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use uuid::Uuid;

use super::{signing_keys::hex, sources::address_text, sql};
use crate::domain::{
    report::{Content, Report},
    signing::{PublicKey, Signature},
};

/// A report in the spool; its id is already fixed.
#[derive(Debug, Clone)]
pub(crate) struct Spooled {
    pub(crate) id: Uuid,
    pub(crate) report: Report,
    pub(crate) received_at: DateTime<Utc>,
}

#[derive(Debug, FromQueryResult)]
struct SpoolRow {
    id: Uuid,
    organization_id: Uuid,
    organization_name: String,
    instance_url: String,
    user_count: i32,
    reported_at: DateTime<Utc>,
    received_at: DateTime<Utc>,
    source_address: Option<String>,
    signing_key: Option<Vec<u8>>,
    replaced_signing_key: Option<Vec<u8>>,
}

impl SpoolRow {
    fn into_domain(self) -> Spooled {
        let Self {
            id,
            organization_id,
            organization_name,
            instance_url,
            user_count,
            reported_at,
            received_at,
            source_address,
            signing_key,
            replaced_signing_key,
        } = self;
        let content = Content {
            organization_name,
            instance_url,
            user_count,
        };
        Spooled {
            id,
            report: Report {
                organization_id,
                content,
                reported_at,
                source: source_address.and_then(|it| it.parse().ok()),
                signature: signature_of(signing_key, replaced_signing_key),
            },
            received_at,
        }
    }
}

/// The signature that these columns keep; the table's CHECKs keep the lengths.
fn signature_of(key: Option<Vec<u8>>, replaced: Option<Vec<u8>>) -> Option<Signature> {
    let key_of = |bytes: Option<Vec<u8>>| PublicKey::from_bytes(&bytes?);
    Some(Signature {
        key: key_of(key)?,
        replaces: key_of(replaced),
    })
}

#[derive(Debug, FromQueryResult)]
struct IdRow {
    id: Uuid,
}

const INSERT: &str = "
    INSERT INTO usage_report_spool (id, organization_id, organization_name, instance_url, user_count,
        reported_at, received_at, source_address, signing_key, replaced_signing_key)
    SELECT id, organization_id, organization_name, instance_url, user_count, reported_at, received_at,
        nullif(source_address, '')::inet, decode(nullif(signing_key, ''), 'hex'),
        decode(nullif(replaced_signing_key, ''), 'hex')
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::integer[], $6::timestamptz[],
        $7::timestamptz[], $8::text[], $9::text[], $10::text[])
        AS t (id, organization_id, organization_name, instance_url, user_count, reported_at, received_at,
            source_address, signing_key, replaced_signing_key)
    WHERE NOT EXISTS (SELECT 1 FROM usage_reports u WHERE NOT u.adopted
        AND u.organization_id = t.organization_id AND u.reported_at = t.reported_at)
    ORDER BY organization_id, reported_at
    ON CONFLICT (organization_id, reported_at) DO NOTHING
    RETURNING id";

/// Spools the reports that are new, under the locks of their organizations, and answers their ids.
pub(crate) async fn insert_new(
    db: &impl ConnectionTrait,
    reports: &[Spooled],
) -> Result<Vec<Uuid>, DbErr> {
    fn column<T>(reports: &[Spooled], of: impl Fn(&Spooled) -> T) -> Vec<T> {
        reports.iter().map(of).collect()
    }
    let statement = sql(
        INSERT,
        [
            column(reports, |r| r.id).into(),
            column(reports, |r| r.report.organization_id).into(),
            column(reports, |r| r.report.content.organization_name.clone()).into(),
            column(reports, |r| r.report.content.instance_url.clone()).into(),
            column(reports, |r| r.report.content.user_count).into(),
            column(reports, |r| r.report.reported_at).into(),
            column(reports, |r| r.received_at).into(),
            column(reports, |r| address_text(&r.report)).into(),
            column(reports, |r| {
                hex(r.report.signature.map(|signature| signature.key))
            })
            .into(),
            column(reports, |r| {
                hex(r.report.signature.and_then(|signature| signature.replaces))
            })
            .into(),
        ],
    );
    let rows = IdRow::find_by_statement(statement).all(db).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// The reports that wait longest, but for those that were put aside.
pub(crate) async fn oldest(db: &impl ConnectionTrait, limit: i64) -> Result<Vec<Spooled>, DbErr> {
    const OLDEST: &str = "
        SELECT id, organization_id, organization_name, instance_url, user_count, reported_at, received_at,
            host(source_address) AS source_address, signing_key, replaced_signing_key
        FROM usage_report_spool WHERE parked_at IS NULL ORDER BY received_at, id LIMIT $1";
    let rows = SpoolRow::find_by_statement(sql(OLDEST, [limit.into()]))
        .all(db)
        .await?;
    Ok(rows.into_iter().map(SpoolRow::into_domain).collect())
}

/// Takes reports out of the spool, in the transaction that records them. Answers those that were
/// still there: another replica may have taken the others.
pub(crate) async fn take(db: &impl ConnectionTrait, ids: Vec<Uuid>) -> Result<Vec<Spooled>, DbErr> {
    const TAKE: &str = "
        DELETE FROM usage_report_spool WHERE id = ANY($1)
        RETURNING id, organization_id, organization_name, instance_url, user_count, reported_at,
            received_at, host(source_address) AS source_address, signing_key, replaced_signing_key";
    let rows = SpoolRow::find_by_statement(sql(TAKE, [ids.into()]))
        .all(db)
        .await?;
    Ok(rows.into_iter().map(SpoolRow::into_domain).collect())
}

/// Puts a report aside that cannot be moved, so that those behind it can.
pub(crate) async fn park(
    db: &impl ConnectionTrait,
    id: Uuid,
    why: &str,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    const PARK: &str =
        "UPDATE usage_report_spool SET parked_at = $2, error_message = $3 WHERE id = $1";
    let values = [id.into(), now.into(), why.into()];
    db.execute_raw(sql(PARK, values)).await.map(drop)
}
