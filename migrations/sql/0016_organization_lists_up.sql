-- Lists of a million organizations, each page by an index, in every order and under every filter.

-- By name, as people look for it: without regard to case.
CREATE INDEX organizations_pending_name_idx ON organizations (lower(name), id) WHERE stripe_customer_id IS NULL;
CREATE INDEX organizations_linked_name_idx ON organizations (lower(name), id) WHERE stripe_customer_id IS NOT NULL;

-- A filter names some statuses, plans and deployment types; every combination of them is a stretch
-- of these indexes that has the list's order, and a page is merged from the heads of the stretches.
-- So a rare combination is found as fast as a common one.
CREATE INDEX organizations_linked_facets_idx ON organizations
    (subscription_status, coalesce(plan_type, ''), coalesce(deployment_type, ''), created_at DESC, id DESC)
    WHERE stripe_customer_id IS NOT NULL;
CREATE INDEX organizations_linked_facets_name_idx ON organizations
    (subscription_status, coalesce(plan_type, ''), coalesce(deployment_type, ''), lower(name), id)
    WHERE stripe_customer_id IS NOT NULL;
-- What is pending has neither plan nor deployment type, but for rows of an older database.
CREATE INDEX organizations_pending_odd_idx ON organizations (created_at DESC, id DESC)
    WHERE stripe_customer_id IS NULL AND (plan_type IS NOT NULL OR deployment_type IS NOT NULL OR subscription_status <> 'pending');

-- Texts of one or two characters are looked for at the beginning, longer ones anywhere.
CREATE INDEX organizations_name_prefix_idx ON organizations (lower(name) text_pattern_ops);
CREATE INDEX organizations_instance_url_prefix_idx ON organizations (lower(instance_url) text_pattern_ops);

-- pg_trgm comes with PostgreSQL and may be created by the owner of a database; where it is not
-- installed, or not allowed, searching works as well and reads the whole table.
DO $$
DECLARE
    schema_name text;
BEGIN
    BEGIN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
    EXCEPTION WHEN insufficient_privilege OR feature_not_supported OR undefined_file THEN
        RAISE WARNING 'pg_trgm cannot be created (%): searching a very long list of organizations will be slow', SQLERRM;
    END;
    SELECT n.nspname INTO schema_name
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm';
    IF schema_name IS NOT NULL THEN
        EXECUTE format('CREATE INDEX organizations_search_idx ON organizations USING gin '
            || '((name || E''\n'' || coalesce(instance_url, '''') || E''\n'' || coalesce(admin_email, '''')) %I.gin_trgm_ops)', schema_name);
    END IF;
END
$$;
