DELETE FROM audit_events_to_tell WHERE action = 'report.replaced';
ALTER TABLE audit_events_to_tell
    DROP CONSTRAINT audit_events_to_tell_action_check,
    ADD CONSTRAINT audit_events_to_tell_action_check CHECK (action IN
        ('held_reports.released', 'held_reports.discarded', 'report.retried', 'finding.dismissed'));
DELETE FROM notices_to_tell WHERE kind = 'report.conflict';
ALTER TABLE notices_to_tell
    DROP CONSTRAINT notices_to_tell_kind_check,
    ADD CONSTRAINT notices_to_tell_kind_check CHECK (kind IN
        ('instances.silent', 'report.held', 'hold.ending', 'delivery.refused', 'finding.opened'));
DROP TABLE last_refusals;
DROP TABLE report_conflicts;
DROP TABLE organization_source_networks;
ALTER TABLE usage_report_spool DROP COLUMN source_address;
ALTER TABLE usage_reports DROP COLUMN source_address;
