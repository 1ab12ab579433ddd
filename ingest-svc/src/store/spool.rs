//! `usage_report_spool`: acknowledged reports that wait until org-svc can be asked about them.

use billing_kit_db::{StoreError, query::column};
use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect, Set, raw_sql,
};
use uuid::Uuid;

use super::{
    entities::spool::{ActiveModel, Column, Entity, Model, Scope as _},
    signing_keys::hex,
    sources::address_text,
};
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

impl From<Model> for Spooled {
    fn from(row: Model) -> Self {
        let Model {
            id,
            organization_id,
            organization_name,
            instance_url,
            user_count,
            reported_at,
            received_at,
            parked_at: _,
            error_message: _,
            source_address,
            signing_key,
            replaced_signing_key,
        } = row;
        let content = Content {
            organization_name,
            instance_url,
            user_count,
        };
        Self {
            id,
            report: Report {
                organization_id,
                content,
                reported_at,
                source: source_address.map(|network| network.ip()),
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

/// Spools the reports that are new, under the locks of their organizations, and answers their ids.
pub(crate) async fn insert_new(
    db: &impl ConnectionTrait,
    reports: &[Spooled],
) -> Result<Vec<Uuid>, StoreError> {
    let ids = column(reports, |r| r.id);
    let organizations = column(reports, |r| r.report.organization_id);
    let names = column(reports, |r| r.report.content.organization_name.clone());
    let urls = column(reports, |r| r.report.content.instance_url.clone());
    let user_counts = column(reports, |r| r.report.content.user_count);
    let reported_at = column(reports, |r| r.report.reported_at);
    let received_at = column(reports, |r| r.received_at);
    let addresses = column(reports, |r| address_text(&r.report));
    let keys = column(reports, |r| hex(r.report.signature.map(|it| it.key)));
    let replaced_keys = column(reports, |r| {
        hex(r.report.signature.and_then(|it| it.replaces))
    });
    let insert = raw_sql!(
        Postgres,
        "INSERT INTO usage_report_spool (id, organization_id, organization_name, instance_url, user_count,
            reported_at, received_at, source_address, signing_key, replaced_signing_key)
        SELECT id, organization_id, organization_name, instance_url, user_count, reported_at, received_at,
            nullif(source_address, '')::inet, decode(nullif(signing_key, ''), 'hex'),
            decode(nullif(replaced_signing_key, ''), 'hex')
        FROM unnest({ids}::uuid[], {organizations}::uuid[], {names}::text[], {urls}::text[], {user_counts}::integer[], {reported_at}::timestamptz[],
            {received_at}::timestamptz[], {addresses}::text[], {keys}::text[], {replaced_keys}::text[])
            AS t (id, organization_id, organization_name, instance_url, user_count, reported_at, received_at,
                source_address, signing_key, replaced_signing_key)
        WHERE NOT EXISTS (SELECT 1 FROM usage_reports u WHERE NOT u.adopted
            AND u.organization_id = t.organization_id AND u.reported_at = t.reported_at)
        ORDER BY organization_id, reported_at
        ON CONFLICT (organization_id, reported_at) DO NOTHING
        RETURNING id"
    );
    let rows = IdRow::find_by_statement(insert).all(db).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Has a report take the place of a waiting one of the same organization, time and count that was not signed
/// with its key, under the lock of its organization.
pub(crate) async fn sign(db: &impl ConnectionTrait, report: &Report) -> Result<(), StoreError> {
    let (organization_id, reported_at) = (report.organization_id, report.reported_at);
    let content = &report.content;
    let (name, url) = (&content.organization_name, &content.instance_url);
    let user_count = content.user_count;
    let address = address_text(report);
    let key = hex(report.signature.map(|it| it.key));
    let replaced_key = hex(report.signature.and_then(|it| it.replaces));
    let sign = raw_sql!(
        Postgres,
        "UPDATE usage_report_spool SET organization_name = {name}, instance_url = {url},
            source_address = nullif({address}, '')::inet,
            signing_key = decode(nullif({key}, ''), 'hex'),
            replaced_signing_key = decode(nullif({replaced_key}, ''), 'hex')
        WHERE organization_id = {organization_id} AND reported_at = {reported_at} AND user_count = {user_count}
            AND signing_key IS DISTINCT FROM decode(nullif({key}, ''), 'hex')"
    );
    db.execute_raw(sign).await?;
    Ok(())
}

/// The reports that wait longest, but for those that were put aside.
pub(crate) async fn oldest(
    db: &impl ConnectionTrait,
    limit: i64,
) -> Result<Vec<Spooled>, StoreError> {
    let rows = Entity::find()
        .waiting()
        .order_by_asc(Column::ReceivedAt)
        .order_by_asc(Column::Id)
        .limit(u64::try_from(limit).unwrap_or_default())
        .all(db)
        .await?;
    Ok(rows.into_iter().map(Spooled::from).collect())
}

/// Takes reports out of the spool, in the transaction that records them. Answers those that were
/// still there: another replica may have taken the others.
pub(crate) async fn take(
    db: &impl ConnectionTrait,
    ids: Vec<Uuid>,
) -> Result<Vec<Spooled>, StoreError> {
    let taken = Entity::delete_many().among(ids);
    let rows = taken.exec_with_returning(db).await?;
    Ok(rows.into_iter().map(Spooled::from).collect())
}

/// Puts a report aside that cannot be moved, so that those behind it can.
pub(crate) async fn park(
    db: &impl ConnectionTrait,
    id: Uuid,
    why: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let parked = ActiveModel {
        parked_at: Set(Some(now)),
        error_message: Set(Some(why.to_owned())),
        ..Default::default()
    };
    Entity::update_many()
        .set(parked)
        .filter(Column::Id.eq(id))
        .exec(db)
        .await?;
    Ok(())
}
