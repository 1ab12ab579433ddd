//! The tables of ingest-svc as entities: each states its mapping once, and the scopes that its queries
//! chain. They never leave the store.

pub(super) mod audit_events;
pub(super) mod conflicts;
pub(super) mod feed_cursors;
pub(super) mod findings;
pub(super) mod hold_group_decisions;
pub(super) mod ignored_organizations;
pub(super) mod last_refusals;
pub(super) mod notices;
pub(super) mod reconciliation_pass;
pub(super) mod reporting;
pub(super) mod reports;
pub(super) mod spool;
pub(super) mod usage_days;
pub(super) mod usage_total;

#[cfg(test)]
mod tests {
    use sea_orm::{DatabaseConnection, EntityTrait, QuerySelect};

    use crate::store::tests::database;

    async fn can_be_read<E: EntityTrait>(db: &DatabaseConnection) {
        E::find().limit(1).all(db).await.unwrap();
    }

    /// Each has the columns of its table, and the service may read them.
    #[tokio::test]
    async fn every_entity_is_a_table_of_a_freshly_migrated_database() {
        let (_database, db) = database().await;
        can_be_read::<super::audit_events::Entity>(&db).await;
        can_be_read::<super::conflicts::Entity>(&db).await;
        can_be_read::<super::feed_cursors::Entity>(&db).await;
        can_be_read::<super::findings::Entity>(&db).await;
        can_be_read::<super::hold_group_decisions::Entity>(&db).await;
        can_be_read::<super::ignored_organizations::Entity>(&db).await;
        can_be_read::<super::last_refusals::Entity>(&db).await;
        can_be_read::<super::notices::Entity>(&db).await;
        can_be_read::<super::reconciliation_pass::Entity>(&db).await;
        can_be_read::<super::reporting::Entity>(&db).await;
        can_be_read::<super::reports::Entity>(&db).await;
        can_be_read::<super::spool::Entity>(&db).await;
        can_be_read::<super::usage_days::Entity>(&db).await;
        can_be_read::<super::usage_total::Entity>(&db).await;
    }
}
