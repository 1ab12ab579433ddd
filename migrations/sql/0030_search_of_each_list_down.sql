-- With the columns go the indexes of them.
ALTER TABLE organizations
    DROP COLUMN search_text,
    DROP COLUMN search_name;
DO $$
DECLARE
    schema_name text;
BEGIN
    SELECT n.nspname INTO schema_name
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm';
    IF schema_name IS NOT NULL THEN
        EXECUTE format('CREATE INDEX organizations_search_idx ON organizations USING gin '
            || '((name || E''\n'' || coalesce(instance_url, '''') || E''\n'' || coalesce(admin_email, '''')) %I.gin_trgm_ops)', schema_name);
    END IF;
END
$$;
