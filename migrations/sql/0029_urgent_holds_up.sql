-- When the invoices of held reports are final is a matter of their organization's present period, which
-- org-svc knows: ingest-svc keeps it of the organizations that have held reports.
ALTER TABLE organization_reporting
    ADD COLUMN period_start_at timestamptz,
    ADD COLUMN period_end_at   timestamptz;
COMMENT ON COLUMN organization_reporting.period_start_at IS 'the present period of the subscription, as org-svc told it while reports were held';
