-- Brings the organizations and usage_reports of an older database, where they exist, to the
-- specification's columns and types; 0004 and 0005 then add what the services need beside them. A
-- database without them is left as it is.
--
-- No row is lost, and no value: an organization's row as it was is kept in organizations.legacy (all
-- but its billing_token, which stays in its column), a report's in usage_reports.legacy where a
-- value had to change. Columns that the specification no longer knows stay, but bind nobody.
-- Values are changed wherever a rule of 0004 or 0005 would refuse them: NOT VALID spares the row that
-- is there, not its next update.

-- The UUID that a text holds, else NULL.
CREATE FUNCTION adopt_uuid(value text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN btrim(value) ~* '^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$' THEN btrim(value)::uuid END
$$;

-- 'On_Premise ' is on-premise.
CREATE FUNCTION adopt_word(value text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT nullif(regexp_replace(lower(btrim(value)), '[\s_-]+', '-', 'g'), '')
$$;

-- One line of text without control characters; NULL when nothing is left.
CREATE FUNCTION adopt_line(value text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT nullif(btrim(regexp_replace(value, '[[:cntrl:]]+', ' ', 'g')), '')
$$;

-- A seat count within our bounds; 0 where there is no number.
CREATE FUNCTION adopt_count(value text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN btrim(value) ~ '^-?[0-9]+(\.[0-9]+)?$'
        THEN round(least(greatest(btrim(value)::numeric, 0), 10000000))::integer ELSE 0 END
$$;

-- Gives a table the column with the type, by the conversion (a format() pattern of the column's name).
CREATE FUNCTION adopt_column(tab text, col text, wanted text, conversion text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    present text;
BEGIN
    SELECT format_type(atttypid, atttypmod) INTO present FROM pg_attribute
    WHERE attrelid = format('%I.%I', current_schema(), tab)::regclass AND attname = col AND NOT attisdropped;
    IF present IS NULL THEN
        EXECUTE format('ALTER TABLE %I ADD COLUMN %I %s', tab, col, wanted);
    ELSIF present LIKE 'timestamp%' AND wanted = 'timestamp with time zone' AND present <> wanted THEN
        -- Without USING, and in UTC, PostgreSQL need not write the table again.
        EXECUTE format('ALTER TABLE %I ALTER COLUMN %I TYPE %s', tab, col, wanted);
    ELSIF present <> wanted THEN
        EXECUTE format('ALTER TABLE %I ALTER COLUMN %I TYPE %s USING %s', tab, col, wanted, format(conversion, col));
    END IF;
END
$$;

-- Frees a table from its old rules: ours come with 0004 and 0005, and the names of columns and
-- indexes that we are about to make must be free.
CREATE FUNCTION adopt_table(tab text, specified text[], ours text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    rel     regclass := format('%I.%I', current_schema(), tab)::regclass;
    numbers int2[];
    found   record;
BEGIN
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', tab);
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = rel AND attname = 'id' AND NOT attisdropped) AND tab = 'organizations' THEN
        RAISE EXCEPTION 'the table organizations has no column id, so it cannot be adopted'
            USING HINT = 'If it is no table of billing, migrate into a database or a schema of its own.';
    END IF;
    SELECT array_agg(attnum) INTO numbers FROM pg_attribute
    WHERE attrelid = rel AND attname = ANY (specified) AND NOT attisdropped;

    FOR found IN
        SELECT conname FROM pg_constraint
        WHERE conrelid = rel AND (contype = 'c' OR (contype IN ('f', 'u', 'x') AND conkey && numbers))
          -- What another table's foreign key may point to stays: the id's own key.
          AND NOT (contype = 'u' AND conkey = ARRAY(SELECT attnum FROM pg_attribute WHERE attrelid = rel AND attname = 'id'))
    LOOP
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', tab, found.conname);
    END LOOP;
    FOR found IN
        SELECT indexrelid::regclass AS name FROM pg_index
        WHERE indrelid = rel AND NOT indisprimary
          AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
          AND (indkey::int2[] && numbers OR indexprs IS NOT NULL OR indpred IS NOT NULL)
    LOOP
        EXECUTE format('DROP INDEX %s', found.name);
    END LOOP;
    FOR found IN
        SELECT attname FROM pg_attribute WHERE attrelid = rel AND attname = ANY (ours) AND NOT attisdropped
    LOOP
        EXECUTE format('ALTER TABLE %I RENAME COLUMN %I TO %I', tab, found.attname, 'older_' || found.attname);
    END LOOP;

    FOR found IN
        SELECT attname, attnotnull, attidentity, atthasdef, attname = ANY (specified) AS is_specified,
               EXISTS (SELECT FROM pg_index WHERE indrelid = rel AND indisprimary AND attnum = ANY (indkey)) AS is_key
        FROM pg_attribute WHERE attrelid = rel AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
    LOOP
        IF found.is_specified AND found.attidentity <> '' THEN
            EXECUTE format('ALTER TABLE %I ALTER COLUMN %I DROP IDENTITY', tab, found.attname);
        ELSIF found.is_specified AND found.atthasdef THEN
            EXECUTE format('ALTER TABLE %I ALTER COLUMN %I DROP DEFAULT', tab, found.attname);
        END IF;
        IF found.attnotnull AND NOT found.is_key AND (found.attidentity = '' OR found.is_specified) THEN
            EXECUTE format('ALTER TABLE %I ALTER COLUMN %I DROP NOT NULL', tab, found.attname);
        END IF;
    END LOOP;
    EXECUTE format('ALTER TABLE %I ADD COLUMN legacy jsonb', tab);
END
$$;

-- The id is the table's key, as the specification says.
CREATE FUNCTION adopt_key(tab text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    rel regclass := format('%I.%I', current_schema(), tab)::regclass;
BEGIN
    IF EXISTS (SELECT FROM pg_index WHERE indrelid = rel AND indisunique AND indpred IS NULL AND indnkeyatts = 1
               AND indkey[0] = (SELECT attnum FROM pg_attribute WHERE attrelid = rel AND attname = 'id')) THEN
        EXECUTE format('ALTER TABLE %I ALTER COLUMN id SET NOT NULL', tab);
    ELSIF EXISTS (SELECT FROM pg_index WHERE indrelid = rel AND indisprimary) THEN
        EXECUTE format('ALTER TABLE %I ALTER COLUMN id SET NOT NULL, ADD UNIQUE (id)', tab);
    ELSE
        EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (id)', tab);
    END IF;
END
$$;

CREATE FUNCTION adopt_organizations() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    col text;
    bad text;
BEGIN
    SELECT string_agg(quote_nullable(id), ', ') INTO bad
    FROM (SELECT id::text FROM organizations WHERE adopt_uuid(id::text) IS NULL LIMIT 5) AS sample;
    IF bad IS NOT NULL THEN
        RAISE EXCEPTION 'organizations holds ids that are no UUIDs, among them: %', bad
            USING HINT = 'An instance reports under its own UUID. Give these rows the UUID of their instance, then migrate again; nothing was changed.';
    END IF;
    UPDATE organizations o SET legacy = to_jsonb(o) - 'legacy' - 'billing_token';
    ALTER TABLE organizations ADD COLUMN billing_problem text;

    PERFORM adopt_column('organizations', 'id', 'uuid', 'adopt_uuid(%I::text)');
    FOREACH col IN ARRAY ARRAY['name', 'instance_url', 'stripe_customer_id', 'stripe_subscription_id', 'deployment_type',
                               'plan_type', 'subscription_status', 'admin_email'] LOOP
        PERFORM adopt_column('organizations', col, 'text', '%I::text');
    END LOOP;
    -- Times without a zone are UTC, which is also this transaction's zone.
    FOREACH col IN ARRAY ARRAY['trial_end', 'created_at', 'updated_at'] LOOP
        PERFORM adopt_column('organizations', col, 'timestamp with time zone', 'nullif(%I::text, '''')::timestamptz');
    END LOOP;

    UPDATE organizations SET
        name = btrim(left(coalesce(adopt_line(name), adopt_line(instance_url), 'Unnamed organization'), 200)),
        instance_url = btrim(left(adopt_line(instance_url), 255)),
        admin_email = adopt_line(admin_email),
        stripe_customer_id = adopt_line(stripe_customer_id),
        stripe_subscription_id = adopt_line(stripe_subscription_id),
        deployment_type = CASE WHEN adopt_word(deployment_type) IN ('on-premise', 'managed-cloud') THEN adopt_word(deployment_type) END,
        plan_type = CASE WHEN adopt_word(plan_type) IN ('managed-cloud', 'self-hosted') THEN adopt_word(plan_type) END,
        subscription_status = CASE translate(adopt_word(subscription_status), '-', '_')
            WHEN 'trial' THEN 'trial' WHEN 'trialing' THEN 'trial' WHEN 'trialling' THEN 'trial'
            WHEN 'active' THEN 'active' WHEN 'past_due' THEN 'past_due' WHEN 'unpaid' THEN 'unpaid'
            WHEN 'incomplete' THEN 'incomplete' WHEN 'incomplete_expired' THEN 'incomplete_expired'
            WHEN 'paused' THEN 'paused' WHEN 'canceled' THEN 'canceled' WHEN 'cancelled' THEN 'canceled'
            ELSE 'pending' END,
        created_at = coalesce(created_at, updated_at, now()),
        updated_at = coalesce(updated_at, created_at, now());

    -- One customer and one subscription belong to one organization, and a subscription has a
    -- customer. Where that was not so, the row that looks most like the owner keeps the link; the
    -- others are unlinked, and say why until a person has looked.
    UPDATE organizations o SET stripe_subscription_id = NULL,
        billing_problem = format('its Stripe subscription %s is also stored for organization %s: see whose it is before linking it', o.stripe_subscription_id, claim.owner)
    FROM (SELECT id, first_value(id) OVER (PARTITION BY stripe_subscription_id ORDER BY stripe_customer_id IS NULL, created_at, id) AS owner
          FROM organizations WHERE stripe_subscription_id IS NOT NULL) AS claim
    WHERE claim.id = o.id AND claim.owner <> o.id;
    UPDATE organizations o SET stripe_customer_id = NULL,
        billing_problem = concat_ws('; ', o.billing_problem, format('its Stripe customer %s is also stored for organization %s: see whose it is before linking it', o.stripe_customer_id, claim.owner))
    FROM (SELECT id, first_value(id) OVER (PARTITION BY stripe_customer_id ORDER BY stripe_subscription_id IS NULL, created_at, id) AS owner
          FROM organizations WHERE stripe_customer_id IS NOT NULL) AS claim
    WHERE claim.id = o.id AND claim.owner <> o.id;
    UPDATE organizations SET stripe_subscription_id = NULL,
        billing_problem = concat_ws('; ', billing_problem, format('its Stripe subscription %s was stored without a customer: end it in Stripe before linking it', stripe_subscription_id))
    WHERE stripe_subscription_id IS NOT NULL AND stripe_customer_id IS NULL;
    UPDATE organizations SET subscription_status = 'pending' WHERE stripe_customer_id IS NULL;
    -- Until the catalog names the meter of its subscription nothing is sent for it.
    UPDATE organizations SET billing_problem = 'needs migration: the catalog names no meter for its subscription'
    WHERE stripe_customer_id IS NOT NULL AND billing_problem IS NULL;

    FOREACH col IN ARRAY ARRAY['deployment_type', 'plan_type', 'subscription_status'] LOOP
        PERFORM adopt_column('organizations', col, 'character varying(20)', '%I');
    END LOOP;
    ALTER TABLE organizations
        ALTER COLUMN name SET NOT NULL,
        ALTER COLUMN subscription_status SET DEFAULT 'pending',
        ALTER COLUMN created_at SET DEFAULT now(),
        ALTER COLUMN updated_at SET DEFAULT now(),
        ADD CONSTRAINT organizations_stripe_customer_id_key UNIQUE (stripe_customer_id),
        ADD CONSTRAINT organizations_stripe_subscription_id_key UNIQUE (stripe_subscription_id);
    PERFORM adopt_key('organizations');
END
$$;

CREATE FUNCTION adopt_usage_reports() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM adopt_column('usage_reports', 'id', 'uuid', '%I') WHERE NOT EXISTS
        (SELECT FROM pg_attribute WHERE attrelid = 'usage_reports'::regclass AND attname = 'id' AND NOT attisdropped);
    PERFORM adopt_column('usage_reports', 'organization_id', 'uuid', '%I') WHERE NOT EXISTS
        (SELECT FROM pg_attribute WHERE attrelid = 'usage_reports'::regclass AND attname = 'organization_id' AND NOT attisdropped);
    PERFORM adopt_column('usage_reports', 'user_count', 'integer', '%I') WHERE NOT EXISTS
        (SELECT FROM pg_attribute WHERE attrelid = 'usage_reports'::regclass AND attname = 'user_count' AND NOT attisdropped);
    PERFORM adopt_column('usage_reports', 'stripe_meter_event_id', 'text', '%I::text');
    PERFORM adopt_column('usage_reports', 'deployment_type', 'text', '%I::text');

    -- A report whose id is no UUID gets one that is derived from it; one whose organization's id is
    -- none belongs to no organization that there can be.
    UPDATE usage_reports r SET
        legacy = CASE WHEN odd.is_odd THEN to_jsonb(r) - 'legacy' END,
        user_count = adopt_count(r.user_count::text),
        deployment_type = CASE WHEN adopt_word(r.deployment_type) IN ('unassigned', 'on-premise', 'managed-cloud')
            THEN adopt_word(r.deployment_type) ELSE 'unassigned' END,
        stripe_meter_event_id = adopt_line(r.stripe_meter_event_id)
    FROM (
        SELECT ctid AS place, deployment_type IS NULL AS is_untyped,
            coalesce(
                (id IS NOT NULL AND adopt_uuid(id::text) IS NULL)
                OR (organization_id IS NOT NULL AND adopt_uuid(organization_id::text) IS NULL)
                OR user_count::text IS DISTINCT FROM adopt_count(user_count::text)::text
                OR stripe_meter_event_id IS DISTINCT FROM adopt_line(stripe_meter_event_id)
                OR deployment_type NOT IN ('unassigned', 'on-premise', 'managed-cloud'), false) AS is_odd
        FROM usage_reports
    ) AS odd
    WHERE r.ctid = odd.place AND (odd.is_odd OR odd.is_untyped);

    PERFORM adopt_column('usage_reports', 'id', 'uuid',
        'coalesce(adopt_uuid(%1$I::text), md5(''usage_reports:'' || %1$I::text)::uuid)');
    UPDATE usage_reports SET id = gen_random_uuid() WHERE id IS NULL;
    PERFORM adopt_column('usage_reports', 'organization_id', 'uuid', 'adopt_uuid(%I::text)');
    PERFORM adopt_column('usage_reports', 'user_count', 'integer', 'adopt_count(%I::text)');
    PERFORM adopt_column('usage_reports', 'deployment_type', 'character varying(20)', '%I');
    PERFORM adopt_column('usage_reports', 'reported_at', 'timestamp with time zone', 'nullif(%I::text, '''')::timestamptz');
    ALTER TABLE usage_reports
        ALTER COLUMN id SET DEFAULT gen_random_uuid(),
        ALTER COLUMN user_count SET NOT NULL,
        ALTER COLUMN deployment_type SET NOT NULL,
        ALTER COLUMN reported_at SET DEFAULT now();
    PERFORM adopt_key('usage_reports');
END
$$;

SET LOCAL timezone = 'UTC';
SET CONSTRAINTS ALL IMMEDIATE;

DO $$
DECLARE
    has_organizations boolean := to_regclass(quote_ident(current_schema()) || '.organizations') IS NOT NULL;
    has_usage_reports boolean := to_regclass(quote_ident(current_schema()) || '.usage_reports') IS NOT NULL;
BEGIN
    -- The reports first: their foreign key would hold the organizations' ids to their old type. 0005
    -- makes it again.
    IF has_usage_reports THEN
        PERFORM adopt_table('usage_reports',
            ARRAY['id', 'organization_id', 'user_count', 'deployment_type', 'reported_at', 'stripe_meter_event_id'],
            ARRAY['adopted', 'organization_name', 'instance_url', 'received_at', 'delivery_state', 'attempt_count',
                  'next_attempt_at', 'error_code', 'error_message', 'settled_at', 'legacy']);
    END IF;
    IF has_organizations THEN
        PERFORM adopt_table('organizations',
            ARRAY['id', 'name', 'instance_url', 'stripe_customer_id', 'stripe_subscription_id', 'deployment_type', 'plan_type',
                  'subscription_status', 'trial_end', 'admin_email', 'created_at', 'updated_at'],
            ARRAY['billing_start_at', 'reported_name', 'reported_instance_url', 'observed_at', 'billing_problem',
                  'standing_version', 'legacy']);
        PERFORM adopt_organizations();
    END IF;
    IF has_usage_reports THEN
        PERFORM adopt_usage_reports();
    END IF;
END
$$;

DROP FUNCTION adopt_usage_reports, adopt_organizations, adopt_key, adopt_table, adopt_column, adopt_count, adopt_line, adopt_word, adopt_uuid;
