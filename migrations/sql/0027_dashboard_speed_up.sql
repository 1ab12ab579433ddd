-- The overview counts who is late and silent by this index alone: what the expression is made of is
-- in it, so that no row of the table is looked at.
DROP INDEX organization_reporting_expected_idx;
CREATE INDEX organization_reporting_expected_idx
    ON organization_reporting (greatest(last_reported_at, billing_start_at), organization_id)
    INCLUDE (last_reported_at, billing_start_at)
    WHERE billable AND billing_end_at IS NULL;
