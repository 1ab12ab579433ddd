//! `stripe_meter_errors`: usage that Stripe took and then did not count.

use billing_kit_db::StoreError;
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, QueryOrder, QuerySelect, Set, entity::prelude::*};

use crate::{
    domain::{
        ids::EventId,
        meter_error::{MeterError, MeterErrorReport},
        page::{PageSize, Position},
    },
    store::entities::meter_errors::{ActiveModel, Column, Entity, Model, Scope as _},
};

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
pub(crate) async fn keep(db: &impl ConnectionTrait, error: &MeterError) -> Result<(), StoreError> {
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
    let row = ActiveModel {
        id: Set(id),
        event_id: Set(event_id.as_str().to_owned()),
        stripe_meter_id: Set(meter_id),
        error_code: Set(code),
        error_message: Set(message),
        error_count: Set(count),
        sample_identifiers: Set(sample_identifiers),
        validation_start_at: Set(validation_start),
        validation_end_at: Set(validation_end),
        found_at: Set(found_at),
    };
    Entity::insert(row)
        .on_conflict_do_nothing_on([Column::EventId, Column::ErrorCode])
        .exec_without_returning(db)
        .await?;
    Ok(())
}

/// A page of errors, those that were found last first.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    after: Option<(DateTime<Utc>, Uuid)>,
    size: PageSize,
) -> Result<Vec<MeterError>, StoreError> {
    let mut query = Entity::find()
        .order_by_desc(Column::FoundAt)
        .order_by_desc(Column::Id);
    if let Some(place) = after {
        query = query.behind(place);
    }
    let limit = u64::try_from(size.get()).unwrap_or(1);
    let rows = query.limit(limit).all(db).await?;
    Ok(rows.into_iter().map(MeterError::from).collect())
}

/// The same place as [`Position`], whose id is a UUID here.
pub(crate) fn place(position: &Position) -> Option<(DateTime<Utc>, Uuid)> {
    Some((position.at, Uuid::try_parse(&position.id).ok()?))
}
