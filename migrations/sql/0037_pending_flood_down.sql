REVOKE DELETE ON usage_reports, organization_reporting FROM billing_ingest;
DROP TABLE ignored_organizations;
REVOKE DELETE ON organizations, organization_changes FROM billing_org;
DROP TABLE organization_admissions;
DROP TRIGGER organizations_search_form ON organizations;
DROP FUNCTION organizations_forget_search_form();
-- With the column goes the constraint of it.
ALTER TABLE organizations
    DROP COLUMN search_form,
    DROP COLUMN ignored_at,
    DROP COLUMN source_network;
