DELETE FROM audit_events_to_tell WHERE admin_user_id IS NULL OR action NOT IN
    ('held_reports.released', 'held_reports.discarded', 'report.retried', 'report.replaced',
         'finding.dismissed');
ALTER TABLE audit_events_to_tell
    ALTER COLUMN admin_user_id SET NOT NULL,
    DROP CONSTRAINT audit_events_to_tell_action_check,
    ADD CONSTRAINT audit_events_to_tell_action_check CHECK (action IN
        ('held_reports.released', 'held_reports.discarded', 'report.retried', 'report.replaced',
         'finding.dismissed'));
ALTER TABLE usage_total DROP COLUMN unsigned_organization_count;
ALTER TABLE usage_report_spool
    DROP COLUMN signing_key,
    DROP COLUMN replaced_signing_key;
DROP TABLE signing_keys;
ALTER TABLE organization_reporting
    DROP COLUMN pinned_key,
    DROP COLUMN pinned_at,
    DROP COLUMN awaited_fingerprint,
    DROP COLUMN last_signing_key,
    DROP COLUMN gap_seen_on;
