-- Signed reports: an instance may sign what it reports with a key of its own. Which key is an
-- organization's an admin confirms; from then on other reports are held.

-- The pinned key, and the fingerprint of one that an admin confirmed before it signed a report.
ALTER TABLE organization_reporting
    ADD COLUMN pinned_key          bytea,
    ADD COLUMN pinned_at           timestamptz,
    ADD COLUMN awaited_fingerprint bytea,
    ADD COLUMN last_signing_key    bytea,
    -- What is there already may have a gap; for whoever reports first from now on this is set.
    ADD COLUMN gap_seen_on         date NOT NULL DEFAULT current_date,
    ADD CONSTRAINT organization_reporting_pinned_key_check
        CHECK ((pinned_key IS NULL) = (pinned_at IS NULL) AND coalesce(octet_length(pinned_key), 32) = 32) NOT VALID,
    ADD CONSTRAINT organization_reporting_awaited_fingerprint_check CHECK (octet_length(awaited_fingerprint) = 16) NOT VALID;
COMMENT ON COLUMN organization_reporting.pinned_key IS 'the Ed25519 public key that an admin confirmed: reports that it did not sign are held';
COMMENT ON COLUMN organization_reporting.awaited_fingerprint IS 'the fingerprint of a confirmed key that has signed no report yet: the first that it signs pins it';
COMMENT ON COLUMN organization_reporting.last_signing_key IS 'the key that signed the latest report; NULL where it was not signed';
COMMENT ON COLUMN organization_reporting.gap_seen_on IS 'the latest UTC day of a report that did not follow the one before by a day: 35 days later there is no gap to look for';

-- The keys that were seen of an organization: at most five, whatever is sent.
CREATE TABLE signing_keys (
    organization_id uuid NOT NULL,
    public_key      bytea NOT NULL CHECK (octet_length(public_key) = 32),
    first_seen_at   timestamptz NOT NULL,
    last_seen_at    timestamptz NOT NULL,
    day_count       integer NOT NULL CHECK (day_count > 0),
    PRIMARY KEY (organization_id, public_key)
);
COMMENT ON TABLE signing_keys IS 'ingest-svc: the keys that signed recorded reports of an organization; of a sixth the one that was seen on fewest days gives way';
COMMENT ON COLUMN signing_keys.day_count IS 'on how many UTC days, by our clock, it signed a report that was recorded';
GRANT SELECT, INSERT, UPDATE, DELETE ON signing_keys TO billing_ingest;

-- Which key signed a report that waits for org-svc.
ALTER TABLE usage_report_spool
    ADD COLUMN signing_key          bytea CHECK (octet_length(signing_key) = 32),
    ADD COLUMN replaced_signing_key bytea CHECK (octet_length(replaced_signing_key) = 32);

-- How many organizations report unsigned, counted with users in all.
ALTER TABLE usage_total ADD COLUMN unsigned_organization_count bigint NOT NULL DEFAULT 0 CHECK (unsigned_organization_count >= 0);
COMMENT ON COLUMN usage_total.unsigned_organization_count IS 'organizations that reported within 35 days and did not sign their latest report';

-- The code knows the actions; a list here would have to change with each.
ALTER TABLE audit_events_to_tell
    DROP CONSTRAINT audit_events_to_tell_action_check,
    ADD CONSTRAINT audit_events_to_tell_action_check CHECK (action ~ '^[a-z_]+\.[a-z_]+$') NOT VALID;
-- A rotation is an instance's own doing: no admin acted.
ALTER TABLE audit_events_to_tell ALTER COLUMN admin_user_id DROP NOT NULL;
