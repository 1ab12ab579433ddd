-- The release before knows two reasons. What is held for another stays held.
UPDATE usage_reports SET hold_reason = 'other_url' WHERE hold_reason IN ('new_network', 'unsigned', 'other_key');
UPDATE usage_reports SET hold_reason = 'count_jump' WHERE hold_reason = 'count_drop';
ALTER TABLE usage_reports
    DROP CONSTRAINT usage_reports_hold_reason_check,
    ADD CONSTRAINT usage_reports_hold_reason_check CHECK (hold_reason IN ('count_jump', 'other_url')) NOT VALID;
