-- The specification's table, or the older one that is already there, and what ingest-svc needs
-- beside it. ingest-svc alone reads and writes these tables.
CREATE TABLE IF NOT EXISTS usage_reports (
    id                    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id       uuid REFERENCES organizations (id),
    user_count            integer NOT NULL,
    deployment_type       varchar(20) NOT NULL,
    reported_at           timestamptz DEFAULT now(),
    stripe_meter_event_id text
);

-- Rows that are here already are adopted history. It is never billed: what Stripe has is 'sent',
-- the rest is 'not_billed'.
ALTER TABLE usage_reports
    ADD COLUMN adopted           boolean NOT NULL DEFAULT true,
    ADD COLUMN organization_name text,
    ADD COLUMN instance_url      text,
    ADD COLUMN received_at       timestamptz,
    ADD COLUMN delivery_state    varchar(20) NOT NULL DEFAULT 'not_billed',
    ADD COLUMN attempt_count     integer NOT NULL DEFAULT 0,
    ADD COLUMN next_attempt_at   timestamptz,
    ADD COLUMN error_code        text,
    ADD COLUMN error_message     text,
    ADD COLUMN settled_at        timestamptz,
    ADD COLUMN IF NOT EXISTS legacy jsonb;
UPDATE usage_reports SET delivery_state = 'sent' WHERE stripe_meter_event_id IS NOT NULL;
ALTER TABLE usage_reports
    ALTER COLUMN adopted SET DEFAULT false,
    ALTER COLUMN delivery_state DROP DEFAULT;

ALTER TABLE usage_reports
    ADD CONSTRAINT usage_reports_user_count_check CHECK (user_count BETWEEN 0 AND 10000000) NOT VALID,
    ADD CONSTRAINT usage_reports_deployment_type_check CHECK (deployment_type IN ('unassigned', 'on-premise', 'managed-cloud')) NOT VALID,
    ADD CONSTRAINT usage_reports_delivery_state_check CHECK (delivery_state IN
        ('waiting', 'queued', 'sent', 'superseded', 'refused', 'not_billed', 'too_late')),
    ADD CONSTRAINT usage_reports_sent_check CHECK (adopted OR (delivery_state = 'sent') = (stripe_meter_event_id IS NOT NULL)),
    ADD CONSTRAINT usage_reports_queued_check CHECK (delivery_state <> 'queued' OR next_attempt_at IS NOT NULL),
    ADD CONSTRAINT usage_reports_refused_check CHECK (delivery_state <> 'refused' OR error_code IS NOT NULL),
    ADD CONSTRAINT usage_reports_new_check CHECK (adopted OR
        (organization_id IS NOT NULL AND organization_name IS NOT NULL AND instance_url IS NOT NULL
         AND reported_at IS NOT NULL AND received_at IS NOT NULL));

-- The specification's foreign key. Older reports of organizations that are not there (any more) stay,
-- and only then it is left unchecked for what is there already.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE contype = 'f'
                   AND conrelid = 'usage_reports'::regclass AND confrelid = 'organizations'::regclass) THEN
        ALTER TABLE usage_reports ADD CONSTRAINT usage_reports_organization_id_fkey
            FOREIGN KEY (organization_id) REFERENCES organizations (id) NOT VALID;
        IF NOT EXISTS (SELECT FROM usage_reports r WHERE organization_id IS NOT NULL
                       AND NOT EXISTS (SELECT FROM organizations WHERE id = r.organization_id)) THEN
            ALTER TABLE usage_reports VALIDATE CONSTRAINT usage_reports_organization_id_fkey;
        END IF;
    END IF;
END
$$;

-- The deduplication. It binds what we take in; old duplicates stay as they are.
CREATE UNIQUE INDEX usage_reports_organization_time_key ON usage_reports (organization_id, reported_at) WHERE NOT adopted;
-- The admin's list of an organization's reports, adopted ones included.
CREATE INDEX usage_reports_organization_idx ON usage_reports (organization_id, reported_at DESC, id DESC);
-- What waits for a link, and what is to be sent.
CREATE INDEX usage_reports_open_idx ON usage_reports (organization_id, reported_at) WHERE delivery_state IN ('waiting', 'queued');

