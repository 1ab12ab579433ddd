-- Silence and surprise: who is expected to report and does not, and reports that nobody expected.

-- A report of a linked organization that jumps, or comes from another URL, is held until an admin says
-- what becomes of it. The reason stays when that is said.
ALTER TABLE usage_reports
    ADD COLUMN hold_reason varchar(20),
    ADD CONSTRAINT usage_reports_hold_reason_check CHECK (hold_reason IN ('count_jump', 'other_url')),
    ADD CONSTRAINT usage_reports_held_check CHECK (delivery_state <> 'held'
        OR (hold_reason IS NOT NULL AND error_code IS NOT NULL AND settled_at IS NULL)),
    DROP CONSTRAINT usage_reports_delivery_state_check,
    ADD CONSTRAINT usage_reports_delivery_state_check CHECK (delivery_state IN
        ('waiting', 'queued', 'sent', 'superseded', 'refused', 'not_billed', 'too_late', 'missed_invoice', 'held'));
COMMENT ON COLUMN usage_reports.hold_reason IS 'why it is, or was, held; NULL where it never was';
CREATE INDEX usage_reports_held_idx ON usage_reports (organization_id, reported_at, id) WHERE delivery_state = 'held';
-- What the overview counts.
CREATE INDEX usage_reports_refused_idx ON usage_reports (organization_id) WHERE delivery_state = 'refused';
CREATE INDEX usage_reports_queued_idx ON usage_reports (received_at) WHERE delivery_state = 'queued';
-- Reports come nearly in the order of their time: this finds those of a day, and costs next to nothing.
CREATE INDEX usage_reports_reported_at_idx ON usage_reports USING brin (reported_at);

-- What an admin said of held reports: the audit trail of it.
CREATE TABLE hold_decisions (
    id              uuid PRIMARY KEY,
    decided_at      timestamptz NOT NULL,
    organization_id uuid NOT NULL,
    report_id       uuid NOT NULL UNIQUE REFERENCES usage_reports (id),
    decision        varchar(20) NOT NULL CHECK (decision IN ('released', 'discarded')),
    admin_user_id   text NOT NULL,
    admin_email     text NOT NULL,
    request_id      text NOT NULL
);
CREATE INDEX hold_decisions_organization_idx ON hold_decisions (organization_id, decided_at DESC);
COMMENT ON TABLE hold_decisions IS 'ingest-svc: who released or discarded which held report, when; append-only, for ingest-svc too';

-- What the next report of a linked organization is compared with: its latest report that counts.
ALTER TABLE organization_reporting
    ADD COLUMN baseline_user_count   integer CHECK (baseline_user_count BETWEEN 0 AND 10000000),
    ADD COLUMN baseline_reported_at  timestamptz,
    ADD COLUMN baseline_instance_url text,
    ADD CONSTRAINT organization_reporting_baseline_check
        CHECK ((baseline_user_count IS NULL) = (baseline_reported_at IS NULL));
UPDATE organization_reporting r SET baseline_user_count = user_count, baseline_reported_at = last_reported_at,
    baseline_instance_url = (SELECT instance_url FROM organizations o WHERE o.id = r.organization_id)
WHERE user_count IS NOT NULL;
COMMENT ON COLUMN organization_reporting.baseline_user_count IS 'the count of the latest report that counts: neither held nor discarded';
COMMENT ON COLUMN organization_reporting.baseline_instance_url IS 'the URL of that report; NULL while none is known';

-- Who is expected to report, by how long they have not: before the first report since a link it counts
-- from the link.
CREATE INDEX organization_reporting_expected_idx
    ON organization_reporting (greatest(last_reported_at, billing_start_at), organization_id) WHERE billable;

-- Users in all by UTC day, and by the latest report of each organization (one row). Counted again when
-- reports come.
CREATE TABLE usage_days (
    day                date PRIMARY KEY,
    user_count         bigint NOT NULL CHECK (user_count >= 0),
    organization_count bigint NOT NULL CHECK (organization_count >= 0),
    counted_at         timestamptz NOT NULL
);
COMMENT ON TABLE usage_days IS 'ingest-svc: what was reported of each UTC day, held and discarded reports left out';
CREATE TABLE usage_total (
    id         boolean PRIMARY KEY DEFAULT true CHECK (id),
    user_count bigint NOT NULL CHECK (user_count >= 0),
    counted_at timestamptz NOT NULL
);
COMMENT ON TABLE usage_total IS 'ingest-svc: users in all by the latest report that counts of each organization; one row';

GRANT SELECT, INSERT ON hold_decisions TO billing_ingest;
GRANT SELECT, INSERT, UPDATE ON usage_days, usage_total TO billing_ingest;
