//! `usage_reports`: every report once, unique by organization and timestamp.

use billing_kit_db::{StoreError, query::column};
use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect, raw_sql,
};
use uuid::Uuid;

use super::{
    entities::reports::{Column, Entity, Model, Scope as _},
    holds::HeldEnd,
    sources::{address_text, network_text},
};
use crate::domain::{
    delivery::DeliveryState,
    hold::{BASELINE, DISCARDED, Hold, Low},
    report::{Content, Report},
    standing::DeploymentType,
};

/// A report with its id and where it begins.
#[derive(Debug)]
pub(crate) struct NewReport {
    pub(crate) id: Uuid,
    pub(crate) report: Report,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) deployment_type: Option<DeploymentType>,
    pub(crate) state: DeliveryState,
    /// When it is first to be sent; only for a queued one.
    pub(crate) first_attempt_at: DateTime<Utc>,
    /// Why it is held, will be when it could be sent, or would have been.
    pub(crate) hold: Option<Hold>,
    /// Whether its network is a known one of its organization by it.
    pub(crate) makes_network_known: bool,
    /// That its count is low, and counts.
    pub(crate) low: Option<Low>,
}

#[derive(Debug, FromQueryResult)]
struct IdRow {
    id: Uuid,
}

/// Inserts the reports that are new, under the locks of their organizations, and answers their ids.
pub(crate) async fn insert_new(
    db: &impl ConnectionTrait,
    reports: &[NewReport],
) -> Result<Vec<Uuid>, StoreError> {
    let compared_with = |r: &NewReport| match (&r.hold, r.low) {
        (Some(hold), _) => hold.compared_with.to_string(),
        (None, Some(low)) => low.compared_with().to_string(),
        (None, None) => String::new(),
    };
    let deployment = |r: &NewReport| {
        r.deployment_type
            .map_or(DeploymentType::UNASSIGNED, DeploymentType::as_str)
            .to_owned()
    };
    let hold = |r: &NewReport, text: fn(&Hold) -> &str| {
        let hold = r.hold.as_ref();
        hold.map_or_else(String::new, |hold| text(hold).to_owned())
    };
    let ids = column(reports, |r| r.id);
    let organizations = column(reports, |r| r.report.organization_id);
    let names = column(reports, |r| r.report.content.organization_name.clone());
    let urls = column(reports, |r| r.report.content.instance_url.clone());
    let user_counts = column(reports, |r| r.report.content.user_count);
    let deployment_types = column(reports, deployment);
    let reported_at = column(reports, |r| r.report.reported_at);
    let received_at = column(reports, |r| r.received_at);
    let states = column(reports, |r| r.state.as_str().to_owned());
    let first_attempts = column(reports, |r| r.first_attempt_at);
    let hold_reasons = column(reports, |r| hold(r, |hold| hold.reason.as_str()));
    let hold_messages = column(reports, |r| hold(r, |hold| &hold.message));
    let addresses = column(reports, |r| address_text(&r.report));
    let networks = column(reports, |r| network_text(&r.report));
    let make_known = column(reports, |r| r.makes_network_known);
    let hold_causes = column(reports, |r| hold(r, |hold| &hold.cause));
    let compared_with = column(reports, compared_with);
    let are_low = column(reports, |r| r.low.is_some());
    // One statement per batch. A row that stands in the spool already is left out: both paths hold the
    // organization's lock, so what one committed the other sees. The networks of what is new are counted by
    // the same statement.
    let insert = raw_sql!(
        Postgres,
        "WITH t AS (
            SELECT id, organization_id, organization_name, instance_url, user_count, deployment_type,
                reported_at, received_at, state, first_attempt_at, hold_reason, hold_message,
                source_address, network, makes_network_known, hold_cause, compared_with, count_low
            FROM unnest({ids}::uuid[], {organizations}::uuid[], {names}::text[], {urls}::text[], {user_counts}::integer[], {deployment_types}::text[],
                {reported_at}::timestamptz[], {received_at}::timestamptz[], {states}::text[], {first_attempts}::timestamptz[], {hold_reasons}::text[],
                {hold_messages}::text[], {addresses}::text[], {networks}::text[], {make_known}::boolean[], {hold_causes}::text[], {compared_with}::text[], {are_low}::boolean[])
                AS t (id, organization_id, organization_name, instance_url, user_count, deployment_type,
                    reported_at, received_at, state, first_attempt_at, hold_reason, hold_message,
                    source_address, network, makes_network_known, hold_cause, compared_with, count_low)),
        inserted AS (
            INSERT INTO usage_reports (id, organization_id, organization_name, instance_url, user_count,
                deployment_type, reported_at, received_at, delivery_state, next_attempt_at, settled_at,
                hold_reason, error_code, error_message, source_address, hold_cause, compared_with,
                count_low)
            SELECT id, organization_id, organization_name, instance_url, user_count, deployment_type,
                reported_at, received_at, state,
                CASE WHEN state = 'queued' THEN first_attempt_at END,
                CASE WHEN state NOT IN ('queued', 'waiting', 'held') THEN received_at END,
                nullif(hold_reason, ''), nullif(hold_reason, ''), nullif(hold_message, ''),
                nullif(source_address, '')::inet, nullif(hold_cause, ''), nullif(compared_with, '')::jsonb,
                count_low
            FROM t
            WHERE NOT EXISTS (SELECT 1 FROM usage_report_spool s
                WHERE s.organization_id = t.organization_id AND s.reported_at = t.reported_at)
            ORDER BY organization_id, reported_at
            ON CONFLICT (organization_id, reported_at) WHERE NOT adopted DO NOTHING
            RETURNING id),
        seen AS (
            INSERT INTO organization_source_networks AS n (organization_id, network, day, first_seen_at,
                last_seen_at, report_count, counted)
            SELECT t.organization_id, t.network::cidr, (t.received_at AT TIME ZONE 'UTC')::date,
                min(t.received_at), max(t.received_at), count(t.id), bool_or(t.makes_network_known)
            FROM inserted JOIN t USING (id) WHERE t.network <> ''
            GROUP BY t.organization_id, t.network, (t.received_at AT TIME ZONE 'UTC')::date
            ORDER BY t.organization_id, t.network
            ON CONFLICT (organization_id, network, day) DO UPDATE SET
                first_seen_at = least(n.first_seen_at, excluded.first_seen_at),
                last_seen_at = greatest(n.last_seen_at, excluded.last_seen_at),
                report_count = n.report_count + excluded.report_count,
                counted = n.counted OR excluded.counted)
        SELECT id FROM inserted"
    );
    let rows = IdRow::find_by_statement(insert).all(db).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// A report that was recorded, or spooled, before.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) id: Uuid,
    pub(crate) report: Report,
    pub(crate) trust: Trust,
}

