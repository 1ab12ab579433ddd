-- When a report was first on its way to Stripe. What may have arrived there is brought to its end before
-- a later report of its day is sent: on its way it could be overtaken, and then count for the day.
ALTER TABLE usage_reports ADD COLUMN first_sent_at timestamptz;
COMMENT ON COLUMN usage_reports.first_sent_at IS 'when its meter event was first on its way to Stripe; NULL before that';
-- Which of those in the queue have been on their way is not known; those that failed before have.
UPDATE usage_reports SET first_sent_at = received_at
WHERE delivery_state = 'queued' AND (attempt_count > 0 OR error_code IS NOT NULL);
