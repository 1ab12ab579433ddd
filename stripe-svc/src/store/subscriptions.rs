//! `stripe_subscriptions`: every subscription as it was last fetched.

use billing_kit_db::{StoreError, query::column};
use chrono::{DateTime, Utc};
use sea_orm::{
    ConnectionTrait, FromQueryResult, QueryOrder, QuerySelect, Set, entity::prelude::*, raw_sql,
};
use serde_json::json;

use crate::{
    domain::{
        ids::{CustomerId, OrganizationId, SubscriptionId},
        subscription::{
            CollectionPause, FetchTicket, PauseBehavior, Subscription, SubscriptionState,
        },
        terms::SubscriptionStatus,
    },
    store::{
        entities::subscriptions::{ActiveModel, Column, Entity, Model, Scope as _},
        subscription_changes,
    },
};

impl TryFrom<Model> for SubscriptionState {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model {
            stripe_subscription_id,
            stripe_customer_id,
            organization_id,
            subscription_status,
            trial_end,
            start_at,
            current_period_start_at,
            current_period_end_at,
            cancel_at,
            ended_at,
            customer_deleted,
            fetch_ticket: _,
            observed_at,
            version,
            invoiced_until,
            collection_pause,
            collection_paused_at,
            collection_resumes_at,
        } = row;
        let collection_pause = collection_pause.map(|word| {
            let behavior = PauseBehavior::read(&word);
            let behavior = behavior.ok_or_else(|| {
                StoreError::unknown("stripe_subscriptions.collection_pause", word)
            })?;
            Ok::<_, StoreError>(CollectionPause {
                behavior,
                resumes_at: collection_resumes_at,
            })
        });
        let status = SubscriptionStatus::read(&subscription_status).ok_or_else(|| {
            StoreError::unknown(
                "stripe_subscriptions.subscription_status",
                subscription_status,
            )
        })?;
        Ok(Self {
            subscription: Subscription {
                id: SubscriptionId::new(stripe_subscription_id),
                customer_id: CustomerId::new(stripe_customer_id),
                organization_id: organization_id.map(OrganizationId),
                status,
                trial_end,
                start: start_at,
                current_period_start: current_period_start_at,
                current_period_end: current_period_end_at,
                cancel_at,
                ended_at,
                customer_deleted,
                collection_pause: collection_pause.transpose()?,
            },
            invoiced_until,
            collection_paused_at,
            observed_at,
            version,
        })
    }
}

/// The next ticket, to be taken before Stripe is asked.
pub(crate) async fn take_ticket(db: &impl ConnectionTrait) -> Result<FetchTicket, StoreError> {
    #[derive(FromQueryResult)]
    struct Row {
        ticket: i64,
    }
    let take = raw_sql!(Postgres, "SELECT nextval('stripe_fetch_tickets') AS ticket");
    let row = Row::find_by_statement(take).one(db).await?;
    let row = row.ok_or_else(|| StoreError::Missing("stripe_fetch_tickets".to_owned()))?;
    Ok(FetchTicket(row.ticket))
}

