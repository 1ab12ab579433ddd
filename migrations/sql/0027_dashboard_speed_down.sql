DROP INDEX organization_reporting_expected_idx;
CREATE INDEX organization_reporting_expected_idx
    ON organization_reporting (greatest(last_reported_at, billing_start_at), organization_id)
    WHERE billable AND billing_end_at IS NULL;
