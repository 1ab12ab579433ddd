-- outside a transaction
-- A pause of collection in Stripe, which the status of a subscription does not show.
ALTER TABLE stripe_subscriptions
    ADD COLUMN IF NOT EXISTS collection_pause      varchar(20),
    ADD COLUMN IF NOT EXISTS collection_paused_at  timestamptz,
    ADD COLUMN IF NOT EXISTS collection_resumes_at timestamptz;
ALTER TABLE stripe_subscriptions
    DROP CONSTRAINT IF EXISTS stripe_subscriptions_collection_check,
    ADD CONSTRAINT stripe_subscriptions_collection_check CHECK (
        coalesce(collection_pause, 'void') IN ('void', 'keep_as_draft', 'mark_uncollectible')
        AND (collection_pause IS NULL) = (collection_paused_at IS NULL)) NOT VALID;
ALTER TABLE stripe_subscriptions VALIDATE CONSTRAINT stripe_subscriptions_collection_check;
COMMENT ON COLUMN stripe_subscriptions.collection_pause IS 'what Stripe does with the invoices while collection is paused; NULL while it is not';
COMMENT ON COLUMN stripe_subscriptions.collection_paused_at IS 'when a fetch first showed the pause that still holds';

ALTER TABLE organizations
    ADD COLUMN IF NOT EXISTS collection_pause      varchar(20),
    ADD COLUMN IF NOT EXISTS collection_paused_at  timestamptz,
    ADD COLUMN IF NOT EXISTS collection_resumes_at timestamptz;
ALTER TABLE organizations
    DROP CONSTRAINT IF EXISTS organizations_collection_check,
    ADD CONSTRAINT organizations_collection_check CHECK (
        coalesce(collection_pause, 'void') IN ('void', 'keep_as_draft', 'mark_uncollectible')
        AND (collection_pause IS NULL) = (collection_paused_at IS NULL)) NOT VALID;
ALTER TABLE organizations VALIDATE CONSTRAINT organizations_collection_check;
COMMENT ON COLUMN organizations.collection_pause IS 'what Stripe does with its invoices while collection is paused; NULL while it is not';
COMMENT ON COLUMN organizations.collection_paused_at IS 'when the pause that still holds was first seen';
CREATE INDEX CONCURRENTLY IF NOT EXISTS organizations_collection_pause_idx
    ON organizations (created_at DESC, id DESC) WHERE collection_pause IS NOT NULL;

ALTER TABLE unclaimed_subscriptions
    ADD COLUMN IF NOT EXISTS collection_pause      varchar(20),
    ADD COLUMN IF NOT EXISTS collection_paused_at  timestamptz,
    ADD COLUMN IF NOT EXISTS collection_resumes_at timestamptz;
