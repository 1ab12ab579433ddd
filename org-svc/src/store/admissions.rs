//! The table `organization_admissions`: how many new organizations each network brought on each day.

use std::collections::BTreeMap;

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::NaiveDate;
use sea_orm::{ConnectionTrait, FromQueryResult};

use super::statement;

/// What a network brought on a day.
#[derive(Debug, FromQueryResult)]
struct Admissions {
    source_network: String,
    admitted_count: i64,
    refused_count: i64,
}

/// Locks the counts of these networks to the end of the transaction, in one order.
const LOCK: &str = r"
    INSERT INTO organization_admissions AS a (day, source_network)
    SELECT $1::date, network FROM unnest($2::text[]) AS network ORDER BY network
    ON CONFLICT (day, source_network) DO UPDATE SET admitted_count = a.admitted_count
    RETURNING source_network, admitted_count, refused_count";

/// How many these networks brought on this day. Until the transaction ends no other replica admits any
/// from them.
pub(crate) async fn lock(
    db: &impl ConnectionTrait,
    day: NaiveDate,
    networks: Vec<String>,
) -> Result<BTreeMap<String, i64>, Fault> {
    let values = [day.into(), networks.into()];
    let rows = Admissions::find_by_statement(statement(LOCK, values))
        .all(db)
        .await
        .map_err(db_fault)?;
    let counts = rows
        .into_iter()
        .map(|row| (row.source_network, row.admitted_count));
    Ok(counts.collect())
}

const ADD: &str = r"
    UPDATE organization_admissions AS a
    SET admitted_count = a.admitted_count + more.admitted, refused_count = a.refused_count + more.refused
    FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS more (network, admitted, refused)
    WHERE a.day = $1 AND a.source_network = more.network
    RETURNING a.source_network, a.admitted_count, a.refused_count";

/// Adds to the counts of networks what was admitted and refused. The rows are locked already. Answers
/// how many reports of each network were refused on this day until now.
pub(crate) async fn add(
    db: &impl ConnectionTrait,
    day: NaiveDate,
    more: &BTreeMap<&str, (i64, i64)>,
) -> Result<BTreeMap<String, i64>, Fault> {
    let networks: Vec<String> = more.keys().map(|network| (*network).to_owned()).collect();
    let admitted: Vec<i64> = more.values().map(|(admitted, _)| *admitted).collect();
    let refused: Vec<i64> = more.values().map(|(_, refused)| *refused).collect();
    let values = [day.into(), networks.into(), admitted.into(), refused.into()];
    let rows = Admissions::find_by_statement(statement(ADD, values))
        .all(db)
        .await
        .map_err(db_fault)?;
    let counts = rows
        .into_iter()
        .map(|row| (row.source_network, row.refused_count));
    Ok(counts.collect())
}

/// Forgets the counts of days before this one.
pub(crate) async fn forget_before(db: &impl ConnectionTrait, day: NaiveDate) -> Result<(), Fault> {
    const FORGET: &str = "DELETE FROM organization_admissions WHERE day < $1";
    db.execute_raw(statement(FORGET, [day.into()]))
        .await
        .map_err(db_fault)?;
    Ok(())
}
