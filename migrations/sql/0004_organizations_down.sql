DROP TABLE admins, audit_events, link_operations, organization_changes;
DROP TABLE organizations CASCADE;
