ALTER TABLE organization_reporting DROP COLUMN drained;
ALTER TABLE organizations DROP COLUMN drained;
