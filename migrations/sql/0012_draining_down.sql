-- The former release would not end a drain that is under way, nor know what it was for.
DO $$
BEGIN
    IF EXISTS (SELECT FROM organizations WHERE draining) THEN
        RAISE EXCEPTION 'there are subscriptions that are being canceled right now'
            USING HINT = 'Wait until no organization is draining, then try again. Nothing was changed.';
    END IF;
END
$$;
DROP INDEX organization_reporting_draining_idx;
ALTER TABLE organization_reporting
    DROP COLUMN draining,
    DROP COLUMN drained_version,
    DROP COLUMN drain_acknowledged_version,
    DROP COLUMN drain_attempt_count,
    DROP COLUMN drain_step_at;
ALTER TABLE link_operations DROP COLUMN drained_at;
ALTER TABLE organizations DROP COLUMN draining;
