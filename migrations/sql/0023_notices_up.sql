-- What the operator's own channel is told: each notice is stored with the change that it tells of, and
-- sent by whoever holds its lease.
CREATE TABLE notices (
    id              uuid PRIMARY KEY,
    -- What another service calls it, so that it is stored once.
    key             text UNIQUE CHECK (length(key) BETWEEN 1 AND 200),
    kind            varchar(40) NOT NULL,
    occurred_at     timestamptz NOT NULL,
    data            jsonb NOT NULL,
    state           varchar(20) NOT NULL CHECK (state IN ('queued', 'sent', 'given_up')),
    attempt_count   integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    lease_token     uuid,
    lease_until     timestamptz,
    error_message   text,
    created_at      timestamptz NOT NULL,
    settled_at      timestamptz,
    CHECK ((state = 'queued') = (settled_at IS NULL)),
    CHECK (state <> 'given_up' OR error_message IS NOT NULL)
);
CREATE INDEX notices_due_idx ON notices (next_attempt_at) WHERE state = 'queued';
CREATE INDEX notices_list_idx ON notices (created_at DESC, id DESC);
CREATE INDEX notices_settled_idx ON notices (settled_at) WHERE state = 'sent';
COMMENT ON TABLE notices IS 'org-svc: what the operator''s own channel is told; sent ones are forgotten after 30 days';
COMMENT ON COLUMN notices.error_message IS 'why the latest attempt failed';

GRANT SELECT, INSERT, UPDATE, DELETE ON notices TO billing_org;
