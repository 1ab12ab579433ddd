//! `ListMeterErrors`: usage that Stripe took and then did not count.

use billing_kit::{Fault, Violation};
use billing_kit_db::db_fault;

use crate::{
    app::App,
    domain::{
        meter_error::MeterError,
        page::{PageSize, Position},
    },
    store::meter_errors,
};

/// A page of errors, and where the next begins.
///
/// # Errors
/// The position is of another list; the database could not be asked.
pub(crate) async fn list_meter_errors(
    app: &App,
    after: Option<&Position>,
    size: PageSize,
) -> Result<(Vec<MeterError>, Option<Position>), Fault> {
    let wrong = || {
        Violation::new(
            "page_token",
            "The page token is invalid. Use `next_cursor` from the previous page.",
        )
    };
    let after = after
        .map(|position| meter_errors::place(position).ok_or_else(wrong))
        .transpose()
        .map_err(|violation| Fault::invalid(vec![violation]))?;
    let errors = meter_errors::list(&app.db, after, size)
        .await
        .map_err(db_fault)?;
    let next = size.next(&errors, |error| Position {
        at: error.found_at,
        id: error.id.to_string(),
    });
    Ok((errors, next))
}
