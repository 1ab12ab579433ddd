-- Drops the tables that 0002 made. Those of an existing Better Auth deployment stay; org-svc only
-- loses its access to them.
DO $$
DECLARE
    tab text;
BEGIN
    FOREACH tab IN ARRAY ARRAY['verification', 'account', 'session', 'user'] LOOP
        IF obj_description(format('%I.%I', current_schema(), tab)::regclass, 'pg_class') = 'made by migration 0002_better_auth' THEN
            EXECUTE format('DROP TABLE %I', tab);
        ELSE
            EXECUTE format('REVOKE ALL ON %I FROM billing_org', tab);
        END IF;
    END LOOP;
END
$$;
