//! `organization_source_networks`: where the reports of each organization come from, by UTC day; and the
//! addresses that are kept with reports for a while.
//!
//! What a batch adds is written by the statement that inserts its reports: see `store::reports`.

use billing_kit_db::{StoreError, query::composed};
use chrono::{DateTime, NaiveDate, Utc};
use ipnet::IpNet;
use sea_orm::{ConnectionTrait, FromQueryResult, raw_sql};
use uuid::Uuid;

use crate::domain::{
    report::Report,
    source::{Day, DayCount, network_of},
};

/// What is known of the day and the network of a report.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) day: Day,
    /// The report that counts for the day as yet.
    pub(crate) count: Option<DayCount>,
    pub(crate) network: Option<IpNet>,
    /// Whether the network is known to this organization.
    pub(crate) is_known: bool,
    /// Whether any is.
    pub(crate) has_known: bool,
}

#[derive(Debug, FromQueryResult)]
struct FoundRow {
    organization_id: Uuid,
    asked_at: DateTime<Utc>,
    network: String,
    user_count: Option<i32>,
    reported_at: Option<DateTime<Utc>>,
    is_known: bool,
    has_known: bool,
}

/// What is known of the days and networks of these reports, under the locks of their organizations.
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    reports: &[&Report],
) -> Result<Vec<Found>, StoreError> {
    let ids: Vec<_> = reports.iter().map(|it| it.organization_id).collect();
    let times: Vec<_> = reports.iter().map(|it| it.reported_at).collect();
    let networks: Vec<_> = reports.iter().map(|it| network_text(it)).collect();
    let find = raw_sql!(
        Postgres,
        "SELECT a.organization_id, a.asked_at, a.network, d.user_count, d.reported_at,
            EXISTS (SELECT 1 FROM organization_source_networks n
                WHERE n.organization_id = a.organization_id AND n.counted
                    AND n.network = nullif(a.network, '')::cidr) AS is_known,
            EXISTS (SELECT 1 FROM organization_source_networks n
                WHERE n.organization_id = a.organization_id AND n.counted) AS has_known
        FROM unnest({ids}::uuid[], {times}::timestamptz[], {networks}::text[])
            AS a (organization_id, asked_at, network)
        LEFT JOIN LATERAL (SELECT u.user_count, u.reported_at FROM usage_reports u
            WHERE u.organization_id = a.organization_id AND NOT u.adopted
                AND u.reported_at >= date_trunc('day', a.asked_at, 'UTC')
                AND u.reported_at < date_trunc('day', a.asked_at, 'UTC') + interval '1 day'
                AND u.delivery_state <> 'held'
                AND NOT (u.delivery_state IN ('waiting', 'not_billed', 'too_late') AND u.hold_reason IS NOT NULL)
                AND u.error_code IS DISTINCT FROM 'discarded'
            ORDER BY u.reported_at DESC LIMIT 1) d ON true"
    );
    let rows = FoundRow::find_by_statement(find).all(db).await?;
    let found = rows.into_iter().map(|row| {
        let FoundRow {
            organization_id,
            asked_at,
            network,
            user_count,
            reported_at,
            is_known,
            has_known,
        } = row;
        Found {
            day: (organization_id, asked_at.date_naive()),
            count: user_count
                .zip(reported_at)
                .map(|(user_count, reported_at)| DayCount {
                    user_count,
                    reported_at,
                }),
            network: network.parse().ok(),
            is_known,
            has_known,
        }
    });
    Ok(found.collect())
}

/// The network of a report, as the statements take it; empty where it is not known.
pub(super) fn network_text(report: &Report) -> String {
    report
        .source
        .map_or_else(String::new, |source| network_of(source).to_string())
}

/// The address of a report, likewise.
pub(super) fn address_text(report: &Report) -> String {
    report
        .source
        .map_or_else(String::new, |source| source.to_string())
}

/// The network of an address `inet` in SQL, as the domain has it.
macro_rules! network {
    ($address:literal) => {
        concat!(
            "network(set_masklen(",
            $address,
            ", CASE family(",
            $address,
            ") WHEN 4 THEN 24 ELSE 48 END))"
        )
    };
}

/// Those of these networks that reports of their organizations counted from before a day.
pub(crate) async fn counted_before(
    db: &impl ConnectionTrait,
    networks: &[(Uuid, IpNet)],
    day: NaiveDate,
) -> Result<Vec<(Uuid, IpNet)>, StoreError> {
    #[derive(FromQueryResult)]
    struct Row {
        organization_id: Uuid,
        network: String,
    }
    let (ids, texts): (Vec<_>, Vec<_>) = networks
        .iter()
        .map(|(id, network)| (*id, network.to_string()))
        .unzip();
    let counted_before = raw_sql!(
        Postgres,
        "SELECT DISTINCT n.organization_id, n.network::text AS network
        FROM unnest({ids}::uuid[], {texts}::text[]) AS a (organization_id, network)
        JOIN organization_source_networks n
            ON n.organization_id = a.organization_id AND n.network = a.network::cidr
        WHERE n.counted AND n.day < {day}"
    );
    let rows = Row::find_by_statement(counted_before).all(db).await?;
    rows.into_iter()
        .map(|row| {
            let network = row.network.parse();
            let network = network.map_err(|_| StoreError::unknown("network", &row.network))?;
            Ok((row.organization_id, network))
        })
        .collect()
}

