//! The table `organizations`.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, EntityTrait, ExprTrait, FromQueryResult,
    PaginatorTrait, QueryFilter, TransactionTrait, sea_query::extension::postgres::PgFunc,
};
use uuid::Uuid;

use super::{organization_list::page_sql, search_forms, statement, unknown_word};
use crate::domain::{
    admission,
    change::SubscriptionTerms,
    link::{LinkTerms, Provisioned},
    observation::Observation,
    organization::{
        CollectionPause, Counts, DeploymentType, Drain, InstanceUrl, Organization, OrganizationId,
        OrganizationName, PauseBehavior, PlanType, SourceNetwork, StripeCustomerId,
        StripeSubscriptionId, SubscriptionStatus,
    },
    page::{List, PageSize, Position},
    subscription::SubscriptionState,
};

pub(super) mod entity {
    use sea_orm::entity::prelude::*;

    #[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "organizations")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(super) id: Uuid,
        pub(super) name: String,
        pub(super) instance_url: Option<String>,
        pub(super) stripe_customer_id: Option<String>,
        pub(super) stripe_subscription_id: Option<String>,
        pub(super) deployment_type: Option<String>,
        pub(super) plan_type: Option<String>,
        pub(super) subscription_status: String,
        pub(super) trial_end: Option<DateTimeUtc>,
        pub(super) admin_email: Option<String>,
        pub(super) created_at: DateTimeUtc,
        pub(super) updated_at: DateTimeUtc,
        pub(super) billing_start_at: Option<DateTimeUtc>,
        pub(super) reported_name: Option<String>,
        pub(super) reported_instance_url: Option<String>,
        pub(super) observed_at: Option<DateTimeUtc>,
        pub(super) billing_problem: Option<String>,
        pub(super) standing_version: i64,
        pub(super) current_period_start_at: Option<DateTimeUtc>,
        pub(super) current_period_end_at: Option<DateTimeUtc>,
        pub(super) cancel_at: Option<DateTimeUtc>,
        pub(super) subscription_version: i64,
        pub(super) draining: bool,
        pub(super) drained: bool,
        pub(super) billing_end_at: Option<DateTimeUtc>,
        pub(super) invoiced_until: Option<DateTimeUtc>,
        pub(super) collection_pause: Option<String>,
        pub(super) collection_paused_at: Option<DateTimeUtc>,
        pub(super) collection_resumes_at: Option<DateTimeUtc>,
        pub(super) source_network: Option<String>,
        pub(super) ignored_at: Option<DateTimeUtc>,
    }

    #[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl TryFrom<entity::Model> for Organization {
    type Error = Fault;

    fn try_from(row: entity::Model) -> Result<Self, Fault> {
        let entity::Model {
            id,
            name,
            instance_url,
            stripe_customer_id,
            stripe_subscription_id,
            deployment_type,
            plan_type,
            subscription_status,
            trial_end,
            admin_email,
            created_at,
            updated_at,
            billing_start_at,
            reported_name,
            reported_instance_url,
            observed_at,
            billing_problem,
            standing_version,
            current_period_start_at,
            current_period_end_at,
            cancel_at,
            subscription_version,
            draining,
            drained,
            billing_end_at,
            invoiced_until,
            collection_pause,
            collection_paused_at,
            collection_resumes_at,
            source_network,
            ignored_at,
        } = row;
        Ok(Self {
            id: OrganizationId(id),
            name: OrganizationName::stored(name),
            instance_url: instance_url.map(InstanceUrl::stored),
            stripe_customer_id: stripe_customer_id.map(StripeCustomerId),
            stripe_subscription_id: stripe_subscription_id.map(StripeSubscriptionId),
            deployment_type: deployment_of(deployment_type)?,
            plan_type: known("plan_type", plan_type, PlanType::from_word)?,
            subscription_status: SubscriptionStatus::from_word(&subscription_status)
                .ok_or_else(|| unknown_word("subscription_status", &subscription_status))?,
            trial_end,
            admin_email,
            created_at,
            updated_at,
            billing_start_at,
            reported_name: reported_name.map(OrganizationName::stored),
            reported_instance_url: reported_instance_url.map(InstanceUrl::stored),
            observed_at,
            billing_problem,
            standing_version,
            current_period_start_at,
            current_period_end_at,
            cancel_at,
            subscription_version,
            drain: drain_of(draining, drained),
            billing_end_at,
            invoiced_until,
            collection_pause: pause_of(
                collection_pause,
                collection_paused_at,
                collection_resumes_at,
            )?,
            source_network: source_network.map(SourceNetwork::stored),
            ignored_at,
        })
    }
}

