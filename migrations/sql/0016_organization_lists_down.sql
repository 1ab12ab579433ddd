-- pg_trgm stays: it may have been there before.
DROP INDEX IF EXISTS organizations_search_idx;
DROP INDEX organizations_instance_url_prefix_idx;
DROP INDEX organizations_name_prefix_idx;
DROP INDEX organizations_pending_odd_idx;
DROP INDEX organizations_linked_facets_name_idx;
DROP INDEX organizations_linked_facets_idx;
DROP INDEX organizations_linked_name_idx;
DROP INDEX organizations_pending_name_idx;
