-- What a search looks at is stored, in lower case: that of the tens of thousands which a short text finds
-- each is compared and sorted costs half of what it did. The table is written anew once: half a minute for
-- a million organizations.
ALTER TABLE organizations
    ADD COLUMN search_text text GENERATED ALWAYS AS
        (lower(name || E'\n' || coalesce(instance_url, '') || E'\n' || coalesce(admin_email, ''))) STORED,
    ADD COLUMN search_name text GENERATED ALWAYS AS (lower(name)) STORED;
COMMENT ON COLUMN organizations.search_text IS 'name, URL and e-mail as a search looks at them';
COMMENT ON COLUMN organizations.search_name IS 'the name as what a search finds is sorted by it';

-- Each list has an index of its own texts: a text that many of the billed have is then no work for the
-- pending, and the other way round.
DO $$
DECLARE
    schema_name text;
    side        record;
BEGIN
    SELECT n.nspname INTO schema_name
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm';
    IF schema_name IS NOT NULL THEN
        DROP INDEX IF EXISTS organizations_search_idx;
        FOR side IN SELECT * FROM (VALUES ('pending', 'NULL'), ('linked', 'NOT NULL')) AS v (name, is_what) LOOP
            EXECUTE format('CREATE INDEX organizations_%s_search_idx ON organizations '
                || 'USING gin (search_text %I.gin_trgm_ops) WHERE stripe_customer_id IS %s',
                side.name, schema_name, side.is_what);
        END LOOP;
    END IF;
END
$$;
