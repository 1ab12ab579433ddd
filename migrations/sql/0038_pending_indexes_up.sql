-- outside a transaction
-- The list of ignored organizations in its order, the groups of pending and of ignored ones, and the
-- pending ones without those that are ignored: a hundred thousand of these are then no work.
CREATE INDEX CONCURRENTLY IF NOT EXISTS organizations_ignored_idx ON organizations (created_at DESC, id DESC)
    WHERE stripe_customer_id IS NULL AND ignored_at IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS organizations_unignored_idx ON organizations (created_at DESC, id DESC)
    WHERE stripe_customer_id IS NULL AND ignored_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS organizations_unignored_name_idx ON organizations (lower(name), id)
    WHERE stripe_customer_id IS NULL AND ignored_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS organizations_source_network_idx ON organizations (source_network, created_at DESC)
    WHERE stripe_customer_id IS NULL AND source_network IS NOT NULL;
-- An organization that is deleted takes its entries of the feed along.
CREATE INDEX CONCURRENTLY IF NOT EXISTS organization_changes_organization_idx ON organization_changes (organization_id);

-- What a search looks at: texts of one or two characters at the beginning, longer ones anywhere; and the
-- rows that have no normal form yet.
CREATE INDEX CONCURRENTLY IF NOT EXISTS organizations_name_form_idx ON organizations
    (left(search_form, 8) text_pattern_ops);
CREATE INDEX CONCURRENTLY IF NOT EXISTS organizations_url_form_idx ON organizations
    (left(split_part(search_form, E'\n', 2), 8) text_pattern_ops);
CREATE INDEX CONCURRENTLY IF NOT EXISTS organizations_formless_idx ON organizations (id) WHERE search_form IS NULL;
-- Of letters, where pg_trgm is installed. No row has a normal form yet, so that both are built at once.
DO $$
DECLARE
    schema_name text;
    side        record;
BEGIN
    SELECT n.nspname INTO schema_name
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm';
    IF schema_name IS NOT NULL THEN
        FOR side IN SELECT * FROM (VALUES ('pending', 'NULL'), ('linked', 'NOT NULL')) AS v (name, is_what) LOOP
            EXECUTE format('CREATE INDEX IF NOT EXISTS organizations_%s_form_idx ON organizations '
                || 'USING gin (search_form %I.gin_trgm_ops) WHERE stripe_customer_id IS %s AND search_form IS NOT NULL',
                side.name, schema_name, side.is_what);
        END LOOP;
    END IF;
END
$$;
-- What the indexes above take the place of. A service of the release before reads whole tables instead,
-- as long as it still runs.
DROP INDEX CONCURRENTLY IF EXISTS organizations_pending_name_idx;
DROP INDEX CONCURRENTLY IF EXISTS organizations_name_prefix_idx;
DROP INDEX CONCURRENTLY IF EXISTS organizations_instance_url_prefix_idx;
DROP INDEX CONCURRENTLY IF EXISTS organizations_pending_search_idx;
DROP INDEX CONCURRENTLY IF EXISTS organizations_linked_search_idx;