fn drain_of(draining: bool, drained: bool) -> Drain {
    match (draining, drained) {
        (false, _) => Drain::None,
        (true, false) => Drain::Draining,
        (true, true) => Drain::Drained,
    }
}

/// What the word of a column means, where there is one.
fn known<T>(
    column: &str,
    word: Option<String>,
    read: fn(&str) -> Option<T>,
) -> Result<Option<T>, Fault> {
    let read = word.map(|word| read(&word).ok_or_else(|| unknown_word(column, &word)));
    read.transpose()
}

fn deployment_of(word: Option<String>) -> Result<Option<DeploymentType>, Fault> {
    known("deployment_type", word, DeploymentType::from_word)
}

/// A pause of collection from its three columns; the first two are set together.
pub(super) fn pause_of(
    behavior: Option<String>,
    since: Option<DateTime<Utc>>,
    resumes_at: Option<DateTime<Utc>>,
) -> Result<Option<CollectionPause>, Fault> {
    let pause = behavior.zip(since).map(|(word, since)| {
        let behavior = PauseBehavior::from_word(&word);
        Ok(CollectionPause {
            behavior: behavior.ok_or_else(|| unknown_word("collection_pause", &word))?,
            since,
            resumes_at,
        })
    });
    pause.transpose()
}

/// The organizations of these ids that are there, in no particular order.
pub(crate) async fn get_many(
    db: &impl ConnectionTrait,
    ids: &[OrganizationId],
) -> Result<Vec<Organization>, Fault> {
    entity::Entity::find()
        .filter(entity::Column::Id.into_expr().eq(PgFunc::any(uuids(ids))))
        .all(db)
        .await
        .map_err(db_fault)?
        .into_iter()
        .map(Organization::try_from)
        .collect()
}

/// One organization.
pub(crate) async fn get(
    db: &impl ConnectionTrait,
    id: OrganizationId,
) -> Result<Option<Organization>, Fault> {
    entity::Entity::find_by_id(id.0)
        .one(db)
        .await
        .map_err(db_fault)?
        .map(Organization::try_from)
        .transpose()
}

/// The same organizations as [`get_many`], locked to the end of the transaction in the order of
/// their ids. `NO KEY`: ingest-svc goes on recording reports that refer to them.
const LOCK: &str = r"
    SELECT id, name, instance_url, stripe_customer_id, stripe_subscription_id, deployment_type,
           plan_type, subscription_status, trial_end, admin_email, created_at, updated_at,
           billing_start_at, reported_name, reported_instance_url, observed_at, billing_problem,
           standing_version, current_period_start_at, current_period_end_at, cancel_at,
           subscription_version, draining, drained, billing_end_at, invoiced_until, collection_pause,
           collection_paused_at, collection_resumes_at, source_network, ignored_at
    FROM organizations WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";

pub(crate) async fn lock_many(
    db: &impl ConnectionTrait,
    ids: &[OrganizationId],
) -> Result<Vec<Organization>, Fault> {
    entity::Entity::find()
        .from_raw_sql(statement(LOCK, [uuids(ids).into()]))
        .all(db)
        .await
        .map_err(db_fault)?
        .into_iter()
        .map(Organization::try_from)
        .collect()
}

/// One organization, locked likewise.
pub(crate) async fn lock(
    db: &impl ConnectionTrait,
    id: OrganizationId,
) -> Result<Option<Organization>, Fault> {
    Ok(lock_many(db, &[id]).await?.pop())
}

/// Sorted, so that two batches that bring the same organizations wait for each other in one order.
const INSERT_PENDING: &str = r"
    INSERT INTO organizations (id, name, instance_url, observed_at, subscription_status, created_at, updated_at, source_network, search_form)
    SELECT id, name, instance_url, observed_at, 'pending', $5, $5, nullif(source_network, ''), search_form
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $6::text[], $7::text[])
        AS new (id, name, instance_url, observed_at, source_network, search_form)
    ORDER BY id
    ON CONFLICT (id) DO NOTHING
    RETURNING id";

