DROP TABLE stripe_meter_events, stripe_customers, stripe_calls;
