//! Lists what held reports of many organizations have in common.

use billing_kit::Fault;
use billing_proto::common::v1::{ListHeldGroupsRequest, ListHeldGroupsResponse};

use super::{Admin, App};
use crate::upstream::internal_fault;

impl App {
    /// Lists the groups, those of the most organizations first, each with the name of one of them.
    ///
    /// # Errors
    /// ingest-svc or org-svc could not be asked.
    pub(crate) async fn list_held_groups(
        &self,
        admin: &Admin,
        request: ListHeldGroupsRequest,
    ) -> Result<ListHeldGroupsResponse, Fault> {
        let mut held = self.upstream.held_reports.clone();
        let listed = held.list_held_groups(admin.request(request)).await;
        let mut listed = listed.map_err(internal_fault)?.into_inner();
        let ids = listed
            .groups
            .iter()
            .map(|it| it.example_organization_id.clone());
        let names = self.organization_names(admin, ids).await?;
        for group in &mut listed.groups {
            let name = names.get(&group.example_organization_id);
            group.example_organization_name = name.cloned().unwrap_or_default();
        }
        Ok(listed)
    }
}
