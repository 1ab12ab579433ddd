DROP TABLE audit_events_to_tell;
COMMENT ON COLUMN stripe_meter_events.resend_count IS 'the resend that it was last asked for: a greater one opens an accepted event again';
COMMENT ON COLUMN usage_reports.resend_count IS 'how often reconciliation put it back into the queue, because Stripe''s meter lacked it';
ALTER TABLE usage_reports DROP COLUMN retry_count;