/// Inserts organizations as pending; says which of them were not there already.
pub(crate) async fn insert_pending(
    db: &impl ConnectionTrait,
    observations: &[&Observation],
    now: DateTime<Utc>,
) -> Result<Vec<OrganizationId>, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
    }
    let column = |text: fn(&Observation) -> &str| -> Vec<String> {
        observations.iter().map(|o| text(o).to_owned()).collect()
    };
    let ids: Vec<Uuid> = observations.iter().map(|o| o.organization_id.0).collect();
    let forms: Vec<String> = observations
        .iter()
        .map(|o| search_forms::of(o.name.as_str(), o.instance_url.as_str(), ""))
        .collect();
    let times: Vec<DateTime<Utc>> = observations.iter().map(|o| o.observed_at).collect();
    let values = [
        ids.into(),
        column(|o| o.name.as_str()).into(),
        column(|o| o.instance_url.as_str()).into(),
        times.into(),
        now.into(),
        column(admission::source_of).into(),
        forms.into(),
    ];
    let rows = Row::find_by_statement(statement(INSERT_PENDING, values))
        .all(db)
        .await
        .map_err(db_fault)?;
    Ok(rows.into_iter().map(|row| OrganizationId(row.id)).collect())
}

/// An empty text stands for NULL: no name and no URL is empty.
const UPDATE_OBSERVED: &str = r"
    UPDATE organizations AS o
    SET name = seen.name,
        instance_url = nullif(seen.instance_url, ''),
        reported_name = nullif(seen.reported_name, ''),
        reported_instance_url = nullif(seen.reported_instance_url, ''),
        observed_at = seen.observed_at,
        updated_at = $7
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
        AS seen (id, name, instance_url, reported_name, reported_instance_url, observed_at)
    WHERE o.id = seen.id";

