-- Where an organization first came from, and whether an admin ignores it.
ALTER TABLE organizations
    ADD COLUMN source_network varchar(49),
    ADD COLUMN ignored_at     timestamptz,
    ADD COLUMN search_form    text;
ALTER TABLE organizations
    ADD CONSTRAINT organizations_ignored_check CHECK (ignored_at IS NULL OR stripe_customer_id IS NULL) NOT VALID;
COMMENT ON COLUMN organizations.source_network IS 'the network (/24 or /48) of the first report; NULL if not known';
COMMENT ON COLUMN organizations.ignored_at IS 'when an admin ignored it; a link ends that';
COMMENT ON COLUMN organizations.search_form IS 'name, URL and e-mail in the normal form in which a search compares them; NULL until org-svc has filled it';

-- The normal form is org-svc's to compute: it fills the column of new rows, and a worker of it those that
-- have none. Whoever changes what it is made of, an older release included, empties it.
CREATE FUNCTION organizations_forget_search_form() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.search_form := NULL;
    RETURN NEW;
END
$$;
CREATE TRIGGER organizations_search_form BEFORE UPDATE ON organizations FOR EACH ROW
    WHEN ((OLD.name, OLD.instance_url, OLD.admin_email) IS DISTINCT FROM (NEW.name, NEW.instance_url, NEW.admin_email)
        AND OLD.search_form IS NOT DISTINCT FROM NEW.search_form)
    EXECUTE FUNCTION organizations_forget_search_form();

-- How many new organizations each network brought on each UTC day. The row's lock makes the cap hold
-- across replicas.
CREATE TABLE organization_admissions (
    day             date NOT NULL,
    -- Empty: the network is not known.
    source_network  varchar(49) NOT NULL,
    admitted_count  bigint NOT NULL DEFAULT 0 CHECK (admitted_count >= 0),
    refused_count   bigint NOT NULL DEFAULT 0 CHECK (refused_count >= 0),
    PRIMARY KEY (day, source_network)
);
COMMENT ON TABLE organization_admissions IS 'org-svc: new organizations by UTC day and source network; pruned after 400 days';
COMMENT ON COLUMN organization_admissions.refused_count IS 'reports of unknown organizations that were answered with 429 because of the cap';
GRANT SELECT, INSERT, UPDATE, DELETE ON organization_admissions TO billing_org;

-- Organizations that nobody ever linked are deleted after 13 months, with the entries of the feed
-- that tell of them.
GRANT DELETE ON organizations, organization_changes TO billing_org;

-- ingest-svc deletes their reports first, and counts no users of ignored organizations. A table of its
-- own, so that recording a report does not write it.
CREATE TABLE ignored_organizations (
    organization_id uuid PRIMARY KEY
);
COMMENT ON TABLE ignored_organizations IS 'ingest-svc: the organizations that an admin ignores, as the feed tells';
GRANT SELECT, INSERT, DELETE ON ignored_organizations TO billing_ingest;
GRANT DELETE ON usage_reports, organization_reporting TO billing_ingest;
