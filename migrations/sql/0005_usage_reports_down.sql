-- Drops what 0005 made, with what ingest-svc has stored in it. Reports that were taken over from an
-- older database are nobody's to drop in passing.
DO $$
DECLARE
    adopted_count bigint;
BEGIN
    SELECT count(*) INTO adopted_count FROM usage_reports WHERE adopted;
    IF adopted_count > 0 THEN
        RAISE EXCEPTION 'usage_reports holds % rows of the older database, so it is not dropped', adopted_count
            USING HINT = 'To go back to the older system restore the backup from before the migration. Nothing was changed.';
    END IF;
END
$$;
DROP TABLE feed_cursors, organization_reporting, usage_report_spool, usage_reports;