/// Writes what observations changed. The rows are locked already.
pub(crate) async fn update_observed(
    db: &impl ConnectionTrait,
    changed: &[Organization],
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let column = |text: fn(&Organization) -> Option<&str>| -> Vec<String> {
        changed
            .iter()
            .map(|o| text(o).unwrap_or_default().to_owned())
            .collect()
    };
    let ids: Vec<Uuid> = changed.iter().map(|o| o.id.0).collect();
    let times: Vec<DateTime<Utc>> = changed
        .iter()
        .map(|o| o.observed_at.unwrap_or(now))
        .collect();
    let values = [
        ids.into(),
        column(|o| Some(o.name.as_str())).into(),
        column(|o| o.instance_url.as_ref().map(InstanceUrl::as_str)).into(),
        column(|o| o.reported_name.as_ref().map(OrganizationName::as_str)).into(),
        column(|o| o.reported_instance_url.as_ref().map(InstanceUrl::as_str)).into(),
        times.into(),
        now.into(),
    ];
    db.execute_raw(statement(UPDATE_OBSERVED, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}

/// A person has just said what it is linked on, so whatever kept an adopted organization from being
/// billed is settled.
const UPDATE_LINKED: &str = r"
    UPDATE organizations
    SET stripe_customer_id = $2, stripe_subscription_id = $3, subscription_status = $4,
        trial_end = $5, billing_start_at = $6, admin_email = $7, deployment_type = $8,
        plan_type = $9, billing_problem = NULL, updated_at = $10, current_period_start_at = NULL,
        current_period_end_at = NULL, cancel_at = NULL, subscription_version = 0,
        billing_end_at = NULL, invoiced_until = NULL, collection_pause = NULL,
        collection_paused_at = NULL, collection_resumes_at = NULL, ignored_at = NULL
    WHERE id = $1";

/// Writes the link. The row is locked already.
pub(crate) async fn update_linked(
    db: &impl ConnectionTrait,
    id: OrganizationId,
    provisioned: &Provisioned,
    terms: &LinkTerms,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let values = [
        id.0.into(),
        provisioned.stripe_customer_id.0.clone().into(),
        provisioned.stripe_subscription_id.0.clone().into(),
        provisioned.subscription_status.as_str().into(),
        provisioned.trial_end.into(),
        provisioned.start_at.into(),
        terms.admin_email.as_str().into(),
        terms.deployment_type.as_str().into(),
        terms.plan_type.as_str().into(),
        now.into(),
    ];
    db.execute_raw(statement(UPDATE_LINKED, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}

/// Whether another organization than this one is linked to a customer.
pub(crate) async fn has_other(
    db: &impl ConnectionTrait,
    customer: &StripeCustomerId,
    id: OrganizationId,
) -> Result<bool, Fault> {
    use entity::Column;
    let count = entity::Entity::find()
        .filter(Column::StripeCustomerId.eq(customer.0.as_str()))
        .filter(Column::Id.ne(id.0))
        .count(db)
        .await
        .map_err(db_fault)?;
    Ok(count > 0)
}

const UPDATE_TERMS: &str = r"
    UPDATE organizations
    SET admin_email = $2, deployment_type = $3, plan_type = $4, updated_at = $5
    WHERE id = $1";

/// Writes what an organization is billed on. The row is locked already.
pub(crate) async fn update_terms(
    db: &impl ConnectionTrait,
    id: OrganizationId,
    terms: &SubscriptionTerms,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let SubscriptionTerms {
        admin_email,
        deployment_type,
        plan_type,
    } = terms;
    let values = [
        id.0.into(),
        admin_email.as_str().into(),
        deployment_type.as_str().into(),
        plan_type.as_str().into(),
        now.into(),
    ];
    db.execute_raw(statement(UPDATE_TERMS, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}

const UPDATE_DRAIN: &str =
    "UPDATE organizations SET draining = $2, drained = $3, updated_at = $4 WHERE id = $1";

/// Begins a drain, notes that it is done, or ends it. The row is locked already; the feed is for the
/// caller to tell.
pub(crate) async fn update_drain(
    db: &impl ConnectionTrait,
    id: OrganizationId,
    drain: Drain,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let is_drained = drain == Drain::Drained;
    let values = [
        id.0.into(),
        drain.is_under_way().into(),
        is_drained.into(),
        now.into(),
    ];
    db.execute_raw(statement(UPDATE_DRAIN, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}

const UPDATE_UNLINKED: &str = r"
    UPDATE organizations
    SET stripe_customer_id = NULL, stripe_subscription_id = NULL, subscription_status = 'pending',
        trial_end = NULL, billing_start_at = NULL, admin_email = NULL, deployment_type = NULL,
        plan_type = NULL, billing_problem = NULL, current_period_start_at = NULL,
        current_period_end_at = NULL, cancel_at = NULL, subscription_version = 0,
        billing_end_at = NULL, invoiced_until = NULL, updated_at = $2, collection_pause = NULL,
        collection_paused_at = NULL, collection_resumes_at = NULL
    WHERE id = $1";

/// Takes the link away. The row is locked already.
pub(crate) async fn update_unlinked(
    db: &impl ConnectionTrait,
    id: OrganizationId,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    db.execute_raw(statement(UPDATE_UNLINKED, [id.0.into(), now.into()]))
        .await
        .map_err(db_fault)?;
    Ok(())
}

const FOR_SUBSCRIPTIONS: &str = r"
    SELECT id FROM organizations WHERE stripe_subscription_id = ANY($1)
    UNION
    SELECT id FROM organizations WHERE id = ANY($2)";

/// The organizations that have one of these subscriptions, and those of these ids that are there.
pub(crate) async fn for_subscriptions(
    db: &impl ConnectionTrait,
    states: &[SubscriptionState],
) -> Result<Vec<OrganizationId>, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
    }
    let subscriptions: Vec<String> = states
        .iter()
        .map(|state| state.stripe_subscription_id.0.clone())
        .collect();
    let organizations: Vec<_> = states
        .iter()
        .filter_map(|state| state.organization_id)
        .collect();
    let values = [subscriptions.into(), uuids(&organizations).into()];
    let rows = Row::find_by_statement(statement(FOR_SUBSCRIPTIONS, values))
        .all(db)
        .await
        .map_err(db_fault)?;
    Ok(rows.into_iter().map(|row| OrganizationId(row.id)).collect())
}

const UPDATE_SUBSCRIPTION: &str = r"
    UPDATE organizations
    SET subscription_status = $2, trial_end = $3, current_period_start_at = $4,
        current_period_end_at = $5, cancel_at = $6, billing_problem = $7,
        subscription_version = $8, updated_at = $9, draining = $10, billing_end_at = $11,
        invoiced_until = $12, drained = $13, collection_pause = $14, collection_paused_at = $15,
        collection_resumes_at = $16
    WHERE id = $1";

/// Writes what a subscription's state changed. The row is locked already.
pub(crate) async fn update_subscription(
    db: &impl ConnectionTrait,
    organization: &Organization,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let pause = organization.collection_pause;
    let values = [
        organization.id.0.into(),
        organization.subscription_status.as_str().into(),
        organization.trial_end.into(),
        organization.current_period_start_at.into(),
        organization.current_period_end_at.into(),
        organization.cancel_at.into(),
        organization.billing_problem.clone().into(),
        organization.subscription_version.into(),
        now.into(),
        organization.drain.is_under_way().into(),
        organization.billing_end_at.into(),
        organization.invoiced_until.into(),
        (organization.drain == Drain::Drained).into(),
        pause.map(|pause| pause.behavior.as_str()).into(),
        pause.map(|pause| pause.since).into(),
        pause.and_then(|pause| pause.resumes_at).into(),
    ];
    db.execute_raw(statement(UPDATE_SUBSCRIPTION, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}

/// A plan for these texts and no others: a plan for any text would read the table in the list's order
/// even where nothing matches, instead of asking the index of texts.
const PLAN_EACH: &str = "SET LOCAL plan_cache_mode = force_custom_plan";

/// A page, and whether there is more behind it.
pub(crate) async fn list(
    db: &DatabaseConnection,
    list: &List,
    after: Option<&Position>,
    size: PageSize,
) -> Result<(Vec<Organization>, bool), Fault> {
    // One more than the page holds tells whether there is another.
    let limit = i64::from(size.get()) + 1;
    let select = entity::Entity::find().from_raw_sql(page_sql(list, after, limit));
    let mut rows = if list.filter.query.is_some() {
        let transaction = db.begin().await.map_err(db_fault)?;
        let planned = transaction.execute_unprepared(PLAN_EACH).await;
        planned.map_err(db_fault)?;
        let rows = select.all(&transaction).await.map_err(db_fault)?;
        transaction.commit().await.map_err(db_fault)?;
        rows
    } else {
        select.all(db).await.map_err(db_fault)?
    };
    let more = rows.len() > usize::from(size.get());
    rows.truncate(size.get().into());
    let organizations = rows.into_iter().map(Organization::try_from);
    Ok((organizations.collect::<Result<_, _>>()?, more))
}

/// Every row is counted: an index has no totals.
const COUNT: &str = r"
    SELECT subscription_status, stripe_customer_id IS NOT NULL AS is_linked,
        ignored_at IS NOT NULL AS is_ignored, count(*) AS count,
        (SELECT count(*) FROM organizations WHERE collection_pause IS NOT NULL) AS paused_count
    FROM organizations GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";

/// How many there are.
pub(crate) async fn count(db: &impl ConnectionTrait, now: DateTime<Utc>) -> Result<Counts, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        subscription_status: String,
        is_linked: bool,
        is_ignored: bool,
        count: i64,
        paused_count: i64,
    }
    let rows = Row::find_by_statement(statement(COUNT, []))
        .all(db)
        .await
        .map_err(db_fault)?;
    let mut counts = Counts {
        pending: 0,
        ignored: 0,
        linked: Vec::new(),
        collection_paused: 0,
        counted_at: now,
    };
    for row in rows {
        counts.collection_paused = row.paused_count;
        if row.is_linked {
            let status = SubscriptionStatus::from_word(&row.subscription_status)
                .ok_or_else(|| unknown_word("subscription_status", &row.subscription_status))?;
            counts.linked.push((status, row.count));
        } else if row.is_ignored {
            counts.ignored += row.count;
        } else {
            counts.pending += row.count;
        }
    }
    Ok(counts)
}

fn uuids(ids: &[OrganizationId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.0).collect()
}
