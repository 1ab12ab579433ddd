//! `ignored_organizations`.

use billing_kit_db::query::{Scoped, is_any};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "ignored_organizations")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) organization_id: Uuid,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Which ignored organizations.
pub(crate) trait Scope: Scoped<Entity> {
    /// With one of these ids.
    fn among(self, ids: Vec<Uuid>) -> Self {
        self.filter(is_any(Column::OrganizationId, ids))
    }
}

impl<Q: Scoped<Entity>> Scope for Q {}