COMMENT ON TABLE usage_reports IS 'ingest-svc: every report, and where it is on its way to Stripe: the row is the outbox';
COMMENT ON COLUMN usage_reports.deployment_type IS 'as it was when the report was recorded; unassigned while the organization was pending';
COMMENT ON COLUMN usage_reports.reported_at IS 'the report''s own timestamp';
COMMENT ON COLUMN usage_reports.stripe_meter_event_id IS 'the meter event''s identifier, once Stripe has accepted it';
COMMENT ON COLUMN usage_reports.legacy IS 'the row of the older database as it was, where a value had to change';
COMMENT ON COLUMN usage_reports.adopted IS 'taken over from an older database: never billed by us';

-- Reports that came while org-svc could not be asked about their organization. Without the foreign
-- key; the id is fixed here and kept when the row moves to usage_reports.
CREATE TABLE usage_report_spool (
    id                uuid PRIMARY KEY,
    organization_id   uuid NOT NULL,
    organization_name text NOT NULL,
    instance_url      text NOT NULL,
    user_count        integer NOT NULL CHECK (user_count BETWEEN 0 AND 10000000),
    reported_at       timestamptz NOT NULL,
    received_at       timestamptz NOT NULL,
    CONSTRAINT usage_report_spool_organization_time_key UNIQUE (organization_id, reported_at)
);
CREATE INDEX usage_report_spool_received_idx ON usage_report_spool (received_at);
COMMENT ON TABLE usage_report_spool IS 'ingest-svc: acknowledged reports that wait for org-svc; worked off in order of arrival';

-- One row per organization that ever reported or of which org-svc told. Its row lock is what serializes everything that
-- concerns one organization's reports: taking them in, learning of a link, delivery.
CREATE TABLE organization_reporting (
    organization_id     uuid PRIMARY KEY,
    -- The count of the latest report and its time; NULL until ingest-svc has one.
    user_count          integer CHECK (user_count BETWEEN 0 AND 10000000),
    last_reported_at    timestamptz,
    -- How the organization stands, as org-svc last told.
    subscription_status varchar(20) NOT NULL DEFAULT 'pending',
    deployment_type     varchar(20),
    stripe_customer_id  text,
    billing_start_at    timestamptz,
    billable            boolean NOT NULL DEFAULT false,
    standing_version    bigint NOT NULL DEFAULT 0,
    -- When its queue is next to be looked at; NULL when nothing is queued.
    next_delivery_at    timestamptz,
    lease_token         uuid,
    lease_until         timestamptz,
    CHECK ((user_count IS NULL) = (last_reported_at IS NULL)),
    CHECK ((lease_token IS NULL) = (lease_until IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX organization_reporting_due_idx ON organization_reporting (next_delivery_at) WHERE next_delivery_at IS NOT NULL;
COMMENT ON TABLE organization_reporting IS 'ingest-svc: what is known of each organization''s reporting, and the lease of its delivery';

-- What adopted history tells: each organization's latest count, so that the admin sees it before the
-- next report. Nothing is billed by it: how the organization stands is asked of org-svc first.
INSERT INTO organization_reporting (organization_id, user_count, last_reported_at, subscription_status, deployment_type, stripe_customer_id)
SELECT DISTINCT ON (r.organization_id)
    r.organization_id, r.user_count, r.reported_at, o.subscription_status, o.deployment_type, o.stripe_customer_id
FROM usage_reports r JOIN organizations o ON o.id = r.organization_id
WHERE r.reported_at <= now()
ORDER BY r.organization_id, r.reported_at DESC, r.id DESC;

CREATE TABLE feed_cursors (
    feed   text PRIMARY KEY,
    cursor bigint NOT NULL
);
COMMENT ON TABLE feed_cursors IS 'ingest-svc: how far each feed was read';

GRANT SELECT, INSERT, UPDATE ON usage_reports, organization_reporting, feed_cursors TO billing_ingest;
GRANT SELECT, INSERT, DELETE ON usage_report_spool TO billing_ingest;
