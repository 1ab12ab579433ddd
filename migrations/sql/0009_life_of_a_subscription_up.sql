-- What an admin may do with an organization once it is linked: update, cancel, unlink. Each is a
-- stored operation like the link, in the same table, so that an organization has one at a time.
ALTER TABLE link_operations
    ADD COLUMN kind                   varchar(20) NOT NULL DEFAULT 'link',
    ADD COLUMN stripe_customer_id     text,
    ADD COLUMN stripe_subscription_id text,
    ADD COLUMN cancel_mode            varchar(20),
    ADD COLUMN reason                 text,
    ALTER COLUMN admin_email DROP NOT NULL,
    ALTER COLUMN deployment_type DROP NOT NULL,
    ALTER COLUMN plan_type DROP NOT NULL,
    ALTER COLUMN trial_days DROP NOT NULL;

-- Each kind has its own terms, and no others.
ALTER TABLE link_operations
    ADD CONSTRAINT link_operations_kind_check CHECK (kind IN ('link', 'update', 'cancel', 'unlink')),
    ADD CONSTRAINT link_operations_terms_check CHECK (
        (kind IN ('link', 'update')) = (num_nulls(admin_email, deployment_type, plan_type) = 0)
        AND (kind IN ('link', 'update') OR num_nonnulls(admin_email, deployment_type, plan_type) = 0)
        AND (kind = 'link') = (trial_days IS NOT NULL)
        AND (kind = 'cancel') = (cancel_mode IS NOT NULL)
        AND (kind = 'unlink') = (reason IS NOT NULL)),
    ADD CONSTRAINT link_operations_subject_check CHECK (
        (kind = 'link' AND num_nonnulls(stripe_customer_id, stripe_subscription_id) = 0)
        OR (kind = 'unlink' AND stripe_customer_id IS NOT NULL)
        OR num_nulls(stripe_customer_id, stripe_subscription_id) = 0),
    ADD CONSTRAINT link_operations_cancel_mode_check CHECK (cancel_mode IN ('at_period_end', 'now')),
    ADD CONSTRAINT link_operations_reason_check CHECK (length(reason) BETWEEN 1 AND 500);
COMMENT ON TABLE link_operations IS 'org-svc: every link, update, cancellation and unlinking that was asked for, with its terms and its end';
COMMENT ON COLUMN link_operations.stripe_subscription_id IS 'what an update, a cancellation or an unlinking is about, as it was when it was asked for';

ALTER TABLE stripe_calls
    DROP CONSTRAINT stripe_calls_step_check,
    ADD CONSTRAINT stripe_calls_step_check CHECK (step IN ('create_customer', 'create_subscription',
        'update_customer', 'update_subscription', 'cancel_at_period_end', 'cancel_now'));
