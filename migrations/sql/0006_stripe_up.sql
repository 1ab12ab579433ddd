-- What stripe-svc asked of Stripe, each call written before it is sent. stripe-svc alone reads and
-- writes these tables.
CREATE TABLE stripe_calls (
    id                uuid PRIMARY KEY,
    operation_id      uuid NOT NULL,
    step              varchar(40) NOT NULL CHECK (step IN ('create_customer', 'create_subscription')),
    organization_id   uuid NOT NULL,
    -- Derived from id; Stripe sees it as the Idempotency-Key on every attempt.
    idempotency_key   text NOT NULL UNIQUE,
    -- The parameters as they are sent: a resumed call repeats them to the letter.
    params            jsonb NOT NULL,
    state             varchar(20) NOT NULL CHECK (state IN ('open', 'succeeded', 'refused')),
    attempt_count     integer NOT NULL DEFAULT 0,
    first_sent_at     timestamptz,
    last_sent_at      timestamptz,
    response          jsonb,
    stripe_object_id  text,
    stripe_request_id text,
    error_code        text,
    error_message     text,
    error_param       text,
    created_at        timestamptz NOT NULL,
    settled_at        timestamptz,
    CONSTRAINT stripe_calls_step_key UNIQUE (operation_id, step),
    CHECK ((state = 'open') = (settled_at IS NULL)),
    CHECK (state <> 'succeeded' OR stripe_object_id IS NOT NULL),
    CHECK (state <> 'refused' OR error_code IS NOT NULL)
);
CREATE INDEX stripe_calls_organization_idx ON stripe_calls (organization_id, created_at);
COMMENT ON TABLE stripe_calls IS 'stripe-svc: every call that creates or changes something in Stripe';

-- One organization, one customer: what the next operation uses again after a refusal.
CREATE TABLE stripe_customers (
    organization_id    uuid PRIMARY KEY,
    stripe_customer_id text NOT NULL UNIQUE,
    created_at         timestamptz NOT NULL
);
COMMENT ON TABLE stripe_customers IS 'stripe-svc: the Stripe customer of each organization';

CREATE TABLE stripe_meter_events (
    identifier         text PRIMARY KEY CHECK (length(identifier) BETWEEN 1 AND 100),
    stripe_customer_id text NOT NULL,
    event_name         text NOT NULL,
    value              bigint NOT NULL CHECK (value >= 0),
    event_at           timestamptz NOT NULL,
    state              varchar(20) NOT NULL CHECK (state IN ('open', 'accepted', 'refused')),
    attempt_count      integer NOT NULL DEFAULT 0,
    first_sent_at      timestamptz,
    last_sent_at       timestamptz,
    stripe_request_id  text,
    error_code         text,
    error_message      text,
    created_at         timestamptz NOT NULL,
    settled_at         timestamptz,
    CHECK ((state = 'open') = (settled_at IS NULL)),
    CHECK (state <> 'refused' OR error_code IS NOT NULL)
);
CREATE INDEX stripe_meter_events_customer_idx ON stripe_meter_events (stripe_customer_id, event_at);
COMMENT ON TABLE stripe_meter_events IS 'stripe-svc: every meter event, stored before it is sent';

GRANT SELECT, INSERT, UPDATE ON stripe_calls, stripe_customers, stripe_meter_events TO billing_stripe;
