-- For whom a report was first on its way to Stripe. Its outcome is asked for under that customer, though
-- its organization is unlinked meanwhile, or linked again: only Stripe can say whether it is billed.
ALTER TABLE usage_reports ADD COLUMN sent_customer_id text;
COMMENT ON COLUMN usage_reports.sent_customer_id IS 'the Stripe customer of its meter event, once that was on its way';
UPDATE usage_reports u SET sent_customer_id = r.stripe_customer_id
FROM organization_reporting r
WHERE r.organization_id = u.organization_id AND u.delivery_state = 'queued' AND u.first_sent_at IS NOT NULL;