/// Whether a recorded report counts, as far as a repetition of it is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    Taken,
    Held,
    /// An admin said that it never counts.
    Discarded,
}

#[derive(Debug, FromQueryResult)]
struct KnownRow {
    id: Uuid,
    organization_id: Uuid,
    organization_name: String,
    instance_url: String,
    user_count: i32,
    reported_at: DateTime<Utc>,
    is_held: bool,
    is_discarded: bool,
}

/// The reports with these organizations and timestamps, from either table.
pub(crate) async fn find_known(
    db: &impl ConnectionTrait,
    keys: Vec<(Uuid, DateTime<Utc>)>,
) -> Result<Vec<Known>, StoreError> {
    let (ids, times): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
    let find_known = raw_sql!(
        Postgres,
        "WITH keys AS (SELECT organization_id, reported_at
            FROM unnest({ids}::uuid[], {times}::timestamptz[]) AS t (organization_id, reported_at))
        SELECT id, organization_id, organization_name, instance_url, user_count, reported_at,
            delivery_state = 'held' AS is_held,
            error_code IS NOT DISTINCT FROM 'discarded' AS is_discarded
        FROM usage_reports JOIN keys USING (organization_id, reported_at) WHERE NOT adopted
        UNION ALL
        SELECT id, organization_id, organization_name, instance_url, user_count, reported_at,
            false, false
        FROM usage_report_spool JOIN keys USING (organization_id, reported_at)"
    );
    let rows = KnownRow::find_by_statement(find_known).all(db).await?;
    Ok(rows
        .into_iter()
        .map(
            |KnownRow {
                 id,
                 organization_id,
                 organization_name,
                 instance_url,
                 user_count,
                 reported_at,
                 is_held,
                 is_discarded,
             }| {
                Known {
                    id,
                    trust: match (is_held, is_discarded) {
                        (true, _) => Trust::Held,
                        (false, true) => Trust::Discarded,
                        (false, false) => Trust::Taken,
                    },
                    report: Report {
                        organization_id,
                        content: Content {
                            organization_name,
                            instance_url,
                            user_count,
                        },
                        reported_at,
                        source: None,
                        // It plays no part in what is the same report.
                        signature: None,
                    },
                }
            },
        )
        .collect())
}

/// Has repetitions take the place of reports that were held, or discarded, under the locks of their
/// organizations: the same count and time, from a sender that is expected.
pub(crate) async fn take_over(
    db: &impl ConnectionTrait,
    reports: &[NewReport],
) -> Result<(), StoreError> {
    for report in reports {
        let Report { content, .. } = &report.report;
        let (id, name, url) = (report.id, &content.organization_name, &content.instance_url);
        let address = address_text(&report.report);
        let (state, first_attempt_at) = (report.state.as_str(), report.first_attempt_at);
        let is_low = report.low.is_some();
        let take_over = raw_sql!(
            Postgres,
            "UPDATE usage_reports SET organization_name = {name}, instance_url = {url},
                source_address = nullif({address}, '')::inet, delivery_state = {state},
                next_attempt_at = CASE WHEN {state} = 'queued' THEN {first_attempt_at}::timestamptz END,
                settled_at = NULL, hold_reason = NULL, hold_cause = NULL, compared_with = NULL,
                error_code = NULL, error_message = NULL, count_low = {is_low}
            WHERE id = {id} AND (delivery_state = 'held' OR error_code = 'discarded')"
        );
        db.execute_raw(take_over).await?;
    }
    Ok(())
}

