//! `stripe_customers`: the customer of each organization, whichever operation made it.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, entity::prelude::*};

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
