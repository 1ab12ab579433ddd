-- Drops what 0004 made, with what the services have stored in it. Rows that were taken over from an
-- older database are nobody's to drop in passing.
DO $$
DECLARE
    adopted_count bigint;
BEGIN
    SELECT count(*) INTO adopted_count FROM organizations WHERE legacy IS NOT NULL;
    IF adopted_count > 0 THEN
        RAISE EXCEPTION 'organizations holds % rows of the older database, so it is not dropped', adopted_count
            USING HINT = 'To go back to the older system restore the backup from before the migration; each row as it was is in organizations.legacy. Nothing was changed.';
    END IF;
END
$$;
DROP TABLE admins, audit_events, link_operations, organization_changes;
DROP TABLE organizations;
