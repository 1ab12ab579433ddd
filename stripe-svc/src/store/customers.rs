//! `stripe_customers`: the customer of each organization, whichever operation made it.

use billing_kit_db::StoreError;
use chrono::{DateTime, Utc};
use sea_orm::{
    ConnectionTrait, FromQueryResult, Set, entity::prelude::*, raw_sql, sea_query::OnConflict,
};

use crate::{
    domain::ids::{CustomerId, OrganizationId},
    store::entities::customers::{ActiveModel, Column, Entity, Model},
};

/// The customer of an organization, if it has one.
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    organization: OrganizationId,
) -> Result<Option<CustomerId>, StoreError> {
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
) -> Result<(), StoreError> {
    let row = ActiveModel {
        organization_id: Set(organization.0),
        stripe_customer_id: Set(customer.as_str().to_owned()),
        created_at: Set(now),
    };
    let is_another = Column::StripeCustomerId.ne(customer.as_str());
    let replace = OnConflict::column(Column::OrganizationId)
        .update_columns([Column::StripeCustomerId, Column::CreatedAt])
        .action_and_where(is_another)
        .to_owned();
    let insert = Entity::insert(row).on_conflict(replace);
    insert.exec_without_returning(db).await?;
    Ok(())
}

/// Keeps others from adopting this customer until the end of the transaction.
pub(crate) async fn lock(
    db: &impl ConnectionTrait,
    customer: &CustomerId,
) -> Result<(), StoreError> {
    let customer = customer.as_str();
    let lock = raw_sql!(
        Postgres,
        "SELECT pg_advisory_xact_lock(hashtext('stripe_customers'), hashtext({customer}))"
    );
    db.execute_raw(lock).await?;
    Ok(())
}

/// Whether a customer is another organization's, or becomes it by a call that has not ended.
///
/// One statement: a call that ends while it runs is seen before its end or after it, and either way
/// the customer is taken.
pub(crate) async fn is_of_another(
    db: &impl ConnectionTrait,
    customer: &CustomerId,
    organization: OrganizationId,
) -> Result<bool, StoreError> {
    #[derive(FromQueryResult)]
    struct Taken {
        is_taken: bool,
    }
    let (customer, organization) = (customer.as_str(), organization.0);
    let is_taken = raw_sql!(
        Postgres,
        "SELECT EXISTS (SELECT FROM stripe_customers
                       WHERE stripe_customer_id = {customer} AND organization_id <> {organization})
            OR EXISTS (SELECT FROM stripe_calls
                       WHERE step = 'adopt_customer' AND state = 'open'
                         AND params->>'path' = '/customers/' || {customer}
                         AND organization_id <> {organization})
            AS is_taken"
    );
    let taken = Taken::find_by_statement(is_taken).one(db).await?;
    Ok(taken.is_some_and(|taken| taken.is_taken))
}