/// Keeps subscriptions as a fetch brought them, unless a later fetch was here before, and tells the
/// feed of those that differ from what was known; answers with these.
///
/// In the order of their ids, so that two transactions wait for one another instead of locking each
/// other out; and the last thing that a transaction does, because the feed makes others wait.
pub(crate) async fn keep(
    db: &impl ConnectionTrait,
    subscriptions: &[Subscription],
    ticket: FetchTicket,
    now: DateTime<Utc>,
) -> Result<Vec<SubscriptionId>, StoreError> {
    #[derive(FromQueryResult)]
    struct Different {
        stripe_subscription_id: String,
    }
    if subscriptions.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Json = subscriptions.iter().map(to_row).collect();
    let ticket = ticket.0;
    // A row is locked by the conflict even where the WHERE leaves it as it is.
    let keep_different = raw_sql!(
        Postgres,
        "INSERT INTO stripe_subscriptions AS s (stripe_subscription_id, stripe_customer_id,
            organization_id, subscription_status, trial_end, start_at, current_period_start_at,
            current_period_end_at, cancel_at, ended_at, customer_deleted, collection_pause,
            collection_resumes_at, collection_paused_at, fetch_ticket, observed_at)
        SELECT n.id, n.customer_id, n.organization_id, n.status, n.trial_end, n.start_at,
            n.period_start_at, n.period_end_at, n.cancel_at, n.ended_at, n.customer_deleted, n.pause,
            n.resumes_at, CASE WHEN n.pause IS NOT NULL THEN {now}::timestamptz END, {ticket}, {now}
        FROM jsonb_to_recordset({rows}) AS n (id text, customer_id text, organization_id uuid,
            status text, trial_end timestamptz, start_at timestamptz, period_start_at timestamptz,
            period_end_at timestamptz, cancel_at timestamptz, ended_at timestamptz,
            customer_deleted boolean, pause text, resumes_at timestamptz)
        ORDER BY id
        ON CONFLICT (stripe_subscription_id) DO UPDATE SET
            stripe_customer_id = excluded.stripe_customer_id,
            organization_id = excluded.organization_id,
            subscription_status = excluded.subscription_status,
            trial_end = excluded.trial_end,
            start_at = excluded.start_at,
            current_period_start_at = excluded.current_period_start_at,
            current_period_end_at = excluded.current_period_end_at,
            cancel_at = excluded.cancel_at,
            ended_at = excluded.ended_at,
            customer_deleted = excluded.customer_deleted,
            collection_pause = excluded.collection_pause,
            collection_resumes_at = excluded.collection_resumes_at,
            -- A pause that is changed is the same pause.
            collection_paused_at = CASE WHEN s.collection_pause IS NOT NULL
                    AND excluded.collection_pause IS NOT NULL
                THEN s.collection_paused_at ELSE excluded.collection_paused_at END,
            fetch_ticket = excluded.fetch_ticket,
            observed_at = excluded.observed_at
        WHERE s.fetch_ticket < excluded.fetch_ticket
          AND (s.stripe_customer_id, s.organization_id, s.subscription_status, s.trial_end,
                s.start_at, s.current_period_start_at, s.current_period_end_at, s.cancel_at,
                s.ended_at, s.customer_deleted, s.collection_pause, s.collection_resumes_at)
              IS DISTINCT FROM
              (excluded.stripe_customer_id, excluded.organization_id, excluded.subscription_status,
                excluded.trial_end, excluded.start_at, excluded.current_period_start_at,
                excluded.current_period_end_at, excluded.cancel_at, excluded.ended_at,
                excluded.customer_deleted, excluded.collection_pause,
                excluded.collection_resumes_at)
        RETURNING stripe_subscription_id"
    );
    let different = Different::find_by_statement(keep_different).all(db).await?;
    let different: Vec<_> = different
        .into_iter()
        .map(|row| SubscriptionId::new(row.stripe_subscription_id))
        .collect();
    if different.len() < subscriptions.len() {
        // What did not differ was seen all the same: an earlier fetch that still comes is older.
        let seen = ActiveModel {
            fetch_ticket: Set(ticket),
            observed_at: Set(now),
            ..Default::default()
        };
        Entity::update_many()
            .set(seen)
            .among(column(subscriptions, |it| it.id.to_string()))
            .not_fetched_since(FetchTicket(ticket))
            .exec(db)
            .await?;
    }
    if !different.is_empty() {
        subscription_changes::append(db, &different, now).await?;
    }
    Ok(different)
}

