-- A subscription that is canceled at once drains first: what was reported is delivered, so that the
-- last invoice has it.

-- An older database may have a column of this name that means something else; what was in it is in
-- organizations.legacy.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'organizations'::regclass
               AND NOT attisdropped AND attname = 'draining') THEN
        ALTER TABLE organizations RENAME COLUMN draining TO older_draining;
    END IF;
END
$$;

-- Of org-svc.
ALTER TABLE organizations ADD COLUMN draining boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN organizations.draining IS 'whether its subscription is about to be canceled at once: part of how it stands';
ALTER TABLE link_operations ADD COLUMN drained_at timestamptz;
ALTER TABLE link_operations
    ADD CONSTRAINT link_operations_drained_check CHECK (drained_at IS NULL OR (kind = 'cancel' AND cancel_mode = 'now'));
COMMENT ON COLUMN link_operations.drained_at IS 'when ingest-svc confirmed that everything is delivered: from then on Stripe may be asked';

-- Of ingest-svc.
ALTER TABLE organization_reporting
    ADD COLUMN draining                   boolean NOT NULL DEFAULT false,
    ADD COLUMN drained_version            bigint,
    ADD COLUMN drain_acknowledged_version bigint,
    ADD COLUMN drain_attempt_count        integer NOT NULL DEFAULT 0,
    ADD COLUMN drain_step_at              timestamptz;
CREATE INDEX organization_reporting_draining_idx ON organization_reporting (organization_id) WHERE draining;
COMMENT ON COLUMN organization_reporting.draining IS 'whether its subscription is about to be canceled at once, as org-svc last told';
COMMENT ON COLUMN organization_reporting.drained_version IS 'the standing under which nothing was left to deliver: while it is the present one, new reports wait';
COMMENT ON COLUMN organization_reporting.drain_acknowledged_version IS 'the standing of which org-svc knows that it was drained';
COMMENT ON COLUMN organization_reporting.drain_step_at IS 'when the drain is next looked at; NULL at once';
