-- The four tables of Better Auth, exactly as its own migration makes them (versions 1.4 to 1.7).
-- Where one of them is already there it belongs to an existing deployment and stays as it is, in
-- whichever variant: a column that Better Auth does not know can stop a running server. org-svc
-- reads and writes them beside Better Auth.
-- The comment marks what was made here, so that the way down drops nothing else.
DO $$
DECLARE
    here         text := quote_ident(current_schema());
    user_id_type text := 'text';
    new_table    text;
    new_tables   text[];
    wanted       record;
    sequence     text;
BEGIN
    SELECT array_agg(name) INTO new_tables
    FROM unnest(ARRAY['user', 'session', 'account', 'verification']) AS name
    WHERE to_regclass(here || '.' || quote_ident(name)) IS NULL;

    CREATE TABLE IF NOT EXISTS "user" ("id" text not null primary key, "name" text not null, "email" text not null unique,
        "emailVerified" boolean not null, "image" text,
        "createdAt" timestamptz default CURRENT_TIMESTAMP not null, "updatedAt" timestamptz default CURRENT_TIMESTAMP not null);
    -- text, but for a deployment that generates UUIDs or serial numbers and lacks one of the others.
    SELECT format_type(atttypid, atttypmod) INTO user_id_type FROM pg_attribute
    WHERE attrelid = (here || '."user"')::regclass AND attname = 'id';

    EXECUTE format($table$
        CREATE TABLE IF NOT EXISTS "session" ("id" text not null primary key, "expiresAt" timestamptz not null, "token" text not null unique,
            "createdAt" timestamptz default CURRENT_TIMESTAMP not null, "updatedAt" timestamptz not null,
            "ipAddress" text, "userAgent" text, "userId" %1$s not null references "user" ("id") on delete cascade);
        CREATE TABLE IF NOT EXISTS "account" ("id" text not null primary key, "accountId" text not null, "providerId" text not null,
            "userId" %1$s not null references "user" ("id") on delete cascade, "accessToken" text, "refreshToken" text, "idToken" text,
            "accessTokenExpiresAt" timestamptz, "refreshTokenExpiresAt" timestamptz, "scope" text, "password" text,
            "createdAt" timestamptz default CURRENT_TIMESTAMP not null, "updatedAt" timestamptz not null);
        CREATE TABLE IF NOT EXISTS "verification" ("id" text not null primary key, "identifier" text not null, "value" text not null,
            "expiresAt" timestamptz not null, "createdAt" timestamptz default CURRENT_TIMESTAMP not null,
            "updatedAt" timestamptz default CURRENT_TIMESTAMP not null);
    $table$, user_id_type);

    FOREACH new_table IN ARRAY coalesce(new_tables, '{}') LOOP
        EXECUTE format('COMMENT ON TABLE %I IS %L', new_table, 'made by migration 0002_better_auth');
    END LOOP;

    -- Version 1.3 made no indexes; the Drizzle variant has other column names and its own.
    FOR wanted IN
        SELECT * FROM (VALUES ('session', 'userId'), ('account', 'userId'), ('verification', 'identifier')) AS v (tab, col)
        WHERE EXISTS (SELECT FROM pg_attribute WHERE attrelid = (here || '.' || quote_ident(v.tab))::regclass AND attname = v.col)
    LOOP
        EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I (%I)', wanted.tab || '_' || wanted.col || '_idx', wanted.tab, wanted.col);
    END LOOP;

    GRANT SELECT, INSERT, UPDATE, DELETE ON "user", "session", "account", "verification" TO billing_org;
    FOR sequence IN
        SELECT pg_get_serial_sequence(here || '.' || quote_ident(name), attname)
        FROM unnest(ARRAY['user', 'session', 'account', 'verification']) AS name
        JOIN pg_attribute ON attrelid = (here || '.' || quote_ident(name))::regclass AND attnum > 0 AND NOT attisdropped
        WHERE pg_get_serial_sequence(here || '.' || quote_ident(name), attname) IS NOT NULL
    LOOP
        EXECUTE format('GRANT USAGE, SELECT ON SEQUENCE %s TO billing_org', sequence);
    END LOOP;
END
$$;
