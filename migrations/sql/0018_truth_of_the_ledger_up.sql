-- How far Stripe has invoiced a subscription for good, and when it ended: told by stripe-svc, kept by
-- org-svc, and what ingest-svc judges each report by.

ALTER TABLE stripe_subscriptions ADD COLUMN invoiced_until timestamptz;
COMMENT ON COLUMN stripe_subscriptions.invoiced_until IS 'the greatest period end of a metered line on a finalized invoice: usage of earlier moments is never invoiced any more; it only grows';

-- An older database may have columns of these names that mean something else; what was in them is
-- in organizations.legacy.
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT attname FROM pg_attribute WHERE attrelid = 'organizations'::regclass AND NOT attisdropped
          AND attname IN ('billing_end_at', 'invoiced_until')
    LOOP
        EXECUTE format('ALTER TABLE organizations RENAME COLUMN %I TO %I', found.attname, 'older_' || found.attname);
    END LOOP;
END
$$;

ALTER TABLE organizations
    ADD COLUMN billing_end_at timestamptz,
    ADD COLUMN invoiced_until timestamptz;
COMMENT ON COLUMN organizations.billing_end_at IS 'when its subscription ended, or the pause began that it ended in: reports from then on are not billed; NULL while it goes on';
COMMENT ON COLUMN organizations.invoiced_until IS 'up to where its subscription was invoiced for good';

ALTER TABLE unclaimed_subscriptions
    ADD COLUMN ended_at       timestamptz,
    ADD COLUMN invoiced_until timestamptz;

ALTER TABLE organization_reporting
    ADD COLUMN billing_end_at timestamptz,
    ADD COLUMN trial_end_at   timestamptz,
    ADD COLUMN invoiced_until timestamptz;
-- Of a subscription that ended what came before its end may still be sent, but nobody is expected to
-- report any more.
DROP INDEX organization_reporting_expected_idx;
CREATE INDEX organization_reporting_expected_idx
    ON organization_reporting (greatest(last_reported_at, billing_start_at), organization_id)
    WHERE billable AND billing_end_at IS NULL;

-- Of a subscription that ended before, cancel_at says when. The feed tells it, so that what was left
-- in a queue is settled.
WITH ended AS (
    UPDATE organizations SET billing_end_at = cancel_at
    WHERE subscription_status = 'canceled' AND cancel_at IS NOT NULL
    RETURNING id),
change AS (
    INSERT INTO organization_changes (organization_id, changed_at) SELECT id, now() FROM ended ORDER BY id
    RETURNING organization_id, cursor)
SELECT count(*) FROM change;
UPDATE organizations o SET standing_version = change.cursor
FROM (SELECT organization_id, max(cursor) AS cursor FROM organization_changes GROUP BY organization_id) AS change
WHERE o.id = change.organization_id AND o.billing_end_at IS NOT NULL;

-- A report whose period was invoiced for good before it could be sent.
CREATE INDEX usage_reports_missed_idx ON usage_reports (organization_id, reported_at) WHERE delivery_state = 'missed_invoice';

-- What differs between our books and Stripe's, of every kind. It takes the place of
-- reconciliation_findings, which stays for a release that still writes it and is read no more.
CREATE TABLE billing_findings (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id    uuid NOT NULL,
    kind               varchar(20) NOT NULL CHECK (kind IN ('meter_day', 'missed_invoice', 'invoice')),
    -- The UTC day that it is of; of an invoice the day that its period begins on.
    day                date NOT NULL,
    period_start_at    timestamptz NOT NULL,
    period_end_at      timestamptz NOT NULL,
    -- Stripe's id of the invoice; empty for the other kinds.
    stripe_invoice_id  text NOT NULL DEFAULT '',
    -- Seats, or seat-days of a period, that our books say.
    expected           bigint NOT NULL CHECK (expected >= 0),
    -- What Stripe's say.
    found              numeric NOT NULL,
    -- How often the day's report was sent again for it.
    resend_count       integer NOT NULL DEFAULT 0,
    first_seen_at      timestamptz NOT NULL,
    last_seen_at       timestamptz NOT NULL,
    resolved_at        timestamptz,
    dismissed_at       timestamptz,
    dismissed_by       text,
    dismiss_reason     text CHECK (length(dismiss_reason) BETWEEN 1 AND 500),
    CHECK (last_seen_at >= first_seen_at),
    CHECK (period_end_at > period_start_at),
    CHECK ((kind = 'invoice') = (stripe_invoice_id <> '')),
    CHECK (num_nulls(dismissed_at, dismissed_by, dismiss_reason) IN (0, 3)),
    CONSTRAINT billing_findings_subject_key UNIQUE (organization_id, kind, day, stripe_invoice_id)
);
CREATE INDEX billing_findings_open_idx ON billing_findings (day DESC, id) WHERE resolved_at IS NULL AND dismissed_at IS NULL;
CREATE INDEX billing_findings_all_idx ON billing_findings (day DESC, id);
COMMENT ON TABLE billing_findings IS 'ingest-svc: where Stripe''s books differ from ours, until they do not or a person has seen it';
COMMENT ON COLUMN billing_findings.dismissed_by IS 'the e-mail address of the admin who has seen it';
INSERT INTO billing_findings (organization_id, kind, day, period_start_at, period_end_at, expected, found, resend_count, first_seen_at, last_seen_at, resolved_at)
SELECT organization_id, 'meter_day', day, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC',
    expected, found, resend_count, first_seen_at, last_seen_at, resolved_at
FROM reconciliation_findings;

-- A report that cannot be moved out of the spool is put aside, so that the others can.
ALTER TABLE usage_report_spool
    ADD COLUMN parked_at     timestamptz,
    ADD COLUMN error_message text,
    ADD CONSTRAINT usage_report_spool_parked_check CHECK ((parked_at IS NULL) = (error_message IS NULL));
COMMENT ON COLUMN usage_report_spool.parked_at IS 'when it was put aside because it could not be moved; NULL while it waits its turn';

GRANT SELECT, INSERT, UPDATE ON billing_findings TO billing_ingest;
GRANT UPDATE ON usage_report_spool TO billing_ingest;
