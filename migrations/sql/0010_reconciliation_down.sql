DROP INDEX organization_reporting_linked_idx;
DROP TABLE reconciliation_pass, reconciliation_findings;
ALTER TABLE stripe_meter_events DROP COLUMN resend_count;
ALTER TABLE usage_reports DROP COLUMN resend_count;
