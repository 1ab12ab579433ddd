//! Unlinks an organization whose subscription has ended.

use std::time::Duration;

use billing_kit::Fault;
use billing_proto::{
    admin::v1::Organization,
    common::v1::ErrorReason,
    ingest::v1::{GetDeliveryRequest, GetDeliveryResponse},
    org::v1::{UnlinkOrganizationRequest, UnlinkOrganizationResponse},
};
use uuid::Uuid;

use super::{Admin, App, translate};
use crate::{domain::organization::can_be_unlinked, upstream::internal_fault};

/// How often it is looked whether everything is delivered, and how long after each look: an admin waits
/// for two seconds at most.
const DELIVERY_LOOKS: usize = 10;
const DELIVERY_PAUSE: Duration = Duration::from_millis(200);

impl App {
    /// Unlinks an organization, or finds it unlinked. Whether the reason will do is org-svc's to say,
    /// and whether what ingest-svc answers is of its end.
    ///
    /// # Errors
    /// ORGANIZATION_NOT_FOUND; LINK_CONFLICT while its subscription goes on or its reports are still to
    /// be delivered, and when it was never linked.
    pub(crate) async fn unlink_organization(
        &self,
        admin: &Admin,
        id: Uuid,
        reason: String,
    ) -> Result<Organization, Fault> {
        for _ in 0..DELIVERY_LOOKS {
            let fault = match self.unlink_once(admin, id, reason.clone()).await {
                Err(fault) if fault.reason == ErrorReason::LinkConflict => fault,
                done => return done,
            };
            // ingest-svc hears of an end within moments, and delivers what is left at once.
            let organization = self.get_organization(admin, id).await?;
            if !can_be_unlinked(&organization) {
                return Err(fault);
            }
            tokio::time::sleep(DELIVERY_PAUSE).await;
        }
        self.unlink_once(admin, id, reason).await
    }

    async fn unlink_once(
        &self,
        admin: &Admin,
        id: Uuid,
        reason: String,
    ) -> Result<Organization, Fault> {
        let request = admin.request(UnlinkOrganizationRequest {
            organization_id: id.to_string(),
            reason,
            delivered_standing_version: self.delivered_version(admin, id).await?,
        });
        let UnlinkOrganizationResponse { organization } = self
            .upstream
            .linking
            .clone()
            .unlink_organization(request)
            .await
            .map_err(internal_fault)?
            .into_inner();
        Ok(translate::organization(organization.unwrap_or_default()))
    }

    /// The standing under which none of its reports is left to deliver, if none is.
    async fn delivered_version(&self, admin: &Admin, id: Uuid) -> Result<Option<i64>, Fault> {
        let request = admin.request(GetDeliveryRequest {
            organization_id: id.to_string(),
        });
        let GetDeliveryResponse {
            open_report_count,
            standing_version,
        } = self
            .upstream
            .reports
            .clone()
            .get_delivery(request)
            .await
            .map_err(internal_fault)?
            .into_inner();
        Ok((open_report_count == 0).then_some(standing_version))
    }
}
