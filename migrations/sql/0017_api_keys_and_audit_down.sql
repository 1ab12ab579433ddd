DROP TRIGGER audit_events_append_only ON audit_events;
DROP FUNCTION audit_events_refuse();
DROP INDEX audit_events_action_idx, audit_events_actor_idx, audit_events_list_idx;
ALTER TABLE audit_events DROP COLUMN client_address, DROP COLUMN api_key_id;
DROP TABLE api_keys;