/// Makes the networks of reports known that an admin released, as far as their addresses are kept.
pub(crate) async fn make_known(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    reports: Vec<Uuid>,
) -> Result<(), StoreError> {
    const MAKE_KNOWN: &str = concat!(
        "UPDATE organization_source_networks n SET counted = true FROM usage_reports u
        WHERE u.id = ANY({reports}) AND u.organization_id = {organization_id} AND n.organization_id = {organization_id}
            AND n.network = ",
        network!("u.source_address"),
        " AND n.day = (u.received_at AT TIME ZONE 'UTC')::date AND NOT n.counted"
    );
    let values = [
        ("organization_id", organization_id.into()),
        ("reports", reports.into()),
    ];
    db.execute_raw(composed(MAKE_KNOWN, values)).await?;
    Ok(())
}

/// A network that reports of an organization came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceNetwork {
    pub(crate) network: IpNet,
    pub(crate) first_seen_at: DateTime<Utc>,
    pub(crate) last_seen_at: DateTime<Utc>,
    pub(crate) report_count: i64,
    /// Whether it is a known one.
    pub(crate) has_counted: bool,
}

/// The networks of an organization, those that were seen last first.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    limit: i64,
) -> Result<Vec<SourceNetwork>, StoreError> {
    #[derive(FromQueryResult)]
    struct Row {
        network: String,
        first_seen_at: DateTime<Utc>,
        last_seen_at: DateTime<Utc>,
        report_count: i64,
        has_counted: bool,
    }
    let list = raw_sql!(
        Postgres,
        "SELECT network::text AS network, min(first_seen_at) AS first_seen_at,
            max(last_seen_at) AS last_seen_at, sum(report_count)::bigint AS report_count,
            bool_or(counted) AS has_counted
        FROM organization_source_networks n WHERE organization_id = {organization_id}
        GROUP BY n.network ORDER BY max(last_seen_at) DESC, n.network LIMIT {limit}"
    );
    let rows = Row::find_by_statement(list).all(db).await?;
    rows.into_iter()
        .map(|row| {
            let network = row.network.parse();
            Ok(SourceNetwork {
                network: network.map_err(|_| StoreError::unknown("network", &row.network))?,
                first_seen_at: row.first_seen_at,
                last_seen_at: row.last_seen_at,
                report_count: row.report_count,
                has_counted: row.has_counted,
            })
        })
        .collect()
}

/// Forgets up to `limit` addresses of what came before this, in each of the tables that have some.
/// Answers how many rows it changed.
pub(crate) async fn forget_addresses(
    db: &impl ConnectionTrait,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<u64, StoreError> {
    // Rows that somebody else holds wait for the next step.
    const FORGET: [&str; 3] = [
        "UPDATE usage_reports SET source_address = NULL WHERE id IN (
            SELECT id FROM usage_reports WHERE source_address IS NOT NULL AND received_at < {before}
            ORDER BY received_at LIMIT {limit} FOR UPDATE SKIP LOCKED)",
        "UPDATE report_conflicts SET source_address = NULL WHERE id IN (
            SELECT id FROM report_conflicts WHERE source_address IS NOT NULL AND last_refused_at < {before}
            ORDER BY last_refused_at LIMIT {limit} FOR UPDATE SKIP LOCKED)",
        "UPDATE last_refusals SET source_address = NULL WHERE organization_id IN (
            SELECT organization_id FROM last_refusals
            WHERE source_address IS NOT NULL AND refused_at < {before}
            ORDER BY refused_at LIMIT {limit} FOR UPDATE SKIP LOCKED)",
    ];
    let mut changed = 0;
    for statement in FORGET {
        let values = [("before", before.into()), ("limit", limit.into())];
        let done = db.execute_raw(composed(statement, values)).await?;
        changed += done.rows_affected();
    }
    Ok(changed)
}

/// Forgets up to `limit` networks of days before this one. Answers how many.
pub(crate) async fn forget_networks(
    db: &impl ConnectionTrait,
    before: NaiveDate,
    limit: i64,
) -> Result<u64, StoreError> {
    let forget = raw_sql!(
        Postgres,
        "DELETE FROM organization_source_networks n USING (
            SELECT organization_id, network, day FROM organization_source_networks
            WHERE day < {before} ORDER BY day LIMIT {limit} FOR UPDATE SKIP LOCKED) old
        WHERE n.organization_id = old.organization_id AND n.network = old.network AND n.day = old.day"
    );
    let done = db.execute_raw(forget).await?;
    Ok(done.rows_affected())
}
