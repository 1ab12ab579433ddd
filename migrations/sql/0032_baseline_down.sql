DELETE FROM audit_events_to_tell WHERE admin_user_id IS NULL;
ALTER TABLE audit_events_to_tell ALTER COLUMN admin_user_id SET NOT NULL;
UPDATE hold_decisions SET admin_user_id = 'configuration', admin_email = 'configuration' WHERE admin_user_id IS NULL;
ALTER TABLE hold_decisions
    ALTER COLUMN admin_user_id SET NOT NULL,
    ALTER COLUMN admin_email SET NOT NULL;
DROP TABLE hold_group_decisions;
DELETE FROM notices_to_tell WHERE kind = 'count.low';
ALTER TABLE notices_to_tell
    DROP CONSTRAINT notices_to_tell_kind_check,
    ADD CONSTRAINT notices_to_tell_kind_check CHECK (kind IN
        ('instances.silent', 'report.held', 'hold.ending', 'delivery.refused', 'finding.opened'));
ALTER TABLE usage_reports
    DROP COLUMN hold_cause,
    DROP COLUMN compared_with,
    DROP COLUMN count_low;
ALTER TABLE organization_reporting
    DROP CONSTRAINT organization_reporting_anchor_check,
    DROP CONSTRAINT organization_reporting_days_check,
    DROP COLUMN low_since,
    DROP COLUMN anchor_days,
    DROP COLUMN anchor_at,
    DROP COLUMN anchor_user_count,
    DROP COLUMN day_reported_at,
    DROP COLUMN day_user_counts;
