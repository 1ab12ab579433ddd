-- What org-svc learns from stripe-svc's feed of subscriptions, and how far it read it. org-svc alone
-- reads and writes these tables.
CREATE TABLE org_feed_cursors (
    feed   text PRIMARY KEY,
    cursor bigint NOT NULL
);
COMMENT ON TABLE org_feed_cursors IS 'org-svc: how far each feed was read';

-- An older database may have columns of these names that mean something else; what was in them is
-- in organizations.legacy.
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT attname FROM pg_attribute WHERE attrelid = 'organizations'::regclass AND NOT attisdropped
          AND attname IN ('current_period_start_at', 'current_period_end_at', 'cancel_at', 'subscription_version')
    LOOP
        EXECUTE format('ALTER TABLE organizations RENAME COLUMN %I TO %I', found.attname, 'older_' || found.attname);
    END LOOP;
END
$$;

ALTER TABLE organizations
    ADD COLUMN current_period_start_at timestamptz,
    ADD COLUMN current_period_end_at   timestamptz,
    ADD COLUMN cancel_at               timestamptz,
    ADD COLUMN subscription_version    bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN organizations.cancel_at IS 'when its subscription is going to end, or ended; NULL when it goes on';
COMMENT ON COLUMN organizations.subscription_version IS 'the version of the subscription''s state that was applied last: an older one changes nothing';

-- States that came before their link was settled: the link takes them up, so that what happened to
-- the subscription meanwhile is not lost with the cursor that has gone past it.
CREATE TABLE unclaimed_subscriptions (
    stripe_subscription_id  text PRIMARY KEY,
    organization_id         uuid NOT NULL REFERENCES organizations (id),
    stripe_customer_id      text NOT NULL,
    subscription_status     varchar(20) NOT NULL CHECK (subscription_status IN
        ('trial', 'active', 'past_due', 'unpaid', 'incomplete', 'incomplete_expired', 'paused', 'canceled')),
    trial_end               timestamptz,
    current_period_start_at timestamptz,
    current_period_end_at   timestamptz,
    cancel_at               timestamptz,
    customer_deleted        boolean NOT NULL,
    version                 bigint NOT NULL
);
COMMENT ON TABLE unclaimed_subscriptions IS 'org-svc: the latest state of subscriptions whose link is not settled yet';

GRANT SELECT, INSERT, UPDATE ON org_feed_cursors TO billing_org;
GRANT SELECT, INSERT, UPDATE, DELETE ON unclaimed_subscriptions TO billing_org;
