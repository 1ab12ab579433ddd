-- A refused link leaves the customer in Stripe as it was: an address that it got for the subscription is
-- taken away again, by a call of its own. Every row satisfies the old list, which is part of the new one.
ALTER TABLE stripe_calls
    DROP CONSTRAINT stripe_calls_step_check,
    ADD CONSTRAINT stripe_calls_step_check CHECK (step IN ('create_customer', 'adopt_customer',
        'create_subscription', 'update_customer', 'restore_customer', 'update_subscription',
        'cancel_at_period_end', 'cancel_now')) NOT VALID;
