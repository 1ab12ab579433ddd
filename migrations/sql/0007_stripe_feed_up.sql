-- What Stripe tells us. stripe-svc alone reads and writes these tables.

-- The inbox: every event that came with a good signature, whether we know its type or not, as it
-- came. Stripe is answered once the row is committed.
CREATE TABLE stripe_events (
    event_id        text PRIMARY KEY CHECK (length(event_id) BETWEEN 1 AND 255),
    event_type      text NOT NULL,
    is_thin         boolean NOT NULL,
    -- json, not jsonb: it is kept to the letter.
    payload         json NOT NULL,
    -- By Stripe's clock, which gives whole seconds in no order: for people.
    created_at      timestamptz,
    received_at     timestamptz NOT NULL,
    state           varchar(20) NOT NULL CHECK (state IN ('queued', 'processed', 'ignored', 'dead')),
    attempt_count   integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    lease_token     uuid,
    lease_until     timestamptz,
    error_code      text,
    error_message   text,
    ended_at        timestamptz,
    CHECK ((state = 'queued') = (ended_at IS NULL)),
    CHECK (state <> 'dead' OR error_code IS NOT NULL)
);
CREATE INDEX stripe_events_due_idx ON stripe_events (next_attempt_at) WHERE state = 'queued';
CREATE INDEX stripe_events_received_idx ON stripe_events (received_at DESC, event_id DESC);
CREATE INDEX stripe_events_state_idx ON stripe_events (state, received_at DESC, event_id DESC);
COMMENT ON TABLE stripe_events IS 'stripe-svc: the inbox of Stripe''s webhooks';

-- The order in which fetches began, whatever the clocks of the machines say: a fetch takes a ticket
-- before it asks, and what it brings never replaces what a later ticket brought.
CREATE SEQUENCE stripe_fetch_tickets AS bigint;

CREATE TABLE stripe_subscriptions (
    stripe_subscription_id  text PRIMARY KEY,
    stripe_customer_id      text NOT NULL,
    -- From its metadata; NULL where others made it.
    organization_id         uuid,
    subscription_status     varchar(20) NOT NULL CHECK (subscription_status IN
        ('trial', 'active', 'past_due', 'unpaid', 'incomplete', 'incomplete_expired', 'paused', 'canceled')),
    trial_end               timestamptz,
    start_at                timestamptz NOT NULL,
    current_period_start_at timestamptz,
    current_period_end_at   timestamptz,
    cancel_at               timestamptz,
    ended_at                timestamptz,
    customer_deleted        boolean NOT NULL,
    -- 0: Stripe's answer to the call that made it, older than anything that was fetched.
    fetch_ticket            bigint NOT NULL,
    observed_at             timestamptz NOT NULL,
    version                 bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 80);
CREATE INDEX stripe_subscriptions_customer_idx ON stripe_subscriptions (stripe_customer_id);
COMMENT ON TABLE stripe_subscriptions IS 'stripe-svc: every subscription as it was last fetched from Stripe';
COMMENT ON COLUMN stripe_subscriptions.version IS 'the cursor of the latest entry in stripe_subscription_changes';

-- The feed. Cursors are given out under an advisory lock that is held to the end of the
-- transaction, so they become visible in their order.
CREATE TABLE stripe_subscription_changes (
    cursor                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stripe_subscription_id text NOT NULL REFERENCES stripe_subscriptions (stripe_subscription_id),
    changed_at             timestamptz NOT NULL
);
COMMENT ON TABLE stripe_subscription_changes IS 'stripe-svc: the feed that WatchSubscriptions streams';

-- Usage that Stripe took and then did not count, as it told afterwards.
CREATE TABLE stripe_meter_errors (
    id                  uuid PRIMARY KEY,
    event_id            text NOT NULL REFERENCES stripe_events (event_id),
    stripe_meter_id     text,
    error_code          text NOT NULL,
    error_message       text NOT NULL,
    error_count         bigint NOT NULL CHECK (error_count >= 0),
    -- Of some of the events at fault: Stripe does not name all.
    sample_identifiers  text[] NOT NULL,
    validation_start_at timestamptz,
    validation_end_at   timestamptz,
    found_at            timestamptz NOT NULL,
    CONSTRAINT stripe_meter_errors_code_key UNIQUE (event_id, error_code)
);
CREATE INDEX stripe_meter_errors_found_idx ON stripe_meter_errors (found_at DESC, id DESC);
COMMENT ON TABLE stripe_meter_errors IS 'stripe-svc: meter events that Stripe took and then did not count';

-- The pass over all subscriptions: whose turn it is, when the next is due, and how far it is.
CREATE TABLE stripe_sweeps (
    name          varchar(40) PRIMARY KEY,
    due_at        timestamptz NOT NULL,
    lease_token   uuid,
    lease_until   timestamptz,
    -- The ticket that the pass under way began with; NULL between passes.
    first_ticket  bigint,
    -- The last subscription of the latest page; NULL before the first.
    position      text,
    last_ended_at timestamptz
);
COMMENT ON TABLE stripe_sweeps IS 'stripe-svc: the passes that find what no webhook brought';

GRANT SELECT, INSERT, UPDATE ON stripe_events, stripe_subscriptions, stripe_sweeps TO billing_stripe;
GRANT SELECT, INSERT ON stripe_subscription_changes, stripe_meter_errors TO billing_stripe;
GRANT USAGE ON SEQUENCE stripe_fetch_tickets TO billing_stripe;
