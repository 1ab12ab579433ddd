-- The former release knows no word for what came too late for its invoice: it was not billed.
UPDATE usage_reports SET delivery_state = 'not_billed' WHERE delivery_state = 'missed_invoice';
DROP INDEX usage_reports_missed_idx;
REVOKE UPDATE ON usage_report_spool FROM billing_ingest;
ALTER TABLE usage_report_spool DROP COLUMN parked_at, DROP COLUMN error_message;
DROP TABLE billing_findings;
DROP INDEX organization_reporting_expected_idx;
ALTER TABLE organization_reporting DROP COLUMN billing_end_at, DROP COLUMN trial_end_at, DROP COLUMN invoiced_until;
CREATE INDEX organization_reporting_expected_idx
    ON organization_reporting (greatest(last_reported_at, billing_start_at), organization_id) WHERE billable;
ALTER TABLE unclaimed_subscriptions DROP COLUMN ended_at, DROP COLUMN invoiced_until;
ALTER TABLE organizations DROP COLUMN billing_end_at, DROP COLUMN invoiced_until;
ALTER TABLE stripe_subscriptions DROP COLUMN invoiced_until;
