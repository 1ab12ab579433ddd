-- An admin may have a report that Stripe refused sent once more, once what Stripe named is mended.
ALTER TABLE usage_reports ADD COLUMN retry_count integer NOT NULL DEFAULT 0 CHECK (retry_count >= 0);
COMMENT ON COLUMN usage_reports.retry_count IS 'how often an admin had it sent again after Stripe refused it';
COMMENT ON COLUMN usage_reports.resend_count IS 'how often it was put back into the queue: by reconciliation, because Stripe''s meter lacked it, and by an admin';
COMMENT ON COLUMN stripe_meter_events.resend_count IS 'the resend that it was last asked for: a greater one opens an accepted or refused event again';

-- What admins decide with ingest-svc, for the trail that org-svc keeps: stored with the decision, and
-- handed over until org-svc has it.
CREATE TABLE audit_events_to_tell (
    -- The event's own id, so that org-svc stores it once.
    id              uuid PRIMARY KEY,
    occurred_at     timestamptz NOT NULL,
    action          varchar(40) NOT NULL CHECK (action IN
        ('held_reports.released', 'held_reports.discarded', 'report.retried', 'finding.dismissed')),
    organization_id uuid NOT NULL,
    admin_user_id   text NOT NULL,
    api_key_id      uuid,
    client_address  text,
    request_id      text NOT NULL,
    before          jsonb,
    after           jsonb NOT NULL,
    attempt_count   integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    lease_token     uuid,
    lease_until     timestamptz,
    CHECK ((lease_token IS NULL) = (lease_until IS NULL))
);
CREATE INDEX audit_events_to_tell_due_idx ON audit_events_to_tell (next_attempt_at);
COMMENT ON TABLE audit_events_to_tell IS 'ingest-svc: what admins decided and org-svc has yet to be handed for the audit trail; forgotten once it is';
GRANT SELECT, INSERT, UPDATE, DELETE ON audit_events_to_tell TO billing_ingest;
