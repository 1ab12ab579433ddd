-- How often a password may be tried: for each account, and apart from it for each browser that signed
-- in to it before. Counted here, so by all replicas together. A key is a hash, so an address that
-- somebody mistyped is not kept, and an account that does not exist is counted as one that does.
CREATE TABLE sign_in_budgets (
    key           bytea PRIMARY KEY CHECK (length(key) = 32),
    attempt_count integer NOT NULL CHECK (attempt_count >= 0),
    allowed_at    timestamptz NOT NULL,
    tried_at      timestamptz NOT NULL,
    told_at       timestamptz
);
CREATE INDEX sign_in_budgets_tried_idx ON sign_in_budgets (tried_at);
COMMENT ON TABLE sign_in_budgets IS 'org-svc: attempts at passwords, by account or browser; forgotten once nobody tries any more';
COMMENT ON COLUMN sign_in_budgets.allowed_at IS 'when the latest attempt was allowed';
COMMENT ON COLUMN sign_in_budgets.tried_at IS 'when the latest attempt was made, allowed or not';
COMMENT ON COLUMN sign_in_budgets.told_at IS 'when the operator was told of this run of attempts';

-- Passwords that were wrong or not looked at, counted by hour, account and network: an attacker cannot
-- fill the trail. The trail shows them beside audit_events, which holds what succeeded.
CREATE TABLE sign_in_failures (
    id             uuid PRIMARY KEY,
    action         varchar(40) NOT NULL CHECK (action IN ('sign_in.failed', 'password_change.failed')),
    hour_at        timestamptz NOT NULL,
    -- Empty for all addresses that no account has.
    user_id        text NOT NULL,
    -- A /24 or /48; empty for all networks of an hour that were too many to be kept.
    network        text NOT NULL,
    first_at       timestamptz NOT NULL,
    last_at        timestamptz NOT NULL,
    wrong_count    bigint NOT NULL CHECK (wrong_count >= 0),
    refused_count  bigint NOT NULL CHECK (refused_count >= 0),
    client_address inet,
    UNIQUE (hour_at, action, user_id, network),
    CHECK (last_at >= first_at)
);
CREATE INDEX sign_in_failures_list_idx ON sign_in_failures (first_at DESC, id DESC);
CREATE INDEX sign_in_failures_user_idx ON sign_in_failures (user_id, first_at DESC, id DESC);
COMMENT ON TABLE sign_in_failures IS 'org-svc: attempts at passwords that failed, a row for each hour, account and network; forgotten after 90 days';
COMMENT ON COLUMN sign_in_failures.wrong_count IS 'attempts with a wrong password';
COMMENT ON COLUMN sign_in_failures.refused_count IS 'attempts that came too often to be looked at';
COMMENT ON COLUMN sign_in_failures.client_address IS 'where the latest attempt came from, as the gateway saw it';

GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_budgets, sign_in_failures TO billing_org;
