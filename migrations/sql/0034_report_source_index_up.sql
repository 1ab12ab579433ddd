-- outside a transaction

-- The addresses that are to be forgotten, the oldest first.
CREATE INDEX CONCURRENTLY IF NOT EXISTS usage_reports_source_idx ON usage_reports (received_at) WHERE source_address IS NOT NULL;
