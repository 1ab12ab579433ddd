DROP TABLE stripe_sweeps, stripe_meter_errors, stripe_subscription_changes, stripe_subscriptions, stripe_events;
DROP SEQUENCE stripe_fetch_tickets;
