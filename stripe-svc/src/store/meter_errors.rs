//! `stripe_meter_errors`: usage that Stripe took and then did not count.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, ExprTrait, QueryOrder, QuerySelect, entity::prelude::*};

use crate::{
    domain::{
        ids::EventId,
        meter_error::{MeterError, MeterErrorReport},
        page::{PageSize, Position},
    },
    store::sql,
};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "stripe_meter_errors")]
struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    event_id: String,
    stripe_meter_id: Option<String>,
    error_code: String,
    error_message: String,
    error_count: i64,
    sample_identifiers: Vec<String>,
    validation_start_at: Option<DateTime<Utc>>,
    validation_end_at: Option<DateTime<Utc>>,
    found_at: DateTime<Utc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for MeterError {
    fn from(row: Model) -> Self {
        let Model {
            id,
            event_id,
            stripe_meter_id,
            error_code,
            error_message,
            error_count,
            sample_identifiers,
            validation_start_at,
            validation_end_at,
            found_at,
        } = row;
        Self {
            id,
            event_id: EventId::new(event_id),
            report: MeterErrorReport {
                meter_id: stripe_meter_id,
                code: error_code,
                message: error_message,
                count: error_count,
                sample_identifiers,
                validation_start: validation_start_at,
                validation_end: validation_end_at,
            },
            found_at,
        }
    }
}

/// Keeps an error; one that the same event told before stays as it is.
pub(crate) async fn keep(db: &impl ConnectionTrait, error: &MeterError) -> Result<(), DbErr> {
    const KEEP: &str = "
        INSERT INTO stripe_meter_errors (id, event_id, stripe_meter_id, error_code, error_message,
            error_count, sample_identifiers, validation_start_at, validation_end_at, found_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (event_id, error_code) DO NOTHING";
    let MeterError {
        id,
        event_id,
        report,
        found_at,
    } = error.clone();
    let MeterErrorReport {
        meter_id,
        code,
        message,
        count,
        sample_identifiers,
        validation_start,
        validation_end,
    } = report;
    let values = [
        id.into(),
        event_id.as_str().into(),
        meter_id.into(),
        code.into(),
        message.into(),
        count.into(),
        sample_identifiers.into(),
        validation_start.into(),
        validation_end.into(),
        found_at.into(),
    ];
    db.execute_raw(sql(KEEP, values)).await.map(drop)
}

/// A page of errors, those that were found last first.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    after: Option<(DateTime<Utc>, Uuid)>,
    size: PageSize,
) -> Result<Vec<MeterError>, DbErr> {
    let mut query = Entity::find()
        .order_by_desc(Column::FoundAt)
        .order_by_desc(Column::Id);
    if let Some((at, id)) = after {
        let earlier = Column::FoundAt.lt(at);
        query = query.filter(earlier.or(Column::FoundAt.eq(at).and(Column::Id.lt(id))));
    }
    let limit = u64::try_from(size.get()).unwrap_or(1);
    let rows = query.limit(limit).all(db).await?;
    Ok(rows.into_iter().map(MeterError::from).collect())
}

/// The same place as [`Position`], whose id is a UUID here.
pub(crate) fn place(position: &Position) -> Option<(DateTime<Utc>, Uuid)> {
    Some((position.at, Uuid::try_parse(&position.id).ok()?))
}
