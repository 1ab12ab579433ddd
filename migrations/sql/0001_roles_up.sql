-- One role per service. Roles belong to the whole cluster, so another database of it may have made
-- them already, or be making them right now: both are fine.
-- A service connects as any user and runs SET ROLE; whoever migrates becomes a member of all three,
-- so that one DATABASE_URL is enough. Other logins: GRANT billing_ingest TO some_login; and so on.
-- Since PostgreSQL 16 who creates a role is its member without the right to SET ROLE, until granted.
DO $$
DECLARE
    role_name text;
    needed    text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['billing_ingest', 'billing_org', 'billing_stripe'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        IF NOT pg_has_role(current_user, role_name, needed) THEN
            EXECUTE format('GRANT %I TO %I', role_name, current_user);
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role_name);
    END LOOP;
END
$$;
