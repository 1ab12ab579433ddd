-- The roles stay: they belong to the cluster, and another database may use them.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['billing_ingest', 'billing_org', 'billing_stripe'] LOOP
        EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM %I', current_schema(), role_name);
    END LOOP;
END
$$;
