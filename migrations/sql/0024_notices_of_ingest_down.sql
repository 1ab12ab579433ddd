DROP INDEX notices_open_idx;
ALTER TABLE organization_reporting DROP COLUMN silence_told_since, DROP COLUMN hold_deadline_told;
DROP TABLE notices_to_tell;
