-- The specification's table, or the older one that is already there (0003 brought that one's
-- columns to the specification's), and what org-svc needs beside it. org-svc alone reads and writes
-- these tables.
CREATE TABLE IF NOT EXISTS organizations (
    id                     uuid PRIMARY KEY,
    name                   text NOT NULL,
    instance_url           text,
    stripe_customer_id     text UNIQUE,
    stripe_subscription_id text UNIQUE,
    deployment_type        varchar(20),
    plan_type              varchar(20),
    subscription_status    varchar(20) DEFAULT 'pending',
    trial_end              timestamptz,
    admin_email            text,
    created_at             timestamptz DEFAULT now(),
    updated_at             timestamptz DEFAULT now()
);

ALTER TABLE organizations
    ADD COLUMN IF NOT EXISTS billing_start_at      timestamptz,
    ADD COLUMN IF NOT EXISTS reported_name         text,
    ADD COLUMN IF NOT EXISTS reported_instance_url text,
    ADD COLUMN IF NOT EXISTS observed_at           timestamptz,
    ADD COLUMN IF NOT EXISTS billing_problem       text,
    ADD COLUMN IF NOT EXISTS standing_version      bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS legacy                jsonb;

ALTER TABLE organizations
    ALTER COLUMN subscription_status SET NOT NULL,
    ALTER COLUMN created_at SET NOT NULL,
    ALTER COLUMN updated_at SET NOT NULL;

-- The rules of org-svc's domain once more. NOT VALID: rows of an older database are taken as they
-- are; every new or changed row obeys.
ALTER TABLE organizations
    ADD CONSTRAINT organizations_name_check CHECK (length(name) BETWEEN 1 AND 200) NOT VALID,
    ADD CONSTRAINT organizations_instance_url_check CHECK (length(instance_url) BETWEEN 1 AND 255) NOT VALID,
    ADD CONSTRAINT organizations_deployment_type_check CHECK (deployment_type IN ('on-premise', 'managed-cloud')) NOT VALID,
    ADD CONSTRAINT organizations_plan_type_check CHECK (plan_type IN ('managed-cloud', 'self-hosted')) NOT VALID,
    ADD CONSTRAINT organizations_subscription_status_check CHECK (subscription_status IN
        ('pending', 'trial', 'active', 'past_due', 'unpaid', 'incomplete', 'incomplete_expired', 'paused', 'canceled')) NOT VALID,
    -- A subscription has a customer, and who has neither is pending.
    ADD CONSTRAINT organizations_subscription_has_customer_check CHECK (stripe_subscription_id IS NULL OR stripe_customer_id IS NOT NULL) NOT VALID,
    ADD CONSTRAINT organizations_pending_check CHECK (stripe_subscription_id IS NOT NULL OR stripe_customer_id IS NOT NULL OR subscription_status = 'pending') NOT VALID;

-- The two lists of the admin, each in its order, a page at a time.
CREATE INDEX organizations_pending_idx ON organizations (created_at DESC, id DESC) WHERE stripe_customer_id IS NULL;
CREATE INDEX organizations_linked_idx ON organizations (created_at DESC, id DESC) WHERE stripe_customer_id IS NOT NULL;

COMMENT ON TABLE organizations IS 'org-svc: one row per instance that ever reported';
COMMENT ON COLUMN organizations.billing_start_at IS 'the subscription''s start by Stripe''s clock; reports of earlier moments are never billed';
COMMENT ON COLUMN organizations.reported_name IS 'the name in the latest report where it differs from name';
COMMENT ON COLUMN organizations.observed_at IS 'the timestamp of the latest report that was observed: an older one changes nothing';
COMMENT ON COLUMN organizations.billing_problem IS 'why it cannot be billed though it is linked; NULL when nothing is wrong';
COMMENT ON COLUMN organizations.legacy IS 'the row of the older database as it was, without its billing_token; NULL for rows of our own';
COMMENT ON COLUMN organizations.standing_version IS 'the cursor of the latest entry in organization_changes; 0 before the first';

-- The feed of how organizations stand. Cursors are given out under an advisory lock that is held to
-- the end of the transaction, so they become visible in their order.
CREATE TABLE organization_changes (
    cursor          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    changed_at      timestamptz NOT NULL
);
COMMENT ON TABLE organization_changes IS 'org-svc: the feed that WatchOrganizations streams';

-- A link as it was asked for: the row is written before anything is done, and whoever holds its
-- lease carries it on.
CREATE TABLE link_operations (
    id                     uuid PRIMARY KEY,
    organization_id        uuid NOT NULL REFERENCES organizations (id),
    organization_name      text NOT NULL,
    state                  varchar(20) NOT NULL CHECK (state IN ('running', 'succeeded', 'refused')),
    admin_email            text NOT NULL,
    deployment_type        varchar(20) NOT NULL CHECK (deployment_type IN ('on-premise', 'managed-cloud')),
    plan_type              varchar(20) NOT NULL CHECK (plan_type IN ('managed-cloud', 'self-hosted')),
    trial_days             integer NOT NULL CHECK (trial_days BETWEEN 0 AND 730),
    admin_user_id          text NOT NULL,
    attempt_count          integer NOT NULL DEFAULT 0,
    next_attempt_at        timestamptz NOT NULL,
    lease_token            uuid,
    lease_until            timestamptz,
    error_code             text,
    error_message          text,
    -- Of a refusal: the parameter at fault and Stripe's id of the request, where Stripe told them.
    error_param            text,
    stripe_request_id      text,
    created_at             timestamptz NOT NULL,
    ended_at               timestamptz,
    CHECK ((state = 'running') = (ended_at IS NULL)),
    CHECK (state <> 'refused' OR error_code IS NOT NULL)
);
-- Never two at once for one organization: this index, not a lock, is what says so.
CREATE UNIQUE INDEX link_operations_running_key ON link_operations (organization_id) WHERE state = 'running';
CREATE INDEX link_operations_due_idx ON link_operations (next_attempt_at) WHERE state = 'running';
CREATE INDEX link_operations_organization_idx ON link_operations (organization_id, created_at DESC);
COMMENT ON TABLE link_operations IS 'org-svc: every link that was asked for, with its terms and its end';

CREATE TABLE audit_events (
    id              uuid PRIMARY KEY,
    occurred_at     timestamptz NOT NULL,
    organization_id uuid,
    admin_user_id   text,
    action          text NOT NULL,
    request_id      text,
    before          jsonb,
    after           jsonb
);
CREATE INDEX audit_events_organization_idx ON audit_events (organization_id, occurred_at DESC);
COMMENT ON TABLE audit_events IS 'org-svc: who changed what, when; append-only, for org-svc too';

-- Better Auth knows no roles: who may administer billing stands here.
CREATE TABLE admins (
    user_id    text PRIMARY KEY,
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE admins IS 'org-svc: the users of Better Auth''s tables who are admins of billing';

GRANT SELECT, INSERT, UPDATE ON organizations, link_operations TO billing_org;
GRANT SELECT, INSERT ON organization_changes, audit_events TO billing_org;
GRANT SELECT, INSERT, DELETE ON admins TO billing_org;
