-- From when ingest-svc has confirmed that everything is delivered until Stripe has canceled, how the
-- organization stands may change. That it is drained is therefore part of how it stands, and not only
-- of one version of that: nothing is sent in between that the last invoice would not have.

-- An older database may have a column of this name that means something else; what was in it is in
-- organizations.legacy.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'organizations'::regclass
               AND NOT attisdropped AND attname = 'drained') THEN
        ALTER TABLE organizations RENAME COLUMN drained TO older_drained;
    END IF;
END
$$;

-- Of org-svc. The former release, which may run beside this one, ends a drain without knowing of it: so
-- it means something only while the organization drains.
ALTER TABLE organizations ADD COLUMN drained boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN organizations.drained IS 'whether everything of an organization that drains is delivered: part of how it stands';
UPDATE organizations o SET drained = true
WHERE o.draining AND EXISTS (SELECT FROM link_operations op
    WHERE op.organization_id = o.id AND op.state = 'running' AND op.drained_at IS NOT NULL);

-- Of ingest-svc.
ALTER TABLE organization_reporting ADD COLUMN drained boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN organization_reporting.drained IS 'whether org-svc knows that an organization that drains is drained: while it is, new reports wait';
