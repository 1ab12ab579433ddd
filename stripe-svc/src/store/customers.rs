//! `stripe_customers`: the customer of each organization, whichever operation made it.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, entity::prelude::*};

use crate::{
    domain::ids::{CustomerId, OrganizationId},
    store::sql,
};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "stripe_customers")]
struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    organization_id: Uuid,
    stripe_customer_id: String,
    created_at: DateTime<Utc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The customer of an organization, if it has one.
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    organization: OrganizationId,
) -> Result<Option<CustomerId>, DbErr> {
    let row = Entity::find_by_id(organization.0).one(db).await?;
    Ok(row.map(|row| {
        let Model {
            organization_id: _,
            stripe_customer_id,
            created_at: _,
        } = row;
        CustomerId::new(stripe_customer_id)
    }))
}

/// Makes this the customer of an organization.
pub(crate) async fn put(
    db: &impl ConnectionTrait,
    organization: OrganizationId,
    customer: &CustomerId,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    const PUT: &str = "
        INSERT INTO stripe_customers AS c (organization_id, stripe_customer_id, created_at)
        VALUES ($1, $2, $3)
        ON CONFLICT (organization_id) DO UPDATE
            SET stripe_customer_id = excluded.stripe_customer_id, created_at = excluded.created_at
            WHERE c.stripe_customer_id <> excluded.stripe_customer_id";
    let values = [organization.0.into(), customer.as_str().into(), now.into()];
    db.execute_raw(sql(PUT, values)).await.map(drop)
}

/// Keeps others from adopting this customer until the end of the transaction.
pub(crate) async fn lock(db: &impl ConnectionTrait, customer: &CustomerId) -> Result<(), DbErr> {
    const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('stripe_customers'), hashtext($1))";
    db.execute_raw(sql(LOCK, [customer.as_str().into()]))
        .await
        .map(drop)
}

/// Whether a customer is another organization's, or becomes it by a call that has not ended.
///
/// One statement: a call that ends while it runs is seen before its end or after it, and either way
/// the customer is taken.
pub(crate) async fn is_of_another(
    db: &impl ConnectionTrait,
    customer: &CustomerId,
    organization: OrganizationId,
) -> Result<bool, DbErr> {
    #[derive(FromQueryResult)]
    struct Taken {
        is_taken: bool,
    }
    const IS_TAKEN: &str = "
        SELECT EXISTS (SELECT FROM stripe_customers
                       WHERE stripe_customer_id = $1 AND organization_id <> $2)
            OR EXISTS (SELECT FROM stripe_calls
                       WHERE step = 'adopt_customer' AND state = 'open'
                         AND params->>'path' = '/customers/' || $1 AND organization_id <> $2)
            AS is_taken";
    let values = [customer.as_str().into(), organization.0.into()];
    let taken = Taken::find_by_statement(sql(IS_TAKEN, values))
        .one(db)
        .await?;
    Ok(taken.is_some_and(|taken| taken.is_taken))
}