/// A row as the statement reads it: as JSON, because an array of the driver's has no place for what
/// is missing.
fn to_row(subscription: &Subscription) -> Json {
    let Subscription {
        id,
        customer_id,
        organization_id,
        status,
        trial_end,
        start,
        current_period_start,
        current_period_end,
        cancel_at,
        ended_at,
        customer_deleted,
        collection_pause,
    } = subscription;
    let time = |time: &Option<DateTime<Utc>>| time.map(|time| time.to_rfc3339());
    json!({
        "id": id.as_str(),
        "customer_id": customer_id.as_str(),
        "organization_id": organization_id.map(|id| id.to_string()),
        "status": status.as_str(),
        "trial_end": time(trial_end),
        "start_at": start.to_rfc3339(),
        "period_start_at": time(current_period_start),
        "period_end_at": time(current_period_end),
        "cancel_at": time(cancel_at),
        "ended_at": time(ended_at),
        "customer_deleted": customer_deleted,
        "pause": collection_pause.map(|pause| pause.behavior.as_str()),
        "resumes_at": time(&collection_pause.and_then(|pause| pause.resumes_at)),
    })
}

/// Notes up to where a subscription was invoiced for good, and tells the feed where that is further
/// than was known; says whether it was.
pub(crate) async fn move_invoiced_until(
    db: &impl ConnectionTrait,
    id: &SubscriptionId,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let invoiced = ActiveModel {
        invoiced_until: Set(Some(until)),
        ..Default::default()
    };
    let updated = Entity::update_many()
        .set(invoiced)
        .filter(Column::StripeSubscriptionId.eq(id.as_str()))
        .invoiced_before(until)
        .exec(db)
        .await?;
    let moved = updated.rows_affected > 0;
    if moved {
        subscription_changes::append(db, std::slice::from_ref(id), now).await?;
    }
    Ok(moved)
}

/// Those of organizations of which a period has ended since `since` and is not known to be invoiced
/// for good, in the order of their ids.
pub(crate) async fn uninvoiced(
    db: &impl ConnectionTrait,
    since: DateTime<Utc>,
    after: Option<&SubscriptionId>,
    count_max: u64,
) -> Result<Vec<SubscriptionId>, StoreError> {
    let uninvoiced = Entity::find().uninvoiced(since).behind(after);
    ids(uninvoiced, Some(count_max), db).await
}

/// The ids of what a query finds, in their order.
async fn ids(
    query: Select<Entity>,
    count_max: Option<u64>,
    db: &impl ConnectionTrait,
) -> Result<Vec<SubscriptionId>, StoreError> {
    let ids: Vec<String> = query
        .select_only()
        .column(Column::StripeSubscriptionId)
        .order_by_asc(Column::StripeSubscriptionId)
        .limit(count_max)
        .into_tuple()
        .all(db)
        .await?;
    Ok(ids.into_iter().map(SubscriptionId::new).collect())
}

/// A subscription as it stands.
pub(crate) async fn get(
    db: &impl ConnectionTrait,
    id: &SubscriptionId,
) -> Result<Option<SubscriptionState>, StoreError> {
    let found = get_many(db, std::slice::from_ref(id)).await?;
    Ok(found.into_iter().next())
}

/// What is known of a customer's subscriptions.
pub(crate) async fn of_customer(
    db: &impl ConnectionTrait,
    customer: &CustomerId,
) -> Result<Vec<SubscriptionId>, StoreError> {
    ids(Entity::find().of_customer(customer), None, db).await
}

/// Those that have not ended and were not fetched since a ticket, in the order of their ids.
pub(crate) async fn unseen(
    db: &impl ConnectionTrait,
    since: FetchTicket,
    after: Option<&SubscriptionId>,
    count_max: u64,
) -> Result<Vec<SubscriptionId>, StoreError> {
    let unseen = Entity::find().not_fetched_since(since).not_ended();
    ids(unseen.behind(after), Some(count_max), db).await
}

/// These subscriptions as they stand.
pub(super) async fn get_many(
    db: &impl ConnectionTrait,
    ids: &[SubscriptionId],
) -> Result<Vec<SubscriptionState>, StoreError> {
    let rows = Entity::find()
        .among(column(ids, SubscriptionId::to_string))
        .order_by_asc(Column::StripeSubscriptionId)
        .all(db)
        .await?;
    rows.into_iter().map(SubscriptionState::try_from).collect()
}
