-- Drops what 0008 made. The next time the feed is read from its beginning, which brings it all back.
DROP TABLE unclaimed_subscriptions, org_feed_cursors;
ALTER TABLE organizations
    DROP COLUMN current_period_start_at,
    DROP COLUMN current_period_end_at,
    DROP COLUMN cancel_at,
    DROP COLUMN subscription_version;
