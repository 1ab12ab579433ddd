//! Groups of pending organizations; ignores some, and brings them back.

use billing_kit::{Fault, proto_time};
use billing_proto::org::v1::{
    IgnoreOrganizationsRequest, ListPendingGroupsRequest, RestoreOrganizationsRequest,
};

use super::{Admin, App, translate};
use crate::{
    domain::pending::{Chosen, PendingGroup},
    upstream::internal_fault,
};

impl App {
    /// The networks that brought several pending organizations, those with the most first.
    ///
    /// # Errors
    /// org-svc away.
    pub(crate) async fn list_pending_groups(
        &self,
        admin: &Admin,
    ) -> Result<Vec<PendingGroup>, Fault> {
        let request = admin.request(ListPendingGroupsRequest {});
        let mut organizations = self.upstream.organizations.clone();
        let listed = organizations.list_pending_groups(request).await;
        let groups = listed.map_err(internal_fault)?.into_inner().groups;
        groups.into_iter().map(translate::pending_group).collect()
    }

    /// Ignores pending organizations; answers how many were not ignored before.
    ///
    /// # Errors
    /// INVALID_ARGUMENT; ORGANIZATION_NOT_FOUND; LINK_CONFLICT when one is linked.
    pub(crate) async fn ignore_organizations(
        &self,
        admin: &Admin,
        chosen: Chosen,
    ) -> Result<i64, Fault> {
        let Chosen {
            organization_ids,
            source_network,
            until,
        } = chosen;
        let request = admin.request(IgnoreOrganizationsRequest {
            organization_ids,
            source_network,
            until_time: until.map(proto_time::to_proto),
        });
        let mut organizations = self.upstream.organizations.clone();
        let ignored = organizations.ignore_organizations(request).await;
        Ok(ignored.map_err(internal_fault)?.into_inner().ignored_count)
    }

    /// Brings ignored organizations back; answers how many.
    ///
    /// # Errors
    /// INVALID_ARGUMENT; ORGANIZATION_NOT_FOUND.
    pub(crate) async fn restore_organizations(
        &self,
        admin: &Admin,
        chosen: Chosen,
    ) -> Result<i64, Fault> {
        let Chosen {
            organization_ids,
            source_network,
            until: _,
        } = chosen;
        let request = admin.request(RestoreOrganizationsRequest {
            organization_ids,
            source_network,
        });
        let mut organizations = self.upstream.organizations.clone();
        let restored = organizations.restore_organizations(request).await;
        Ok(restored
            .map_err(internal_fault)?
            .into_inner()
            .restored_count)
    }
}
