REVOKE UPDATE (last_seen_at) ON admins FROM billing_org;
ALTER TABLE admins DROP COLUMN last_seen_at;
DO $$
BEGIN
    IF obj_description(format('%I."rateLimit"', current_schema())::regclass, 'pg_class') = 'made by migration 0015_better_auth_at_the_doors' THEN
        DROP TABLE "rateLimit";
    ELSE
        REVOKE ALL ON "rateLimit" FROM billing_org;
    END IF;
END
$$;
