-- What a report of a linked organization is compared with: the last UTC days that counted, and the count
-- that an admin confirmed. A NULL in day_user_counts means: to be computed from usage_reports. ingest-svc
-- does that under the organization's lock, before the next report is compared, and in small steps.
ALTER TABLE organization_reporting
    ADD COLUMN day_user_counts   integer[],
    ADD COLUMN day_reported_at   timestamptz[],
    ADD COLUMN anchor_user_count integer,
    ADD COLUMN anchor_at         timestamptz,
    ADD COLUMN anchor_days       smallint,
    ADD COLUMN low_since         timestamptz,
    ADD CONSTRAINT organization_reporting_days_check CHECK
        (coalesce(cardinality(day_user_counts), -1) = coalesce(cardinality(day_reported_at), -1)) NOT VALID,
    ADD CONSTRAINT organization_reporting_anchor_check CHECK
        (num_nulls(anchor_user_count, anchor_at, anchor_days) IN (0, 3)) NOT VALID;
COMMENT ON COLUMN organization_reporting.day_user_counts IS 'the counts of its last UTC days that counted, the earliest first, at most eight; NULL: to be computed';
COMMENT ON COLUMN organization_reporting.day_reported_at IS 'the times of the reports with these counts';
COMMENT ON COLUMN organization_reporting.anchor_user_count IS 'the count that an admin confirmed, by linking or by releasing a report';
COMMENT ON COLUMN organization_reporting.anchor_at IS 'the start of the subscription, or the time of the released report';
COMMENT ON COLUMN organization_reporting.anchor_days IS 'the confirmed count rules until so many days have counted';
COMMENT ON COLUMN organization_reporting.low_since IS 'since when its counts are below half of the baseline; NULL while they are not';

ALTER TABLE usage_reports
    ADD COLUMN count_low     boolean NOT NULL DEFAULT false,
    ADD COLUMN compared_with jsonb,
    ADD COLUMN hold_cause    text;
COMMENT ON COLUMN usage_reports.count_low IS 'it counts, and its count is below half of the baseline';
COMMENT ON COLUMN usage_reports.compared_with IS 'the values that a hold or the mark count_low comes from';
COMMENT ON COLUMN usage_reports.hold_cause IS 'the change that a held report shows: held reports of one reason and cause are decided together';

ALTER TABLE notices_to_tell
    DROP CONSTRAINT notices_to_tell_kind_check,
    ADD CONSTRAINT notices_to_tell_kind_check CHECK (kind IN
        ('instances.silent', 'report.held', 'hold.ending', 'delivery.refused', 'finding.opened', 'count.low')) NOT VALID;

-- One decision on the held reports of many organizations. Without an admin it is the configuration's: a
-- rule was switched off.
CREATE TABLE hold_group_decisions (
    id              uuid PRIMARY KEY,
    decided_at      timestamptz NOT NULL,
    hold_reason     varchar(20) NOT NULL,
    -- NULL: every cause.
    hold_cause      text,
    -- Reports that came later are not decided by it.
    received_until  timestamptz NOT NULL,
    decision        varchar(20) NOT NULL CHECK (decision IN ('released', 'discarded')),
    admin_user_id   text,
    admin_email     text,
    api_key_id      uuid,
    client_address  text,
    request_id      text NOT NULL,
    -- The last organization that is done with.
    after_id        uuid,
    report_count    bigint NOT NULL DEFAULT 0,
    finished_at     timestamptz,
    CHECK ((admin_user_id IS NULL) = (admin_email IS NULL)),
    CHECK (admin_user_id IS NOT NULL OR decision = 'released')
);
CREATE INDEX hold_group_decisions_open_idx ON hold_group_decisions (decided_at) WHERE finished_at IS NULL;
COMMENT ON TABLE hold_group_decisions IS 'ingest-svc: decisions on groups of held reports, carried out organization by organization';
GRANT SELECT, INSERT, UPDATE ON hold_group_decisions TO billing_ingest;

-- The configuration decides, too.
ALTER TABLE hold_decisions
    ALTER COLUMN admin_user_id DROP NOT NULL,
    ALTER COLUMN admin_email DROP NOT NULL;
COMMENT ON COLUMN hold_decisions.admin_user_id IS 'NULL where a rule was switched off in the configuration';
ALTER TABLE audit_events_to_tell ALTER COLUMN admin_user_id DROP NOT NULL;
