//! The table `unclaimed_subscriptions`: what the feed told of subscriptions before their link was
//! settled. The organization's row is locked by whoever comes here, so a state is either taken up by
//! the link or finds it settled.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use sea_orm::{ConnectionTrait, EntityTrait};

use super::{organizations::pause_of, statement, unknown_word};
use crate::domain::{
    organization::{OrganizationId, StripeCustomerId, StripeSubscriptionId, SubscriptionStatus},
    subscription::SubscriptionState,
};

pub(super) mod entity {
    use sea_orm::entity::prelude::*;

    #[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "unclaimed_subscriptions")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(super) stripe_subscription_id: String,
        pub(super) organization_id: Uuid,
        pub(super) stripe_customer_id: String,
        pub(super) subscription_status: String,
        pub(super) trial_end: Option<DateTimeUtc>,
        pub(super) current_period_start_at: Option<DateTimeUtc>,
        pub(super) current_period_end_at: Option<DateTimeUtc>,
        pub(super) cancel_at: Option<DateTimeUtc>,
        pub(super) customer_deleted: bool,
        pub(super) version: i64,
        pub(super) ended_at: Option<DateTimeUtc>,
        pub(super) invoiced_until: Option<DateTimeUtc>,
        pub(super) collection_pause: Option<String>,
        pub(super) collection_paused_at: Option<DateTimeUtc>,
        pub(super) collection_resumes_at: Option<DateTimeUtc>,
    }

    #[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl TryFrom<entity::Model> for SubscriptionState {
    type Error = Fault;

    fn try_from(row: entity::Model) -> Result<Self, Fault> {
        let entity::Model {
            stripe_subscription_id,
            organization_id,
            stripe_customer_id,
            subscription_status,
            trial_end,
            current_period_start_at,
            current_period_end_at,
            cancel_at,
            customer_deleted,
            version,
            ended_at,
            invoiced_until,
            collection_pause,
            collection_paused_at,
            collection_resumes_at,
        } = row;
        Ok(Self {
            stripe_subscription_id: StripeSubscriptionId(stripe_subscription_id),
            stripe_customer_id: StripeCustomerId(stripe_customer_id),
            organization_id: Some(OrganizationId(organization_id)),
            subscription_status: SubscriptionStatus::from_word(&subscription_status)
                .ok_or_else(|| unknown_word("subscription_status", &subscription_status))?,
            trial_end,
            current_period_start_at,
            current_period_end_at,
            cancel_at,
            ended_at,
            invoiced_until,
            customer_deleted,
            collection_pause: pause_of(
                collection_pause,
                collection_paused_at,
                collection_resumes_at,
            )?,
            version,
        })
    }
}

const PUT: &str = r"
    INSERT INTO unclaimed_subscriptions AS u (stripe_subscription_id, organization_id,
        stripe_customer_id, subscription_status, trial_end, current_period_start_at,
        current_period_end_at, cancel_at, customer_deleted, version, ended_at, invoiced_until,
        collection_pause, collection_paused_at, collection_resumes_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
    ON CONFLICT (stripe_subscription_id) DO UPDATE SET
        subscription_status = excluded.subscription_status, trial_end = excluded.trial_end,
        current_period_start_at = excluded.current_period_start_at,
        current_period_end_at = excluded.current_period_end_at, cancel_at = excluded.cancel_at,
        customer_deleted = excluded.customer_deleted, version = excluded.version,
        ended_at = excluded.ended_at, invoiced_until = excluded.invoiced_until,
        collection_pause = excluded.collection_pause,
        collection_paused_at = excluded.collection_paused_at,
        collection_resumes_at = excluded.collection_resumes_at
    WHERE excluded.version > u.version";

/// Keeps a state of a subscription that was made for this organization and is not its own yet.
pub(crate) async fn put(
    db: &impl ConnectionTrait,
    organization_id: OrganizationId,
    state: &SubscriptionState,
) -> Result<(), Fault> {
    let SubscriptionState {
        stripe_subscription_id,
        stripe_customer_id,
        organization_id: _,
        subscription_status,
        trial_end,
        current_period_start_at,
        current_period_end_at,
        cancel_at,
        ended_at,
        invoiced_until,
        customer_deleted,
        collection_pause,
        version,
    } = state.clone();
    let values = [
        stripe_subscription_id.0.into(),
        organization_id.0.into(),
        stripe_customer_id.0.into(),
        subscription_status.as_str().into(),
        trial_end.into(),
        current_period_start_at.into(),
        current_period_end_at.into(),
        cancel_at.into(),
        customer_deleted.into(),
        version.into(),
        ended_at.into(),
        invoiced_until.into(),
        collection_pause.map(|pause| pause.behavior.as_str()).into(),
        collection_pause.map(|pause| pause.since).into(),
        collection_pause.and_then(|pause| pause.resumes_at).into(),
    ];
    db.execute_raw(statement(PUT, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}

const TAKE: &str = r"
    DELETE FROM unclaimed_subscriptions WHERE stripe_subscription_id = $1
    RETURNING stripe_subscription_id, organization_id, stripe_customer_id, subscription_status,
              trial_end, current_period_start_at, current_period_end_at, cancel_at,
              customer_deleted, version, ended_at, invoiced_until, collection_pause,
              collection_paused_at, collection_resumes_at";

/// Takes up what was told of a subscription before.
pub(crate) async fn take(
    db: &impl ConnectionTrait,
    id: &StripeSubscriptionId,
) -> Result<Option<SubscriptionState>, Fault> {
    entity::Entity::find()
        .from_raw_sql(statement(TAKE, [id.0.as_str().into()]))
        .one(db)
        .await
        .map_err(db_fault)?
        .map(SubscriptionState::try_from)
        .transpose()
}
