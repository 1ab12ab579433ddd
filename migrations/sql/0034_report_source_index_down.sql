DROP INDEX IF EXISTS usage_reports_source_idx;
