-- Better Auth's counters of attempts, in its own shape (its rateLimit.storage "database"): every
-- replica, and a Better Auth beside us that keeps them in the database too, count in the same place.
-- Where the table is there already it stays as it is. The comment marks what was made here.
DO $$
DECLARE
    here     text := quote_ident(current_schema());
    sequence text;
BEGIN
    IF to_regclass(here || '."rateLimit"') IS NULL THEN
        CREATE TABLE "rateLimit" ("id" text not null primary key, "key" text not null unique,
            "count" integer not null, "lastRequest" bigint not null);
        COMMENT ON TABLE "rateLimit" IS 'made by migration 0015_better_auth_at_the_doors';
    END IF;
    GRANT SELECT, INSERT, UPDATE, DELETE ON "rateLimit" TO billing_org;
    FOR sequence IN
        SELECT pg_get_serial_sequence(here || '."rateLimit"', attname) FROM pg_attribute
        WHERE attrelid = (here || '."rateLimit"')::regclass AND attnum > 0 AND NOT attisdropped
          AND pg_get_serial_sequence(here || '."rateLimit"', attname) IS NOT NULL
    LOOP
        EXECUTE format('GRANT USAGE, SELECT ON SEQUENCE %s TO billing_org', sequence);
    END LOOP;
END
$$;

-- When an admin was last here, to a few minutes: sessions, which know it too, are deleted when they end.
ALTER TABLE admins ADD COLUMN last_seen_at timestamptz;
GRANT UPDATE (last_seen_at) ON admins TO billing_org;
