ALTER TABLE organization_reporting
    DROP COLUMN period_start_at,
    DROP COLUMN period_end_at;
