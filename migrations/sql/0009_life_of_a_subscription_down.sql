-- The former release knows links alone. Operations of the other kinds are history that is nobody's
-- to drop in passing.
DO $$
BEGIN
    IF EXISTS (SELECT FROM link_operations WHERE kind <> 'link')
        OR EXISTS (SELECT FROM stripe_calls WHERE step NOT IN ('create_customer', 'create_subscription')) THEN
        RAISE EXCEPTION 'there are operations that the former release does not know'
            USING HINT = 'To go back restore the backup from before the migration. Nothing was changed.';
    END IF;
END
$$;
ALTER TABLE stripe_calls
    DROP CONSTRAINT stripe_calls_step_check,
    ADD CONSTRAINT stripe_calls_step_check CHECK (step IN ('create_customer', 'create_subscription'));
ALTER TABLE link_operations
    DROP COLUMN kind,
    DROP COLUMN stripe_customer_id,
    DROP COLUMN stripe_subscription_id,
    DROP COLUMN cancel_mode,
    DROP COLUMN reason,
    ALTER COLUMN admin_email SET NOT NULL,
    ALTER COLUMN deployment_type SET NOT NULL,
    ALTER COLUMN plan_type SET NOT NULL,
    ALTER COLUMN trial_days SET NOT NULL;
