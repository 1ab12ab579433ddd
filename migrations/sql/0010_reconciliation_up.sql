-- What ingest-svc counted against what Stripe's meter counts, by organization and UTC day.

-- How often reconciliation had a report, and its meter event, sent again.
ALTER TABLE usage_reports ADD COLUMN resend_count integer NOT NULL DEFAULT 0 CHECK (resend_count >= 0);
COMMENT ON COLUMN usage_reports.resend_count IS 'how often reconciliation put it back into the queue, because Stripe''s meter lacked it';
ALTER TABLE stripe_meter_events ADD COLUMN resend_count integer NOT NULL DEFAULT 0 CHECK (resend_count >= 0);
COMMENT ON COLUMN stripe_meter_events.resend_count IS 'the resend that it was last asked for: a greater one opens an accepted event again';

CREATE TABLE reconciliation_findings (
    organization_id uuid NOT NULL,
    -- A UTC day.
    day             date NOT NULL,
    -- Seats that the counted report of the day says; 0 where there is none.
    expected        integer NOT NULL CHECK (expected >= 0),
    -- What Stripe's meter counts; 0 where it counts nothing.
    found           numeric NOT NULL,
    -- How often the day's report was sent again for it.
    resend_count    integer NOT NULL DEFAULT 0,
    first_seen_at   timestamptz NOT NULL,
    last_seen_at    timestamptz NOT NULL,
    resolved_at     timestamptz,
    PRIMARY KEY (organization_id, day),
    CHECK (last_seen_at >= first_seen_at)
);
CREATE INDEX reconciliation_findings_open_idx ON reconciliation_findings (day DESC, organization_id) WHERE resolved_at IS NULL;
COMMENT ON TABLE reconciliation_findings IS 'ingest-svc: days on which Stripe''s meter differs from the counted report; resolved once it does not';

-- One row: the pass over all linked organizations that is under way, and the last that was full.
CREATE TABLE reconciliation_pass (
    id                 boolean PRIMARY KEY DEFAULT true CHECK (id),
    -- When the pass under way began; NULL between two.
    started_at         timestamptz,
    -- The last organization that is done with in this pass; NULL at its beginning.
    after_id           uuid,
    -- Attempts at the next one that brought no answer.
    attempt_count      integer NOT NULL DEFAULT 0,
    -- Organizations of this pass that could not be compared.
    skipped_count      integer NOT NULL DEFAULT 0,
    -- When the pass goes on, or the next begins; NULL at once.
    next_step_at       timestamptz,
    lease_token        uuid,
    lease_until        timestamptz,
    last_full_pass_at  timestamptz,
    last_skipped_count integer NOT NULL DEFAULT 0,
    CHECK ((lease_token IS NULL) = (lease_until IS NULL))
);
INSERT INTO reconciliation_pass DEFAULT VALUES;
COMMENT ON TABLE reconciliation_pass IS 'ingest-svc: how far reconciliation is, and who is at it';

-- The pass goes over linked organizations in the order of their ids.
CREATE INDEX organization_reporting_linked_idx ON organization_reporting (organization_id) WHERE stripe_customer_id IS NOT NULL;

GRANT SELECT, INSERT, UPDATE ON reconciliation_findings TO billing_ingest;
GRANT SELECT, UPDATE ON reconciliation_pass TO billing_ingest;
