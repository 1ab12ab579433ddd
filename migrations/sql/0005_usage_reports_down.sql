DROP TABLE feed_cursors, organization_reporting, usage_report_spool, usage_reports;
