ALTER TABLE usage_reports DROP COLUMN first_sent_at;
