//! Reports whose invoice was final before they could be on it: each UTC day of theirs is a finding.

use billing_kit_db::{StoreError, query::composed};
use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::{day_rule::replaces, notices::tell_opened};

/// Settles the missed reports of organizations, under their locks: one with a later report of its day
/// would not have counted anyway, and the others are shown to a person.
pub(crate) async fn settle(
    db: &impl ConnectionTrait,
    organizations: Vec<Uuid>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    const SUPERSEDE: &str = concat!(
        "UPDATE usage_reports u SET delivery_state = 'superseded', settled_at = {now}
        FROM organization_reporting r
        WHERE u.organization_id = ANY({organizations}) AND r.organization_id = u.organization_id
            AND u.delivery_state = 'missed_invoice'
            AND EXISTS (SELECT 1 FROM usage_reports later WHERE ",
        replaces!("'queued', 'missed_invoice'"),
        ")"
    );
    // What was invoiced of the day is what the report before said, if that was sent. Where it said
    // the same, nothing was missed. A finding that a person has dismissed opens anew with other
    // numbers.
    const RECORD: &str = concat!(
        "WITH open_before AS (
            SELECT id FROM billing_findings WHERE organization_id = ANY({organizations})
                AND kind = 'missed_invoice' AND resolved_at IS NULL AND dismissed_at IS NULL),
        recorded AS (
        INSERT INTO billing_findings AS f (organization_id, kind, day, period_start_at, period_end_at,
            expected, found, first_seen_at, last_seen_at)
        SELECT m.organization_id, 'missed_invoice', (m.reported_at AT TIME ZONE 'UTC')::date,
            d.start_at, d.start_at + interval '1 day', m.user_count, coalesce(s.user_count, 0), {now}, {now}
        FROM usage_reports m
        CROSS JOIN LATERAL (SELECT date_trunc('day', m.reported_at, 'UTC') AS start_at) d
        LEFT JOIN LATERAL (SELECT e.user_count FROM usage_reports e
            WHERE e.organization_id = m.organization_id AND NOT e.adopted AND e.delivery_state = 'sent'
                AND e.reported_at >= d.start_at AND e.reported_at < m.reported_at
            ORDER BY e.reported_at DESC LIMIT 1) s ON true
        WHERE m.organization_id = ANY({organizations}) AND m.delivery_state = 'missed_invoice'
            AND m.user_count <> coalesce(s.user_count, 0)
        ON CONFLICT ON CONSTRAINT billing_findings_subject_key DO UPDATE SET
            expected = excluded.expected, found = excluded.found,
            last_seen_at = greatest(f.last_seen_at, excluded.last_seen_at), resolved_at = NULL,
            dismissed_at = NULL, dismissed_by = NULL, dismiss_reason = NULL
        WHERE (f.expected, f.found) IS DISTINCT FROM (excluded.expected, excluded.found)
        RETURNING f.id, f.organization_id, f.kind, f.day, f.stripe_invoice_id, f.expected, f.found,
            f.dismissed_at) ",
        tell_opened!()
    );
    if organizations.is_empty() {
        return Ok(());
    }
    for statement in [SUPERSEDE, RECORD] {
        let values = [
            ("organizations", organizations.clone().into()),
            ("now", now.into()),
        ];
        db.execute_raw(composed(statement, values)).await?;
    }
    Ok(())
}
