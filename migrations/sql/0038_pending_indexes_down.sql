CREATE INDEX organizations_pending_name_idx ON organizations (lower(name), id) WHERE stripe_customer_id IS NULL;
CREATE INDEX organizations_name_prefix_idx ON organizations (lower(name) text_pattern_ops);
CREATE INDEX organizations_instance_url_prefix_idx ON organizations (lower(instance_url) text_pattern_ops);
DROP INDEX IF EXISTS organizations_pending_form_idx;
DROP INDEX IF EXISTS organizations_linked_form_idx;
DROP INDEX organizations_formless_idx;
DROP INDEX organizations_url_form_idx;
DROP INDEX organizations_name_form_idx;
DROP INDEX organization_changes_organization_idx;
DROP INDEX organizations_source_network_idx;
DROP INDEX organizations_unignored_name_idx;
DROP INDEX organizations_unignored_idx;
DROP INDEX organizations_ignored_idx;
DO $$
DECLARE
    schema_name text;
    side        record;
BEGIN
    SELECT n.nspname INTO schema_name
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm';
    IF schema_name IS NOT NULL THEN
        FOR side IN SELECT * FROM (VALUES ('pending', 'NULL'), ('linked', 'NOT NULL')) AS v (name, is_what) LOOP
            EXECUTE format('CREATE INDEX organizations_%s_search_idx ON organizations '
                || 'USING gin (search_text %I.gin_trgm_ops) WHERE stripe_customer_id IS %s',
                side.name, schema_name, side.is_what);
        END LOOP;
    END IF;
END
$$;
