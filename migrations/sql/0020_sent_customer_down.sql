ALTER TABLE usage_reports DROP COLUMN sent_customer_id;
