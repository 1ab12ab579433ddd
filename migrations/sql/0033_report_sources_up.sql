-- Where reports come from, and what was refused.

-- The full address is kept for 30 days.
ALTER TABLE usage_reports ADD COLUMN source_address inet;
ALTER TABLE usage_report_spool ADD COLUMN source_address inet;
COMMENT ON COLUMN usage_reports.source_address IS 'where it came from; forgotten 30 days after it was taken in';

CREATE TABLE organization_source_networks (
    organization_id uuid NOT NULL,
    network         cidr NOT NULL,
    day             date NOT NULL,
    first_seen_at   timestamptz NOT NULL,
    last_seen_at    timestamptz NOT NULL,
    report_count    bigint NOT NULL CHECK (report_count > 0),
    counted         boolean NOT NULL,
    PRIMARY KEY (organization_id, network, day)
);
CREATE INDEX organization_source_networks_day_idx ON organization_source_networks (day);
COMMENT ON TABLE organization_source_networks IS 'ingest-svc: the networks (/24, /48) that each organization''s recorded reports came from, by UTC day of arrival; kept for 400 days';
COMMENT ON COLUMN organization_source_networks.counted IS 'whether a report of that day makes the network a known one: it was not a further report of its day from an unknown network, or an admin released it';

-- The same organization and time as a recorded report, and another count.
CREATE TABLE report_conflicts (
    id                uuid PRIMARY KEY,
    organization_id   uuid NOT NULL,
    reported_at       timestamptz NOT NULL,
    user_count        integer NOT NULL CHECK (user_count BETWEEN 0 AND 10000000),
    organization_name text NOT NULL,
    instance_url      text NOT NULL,
    source_address    inet,
    first_refused_at  timestamptz NOT NULL,
    last_refused_at   timestamptz NOT NULL,
    refused_count     bigint NOT NULL CHECK (refused_count > 0),
    replaced_at       timestamptz,
    replacement_id    uuid,
    UNIQUE (organization_id, reported_at, user_count),
    CHECK ((replaced_at IS NULL) = (replacement_id IS NULL))
);
CREATE INDEX report_conflicts_source_idx ON report_conflicts (last_refused_at) WHERE source_address IS NOT NULL;
COMMENT ON TABLE report_conflicts IS 'ingest-svc: reports that were refused because another count is recorded for their time; the last 20 of each organization';
COMMENT ON COLUMN report_conflicts.replacement_id IS 'the recorded report that has its count since an admin put it in the place of the other one';

-- At most one row an organization, and only of those that reported before.
CREATE TABLE last_refusals (
    organization_id uuid PRIMARY KEY,
    refused_at      timestamptz NOT NULL,
    reason          varchar(40) NOT NULL CHECK (reason IN ('conflict', 'rejected', 'unreadable')),
    message         text NOT NULL CHECK (length(message) BETWEEN 1 AND 1000),
    source_address  inet
);
CREATE INDEX last_refusals_source_idx ON last_refusals (refused_at) WHERE source_address IS NOT NULL;
COMMENT ON TABLE last_refusals IS 'ingest-svc: the last report of each known organization that was refused, and why';

GRANT SELECT, INSERT, UPDATE, DELETE ON organization_source_networks, report_conflicts, last_refusals TO billing_ingest;

-- Every row satisfies the old list, which is part of the new one: so the rows are not read again.
ALTER TABLE audit_events_to_tell
    DROP CONSTRAINT audit_events_to_tell_action_check,
    ADD CONSTRAINT audit_events_to_tell_action_check CHECK (action IN
        ('held_reports.released', 'held_reports.discarded', 'report.retried', 'report.replaced',
         'finding.dismissed')) NOT VALID;
-- The code knows the kinds; a list here would have to change with each.
ALTER TABLE notices_to_tell
    DROP CONSTRAINT notices_to_tell_kind_check,
    ADD CONSTRAINT notices_to_tell_kind_check CHECK (kind ~ '^[a-z_]+\.[a-z_]+$') NOT VALID;
