-- More reasons to hold a report. Every row satisfies the old list, which is part of the new one: so the
-- rows are not read again.
ALTER TABLE usage_reports
    DROP CONSTRAINT usage_reports_hold_reason_check,
    ADD CONSTRAINT usage_reports_hold_reason_check CHECK (hold_reason IN
        ('count_jump', 'count_drop', 'other_url', 'new_network', 'unsigned', 'other_key')) NOT VALID;
