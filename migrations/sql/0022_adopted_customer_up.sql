-- A link may take a customer that is in Stripe already in place of a new one: a term like the others.
ALTER TABLE link_operations ADD COLUMN adopt_customer_id text;
ALTER TABLE link_operations
    ADD CONSTRAINT link_operations_adopt_check CHECK (adopt_customer_id IS NULL OR kind = 'link');
COMMENT ON COLUMN link_operations.adopt_customer_id IS 'the Stripe customer that the admin chose for a link; NULL for a new one';

ALTER TABLE stripe_calls
    DROP CONSTRAINT stripe_calls_step_check,
    ADD CONSTRAINT stripe_calls_step_check CHECK (step IN ('create_customer', 'adopt_customer',
        'create_subscription', 'update_customer', 'update_subscription', 'cancel_at_period_end',
        'cancel_now'));
-- Who adopts a customer right now: looked at before somebody else may.
CREATE INDEX stripe_calls_adopting_idx ON stripe_calls ((params->>'path'))
    WHERE step = 'adopt_customer' AND state = 'open';