/// A report as an admin sees it.
#[derive(Debug)]
pub(crate) struct RecordedReport {
    pub(crate) id: Uuid,
    pub(crate) organization_id: Uuid,
    pub(crate) user_count: i32,
    pub(crate) deployment_type: Option<DeploymentType>,
    pub(crate) reported_at: Option<DateTime<Utc>>,
    /// Absent for an adopted report.
    pub(crate) received_at: Option<DateTime<Utc>>,
    pub(crate) state: DeliveryState,
    pub(crate) stripe_meter_event_id: Option<String>,
    pub(crate) error_code: Option<String>,
    pub(crate) error_message: Option<String>,
    /// Whether it counts: it is neither held nor discarded, nor to be held once it could be sent.
    pub(crate) counts: bool,
    /// Whether it counts though its count is low.
    pub(crate) is_low: bool,
    /// The baseline that its count was compared with, where that was unusual.
    pub(crate) baseline: Option<i64>,
}

/// Where a page ends: the time and id of its last report.
pub(crate) type PageEnd = (DateTime<Utc>, Uuid);

/// A page of an organization's reports, the latest first, adopted ones included.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    after: Option<PageEnd>,
    limit: u64,
) -> Result<Vec<RecordedReport>, StoreError> {
    let mut query = Entity::find().of_organization(organization_id).timed();
    if let Some(after) = after {
        query = query.before(after);
    }
    let rows = query
        .order_by_desc(Column::ReportedAt)
        .order_by_desc(Column::Id)
        .limit(limit)
        .all(db)
        .await?;
    rows.into_iter()
        .map(|row| recorded(organization_id, row))
        .collect()
}

/// The reports that Stripe refused, by organization and time.
pub(crate) async fn list_refused(
    db: &impl ConnectionTrait,
    after: Option<HeldEnd>,
    limit: u64,
) -> Result<Vec<RecordedReport>, StoreError> {
    let mut query = Entity::find()
        .in_state(DeliveryState::Refused)
        .filter(Column::OrganizationId.is_not_null())
        .timed();
    if let Some(after) = after {
        query = query.behind(after);
    }
    let rows = query
        .order_by_asc(Column::OrganizationId)
        .order_by_asc(Column::ReportedAt)
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(db)
        .await?;
    rows.into_iter()
        .map(|row| recorded(row.organization_id.unwrap_or_default(), row))
        .collect()
}

/// These reports of an organization, the earliest first.
pub(crate) async fn get_many(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    ids: Vec<Uuid>,
) -> Result<Vec<RecordedReport>, StoreError> {
    let rows = Entity::find()
        .of_organization(organization_id)
        .among(ids)
        .order_by_asc(Column::ReportedAt)
        .order_by_asc(Column::Id)
        .all(db)
        .await?;
    rows.into_iter()
        .map(|row| recorded(organization_id, row))
        .collect()
}

fn recorded(organization_id: Uuid, row: Model) -> Result<RecordedReport, StoreError> {
    let state = DeliveryState::parse(&row.delivery_state)
        .ok_or_else(|| StoreError::unknown("delivery_state", &row.delivery_state))?;
    let baseline = row.compared_with.as_ref().and_then(|it| it.get(BASELINE));
    Ok(RecordedReport {
        id: row.id,
        counts: counts(&row, state),
        is_low: row.count_low,
        baseline: baseline.and_then(serde_json::Value::as_i64),
        organization_id,
        user_count: row.user_count,
        deployment_type: DeploymentType::parse(&row.deployment_type),
        reported_at: row.reported_at,
        received_at: row.received_at,
        state,
        stripe_meter_event_id: row.stripe_meter_event_id,
        error_code: row.error_code,
        error_message: row.error_message,
    })
}

/// As `store::baselines` has it in SQL: a release takes the reason of the hold out of `error_code`.
fn counts(row: &Model, state: DeliveryState) -> bool {
    let Some(reason) = row.hold_reason.as_deref() else {
        return true;
    };
    let may_be_held = match state {
        DeliveryState::Held
        | DeliveryState::Waiting
        | DeliveryState::NotBilled
        | DeliveryState::TooLate => true,
        DeliveryState::Queued
        | DeliveryState::Sent
        | DeliveryState::Superseded
        | DeliveryState::Refused
        | DeliveryState::MissedInvoice => false,
    };
    let code = row.error_code.as_deref();
    !(may_be_held && code.is_some_and(|code| code == reason || code == DISCARDED))
}
