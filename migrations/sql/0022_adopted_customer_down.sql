-- The former release makes a new customer for every link. A link that adopted one is history that is
-- nobody's to drop in passing, and one that runs would go on with other terms.
DO $$
BEGIN
    IF EXISTS (SELECT FROM link_operations WHERE adopt_customer_id IS NOT NULL)
        OR EXISTS (SELECT FROM stripe_calls WHERE step = 'adopt_customer') THEN
        RAISE EXCEPTION 'there are operations that the former release does not know'
            USING HINT = 'To go back restore the backup from before the migration. Nothing was changed.';
    END IF;
END
$$;
DROP INDEX stripe_calls_adopting_idx;
ALTER TABLE stripe_calls
    DROP CONSTRAINT stripe_calls_step_check,
    ADD CONSTRAINT stripe_calls_step_check CHECK (step IN ('create_customer', 'create_subscription',
        'update_customer', 'update_subscription', 'cancel_at_period_end', 'cancel_now'));
ALTER TABLE link_operations DROP COLUMN adopt_customer_id;
