-- What ingest-svc knows and the operator's own channel is told: stored with the change that it tells of,
-- and handed to org-svc, which has the channel.
CREATE TABLE notices_to_tell (
    -- What it is called, so that org-svc stores it once: of held and refused reports, and of findings, one
    -- a day is told of an organization.
    key             text PRIMARY KEY CHECK (length(key) BETWEEN 1 AND 200),
    kind            varchar(40) NOT NULL CHECK (kind IN
        ('instances.silent', 'report.held', 'hold.ending', 'delivery.refused', 'finding.opened')),
    organization_id uuid,
    occurred_at     timestamptz NOT NULL,
    data            jsonb NOT NULL,
    attempt_count   integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    lease_token     uuid,
    lease_until     timestamptz,
    CHECK ((lease_token IS NULL) = (lease_until IS NULL)),
    CHECK ((organization_id IS NULL) = (kind = 'instances.silent'))
);
CREATE INDEX notices_to_tell_due_idx ON notices_to_tell (next_attempt_at);
COMMENT ON TABLE notices_to_tell IS 'ingest-svc: what org-svc has yet to be handed for the operator''s own channel; forgotten once it is';
COMMENT ON COLUMN notices_to_tell.organization_id IS 'whom it is about; NULL where its facts name several';
GRANT SELECT, INSERT, UPDATE, DELETE ON notices_to_tell TO billing_ingest;

-- No worker makes an instance silent, or a hold end: the clock does. What was told of is remembered.
ALTER TABLE organization_reporting
    ADD COLUMN silence_told_since timestamptz,
    ADD COLUMN hold_deadline_told timestamptz;
COMMENT ON COLUMN organization_reporting.silence_told_since IS 'the last report, or link, of which it was told that nothing came since';
COMMENT ON COLUMN organization_reporting.hold_deadline_told IS 'the deadline of held reports of which it was told that it is near';

-- What an admin lists.
CREATE INDEX notices_open_idx ON notices (created_at DESC, id DESC) WHERE state <> 'sent';
