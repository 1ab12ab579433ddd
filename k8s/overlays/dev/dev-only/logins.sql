-- A login of its own for each service, in the role that the migrations grant to: what production
-- should do, with passwords that nobody should use.
CREATE ROLE billing_ingest NOLOGIN;
CREATE ROLE billing_org NOLOGIN;
CREATE ROLE billing_stripe NOLOGIN;
CREATE ROLE ingest_svc LOGIN PASSWORD 'dev-only-ingest' IN ROLE billing_ingest;
CREATE ROLE org_svc LOGIN PASSWORD 'dev-only-org' IN ROLE billing_org;
CREATE ROLE stripe_svc LOGIN PASSWORD 'dev-only-stripe' IN ROLE billing_stripe;
