DROP TABLE usage_total, usage_days;
DROP INDEX organization_reporting_expected_idx;
ALTER TABLE organization_reporting
    DROP CONSTRAINT organization_reporting_baseline_check,
    DROP COLUMN baseline_instance_url,
    DROP COLUMN baseline_reported_at,
    DROP COLUMN baseline_user_count;
DROP TABLE hold_decisions;
DROP INDEX usage_reports_reported_at_idx, usage_reports_queued_idx, usage_reports_refused_idx, usage_reports_held_idx;
-- Nothing that is held may be sent by a release that does not know of it.
UPDATE usage_reports SET delivery_state = 'not_billed', settled_at = now() WHERE delivery_state = 'held';
ALTER TABLE usage_reports
    DROP CONSTRAINT usage_reports_delivery_state_check,
    ADD CONSTRAINT usage_reports_delivery_state_check CHECK (delivery_state IN
        ('waiting', 'queued', 'sent', 'superseded', 'refused', 'not_billed', 'too_late', 'missed_invoice')),
    DROP CONSTRAINT usage_reports_held_check,
    DROP CONSTRAINT usage_reports_hold_reason_check,
    DROP COLUMN hold_reason;
