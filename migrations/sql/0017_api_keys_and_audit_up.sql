-- The API keys of admins' scripts. org-svc alone reads and writes them.
CREATE TABLE api_keys (
    id                 uuid PRIMARY KEY,
    name               text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    -- SHA-256 of a secret of 256 random bits: nothing to guess, so nothing to slow down.
    secret_hash        bytea NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
    secret_prefix      text NOT NULL,
    access             varchar(20) NOT NULL CHECK (access IN ('read_only', 'full')),
    admin_user_id      text NOT NULL,
    created_at         timestamptz NOT NULL,
    expires_at         timestamptz NOT NULL,
    last_used_at       timestamptz,
    revoked_at         timestamptz,
    CHECK (expires_at > created_at AND expires_at <= created_at + interval '366 days')
);
CREATE INDEX api_keys_list_idx ON api_keys (created_at DESC, id DESC);
COMMENT ON TABLE api_keys IS 'org-svc: API keys, by the hash of their secret';
COMMENT ON COLUMN api_keys.secret_prefix IS 'the first characters of the secret, by which a person recognizes it';
COMMENT ON COLUMN api_keys.admin_user_id IS 'who made it: it is good as long as that user is an admin';
COMMENT ON COLUMN api_keys.last_used_at IS 'to ten minutes: not every use is a write';

-- From where, and with which key, a change was made.
ALTER TABLE audit_events
    ADD COLUMN client_address inet,
    ADD COLUMN api_key_id     uuid;
CREATE INDEX audit_events_list_idx ON audit_events (occurred_at DESC, id DESC);
CREATE INDEX audit_events_actor_idx ON audit_events (admin_user_id, occurred_at DESC, id DESC);
CREATE INDEX audit_events_action_idx ON audit_events (action, occurred_at DESC, id DESC);
COMMENT ON COLUMN audit_events.client_address IS 'where the request came from, as the gateway saw it';

-- Append-only for everybody, the owner of the table too: who must change it has to say so, by
-- dropping the trigger.
CREATE FUNCTION audit_events_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_events is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION audit_events_refuse();

GRANT SELECT, INSERT, UPDATE ON api_keys TO billing_org;
