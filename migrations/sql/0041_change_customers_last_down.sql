-- The former release does not know the new step and would stop at a row of it.
DO $$
BEGIN
    IF EXISTS (SELECT FROM stripe_calls WHERE step = 'restore_customer') THEN
        RAISE EXCEPTION 'there are calls that the former release does not know'
            USING HINT = 'To go back restore the backup from before the migration. Nothing was changed.';
    END IF;
END
$$;
ALTER TABLE stripe_calls
    DROP CONSTRAINT stripe_calls_step_check,
    ADD CONSTRAINT stripe_calls_step_check CHECK (step IN ('create_customer', 'adopt_customer',
        'create_subscription', 'update_customer', 'update_subscription', 'cancel_at_period_end',
        'cancel_now'));
