//! Lists organizations, with what is known of their reporting.

use std::collections::HashMap;

use billing_kit::Fault;
use billing_proto::{
    admin::v1::Organization,
    common::v1::{ErrorReason, LinkFilter, OrganizationOrder as OrderMessage},
    ingest::v1::{BatchGetReportingRequest, BatchGetReportingResponse, Reporting},
    org::v1::{CountOrganizationsRequest, ListOrganizationsRequest, ListOrganizationsResponse},
};
use futures::TryFutureExt;

use super::{Admin, App, translate};
use crate::{
    domain::{
        organization::Summary,
        organization_filter::{OrganizationFilter, OrganizationOrder},
    },
    upstream::{internal_fault, rename_field},
};

/// How many organizations are asked about in one request, as ingest-svc's contract says.
const REPORTING_BATCH_MAX: usize = 1_000;

/// One page of one list.
#[derive(Debug, Clone)]
pub(crate) struct PageRequest {
    /// Which are picked.
    pub filter: OrganizationFilter,
    /// By whether they are linked.
    pub link_filter: LinkFilter,
    /// In which order.
    pub order: OrganizationOrder,
    /// At most this many.
    pub page_size: i32,
    /// Where to go on; empty for the first page.
    pub page_token: String,
    /// The networks whose organizations are left out, because they are shown as groups.
    pub except_networks: Vec<String>,
}

/// A page of organizations.
#[derive(Debug, Clone)]
pub(crate) struct ListPage {
    /// The organizations.
    pub organizations: Vec<Organization>,
    /// Where the next page begins; `None` after the last.
    pub next_page_token: Option<String>,
}

/// Both lists, each at its own page.
#[derive(Debug, Clone)]
pub(crate) struct OverviewRequest {
    /// Which are picked.
    pub filter: OrganizationFilter,
    /// In which order, both lists.
    pub order: OrganizationOrder,
    /// At most this many in each list.
    pub page_size: i32,
    /// Where the list of pending ones goes on; empty for the first page.
    pub pending_cursor: String,
    /// Where the list of linked ones goes on; empty for the first page.
    pub linked_cursor: String,
    /// Whether the ignored ones stand in the place of the pending ones.
    pub ignored: bool,
    /// The networks whose pending organizations are left out, because they are shown as groups.
    pub except_networks: Vec<String>,
}

/// Both lists and the counts.
#[derive(Debug, Clone)]
pub(crate) struct Overview {
    /// How many there are in all, whatever the filter.
    pub summary: Summary,
    /// Those without a Stripe customer.
    pub pending: ListPage,
    /// Those with one.
    pub linked: ListPage,
    /// Whether ingest-svc could be asked about their reporting.
    pub reporting_available: bool,
}

impl App {
    /// Both lists, fetched at the same time, and the counts.
    ///
    /// # Errors
    /// A cursor that is none (named as `pending_cursor` or `linked_cursor`), or org-svc away.
    pub(crate) async fn list_overview(
        &self,
        admin: &Admin,
        request: OverviewRequest,
    ) -> Result<Overview, Fault> {
        let OverviewRequest {
            filter,
            order,
            page_size,
            pending_cursor,
            linked_cursor,
            ignored,
            except_networks,
        } = request;
        let list = |link_filter, page_token| PageRequest {
            filter: filter.clone(),
            link_filter,
            order,
            page_size,
            page_token,
            except_networks: Vec::new(),
        };
        let unlinked = if ignored {
            LinkFilter::Ignored
        } else {
            LinkFilter::Pending
        };
        let pending = PageRequest {
            except_networks,
            ..list(unlinked, pending_cursor)
        };
        let linked = list(LinkFilter::Linked, linked_cursor);
        let (mut pending, mut linked, summary) = tokio::try_join!(
            self.list_page(admin, pending).map_err(|fault| rename_field(
                fault,
                "page_token",
                "pending_cursor"
            )),
            self.list_page(admin, linked).map_err(|fault| rename_field(
                fault,
                "page_token",
                "linked_cursor"
            )),
            self.count_organizations(admin),
        )?;
        // One question for both lists.
        let count_pending = pending.organizations.len();
        let mut all = pending.organizations;
        all.append(&mut linked.organizations);
        let reporting_available = self.add_reporting(admin, &mut all).await?;
        linked.organizations = all.split_off(count_pending);
        pending.organizations = all;
        Ok(Overview {
            summary,
            pending,
            linked,
            reporting_available,
        })
    }

    /// One page of one list, and the counts.
    ///
    /// # Errors
    /// A page token that is none, or org-svc away.
    pub(crate) async fn list_organizations(
        &self,
        admin: &Admin,
        request: PageRequest,
    ) -> Result<(ListPage, Summary), Fault> {
        let ((page, _), summary) = tokio::try_join!(
            self.list_reporting(admin, request),
            self.count_organizations(admin)
        )?;
        Ok((page, summary))
    }

    /// One page of one list, and whether ingest-svc could be asked about their reporting.
    ///
    /// # Errors
    /// A page token that is none, or org-svc away.
    pub(crate) async fn list_reporting(
        &self,
        admin: &Admin,
        request: PageRequest,
    ) -> Result<(ListPage, bool), Fault> {
        let mut page = self.list_page(admin, request).await?;
        let reporting_available = self.add_reporting(admin, &mut page.organizations).await?;
        Ok((page, reporting_available))
    }

    async fn list_page(&self, admin: &Admin, request: PageRequest) -> Result<ListPage, Fault> {
        if let Some(state) = request.filter.reporting_state {
            return self.list_by_reporting(admin, state, request).await;
        }
        let PageRequest {
            filter,
            link_filter,
            order,
            page_size,
            page_token,
            except_networks,
        } = request;
        let OrganizationFilter {
            query,
            statuses,
            plans,
            deployments,
            reporting_state: _,
            collection_paused,
            source_network,
        } = filter;
        let request = admin.request(ListOrganizationsRequest {
            query,
            link_filter: link_filter.into(),
            statuses: statuses.into_iter().map(Into::into).collect(),
            page_size,
            page_token,
            plan_types: plans.into_iter().map(Into::into).collect(),
            deployment_types: deployments.into_iter().map(Into::into).collect(),
            order_by: order_message(order).into(),
            collection_paused,
            source_network,
            except_source_networks: except_networks,
        });
        let ListOrganizationsResponse {
            organizations,
            next_page_token,
        } = self
            .upstream
            .organizations
            .clone()
            .list_organizations(request)
            .await
            .map_err(internal_fault)?
            .into_inner();
        let organizations = organizations.into_iter().map(translate::organization);
        let organizations = organizations.collect();
        Ok(ListPage {
            organizations,
            next_page_token: (!next_page_token.is_empty()).then_some(next_page_token),
        })
    }

    /// How many there are.
    ///
    /// # Errors
    /// org-svc away.
    pub(crate) async fn count_organizations(&self, admin: &Admin) -> Result<Summary, Fault> {
        let request = admin.request(CountOrganizationsRequest {});
        let counts = self
            .upstream
            .organizations
            .clone()
            .count_organizations(request)
            .await
            .map_err(internal_fault)?
            .into_inner();
        translate::summary(counts)
    }

    /// Adds what is known of their reporting. Says whether ingest-svc could be asked: that it is
    /// away is no reason to show an admin nothing at all.
    pub(super) async fn add_reporting(
        &self,
        admin: &Admin,
        organizations: &mut [Organization],
    ) -> Result<bool, Fault> {
        for batch in organizations.chunks_mut(REPORTING_BATCH_MAX) {
            let ids = batch.iter().map(|o| o.id.clone()).collect();
            let mut known = match self.batch_get_reporting(admin, ids).await {
                Ok(known) => known,
                Err(fault) if is_away(&fault) => {
                    fault.log();
                    return Ok(false);
                }
                Err(fault) => return Err(fault),
            };
            for organization in batch {
                if let Some(known) = known.remove(&organization.id) {
                    translate::add_reporting(organization, known);
                }
            }
        }
        Ok(true)
    }

    async fn batch_get_reporting(
        &self,
        admin: &Admin,
        organization_ids: Vec<String>,
    ) -> Result<HashMap<String, Reporting>, Fault> {
        let request = admin.request(BatchGetReportingRequest { organization_ids });
        let BatchGetReportingResponse { reporting } = self
            .upstream
            .reports
            .clone()
            .batch_get_reporting(request)
            .await
            .map_err(internal_fault)?
            .into_inner();
        let by_id = reporting.into_iter();
        Ok(by_id.map(|it| (it.organization_id.clone(), it)).collect())
    }
}

fn order_message(order: OrganizationOrder) -> OrderMessage {
    match order {
        OrganizationOrder::NewestFirst => OrderMessage::Unspecified,
        OrganizationOrder::OldestFirst => OrderMessage::OldestFirst,
        OrganizationOrder::Name => OrderMessage::Name,
        OrganizationOrder::NameDescending => OrderMessage::NameDescending,
        OrganizationOrder::Status => OrderMessage::Status,
    }
}

/// Whether a service could not be asked now.
pub(crate) fn is_away(fault: &Fault) -> bool {
    match fault.reason {
        ErrorReason::Unavailable | ErrorReason::DeadlineExceeded | ErrorReason::RateLimited => true,
        ErrorReason::Unspecified
        | ErrorReason::InvalidArgument
        | ErrorReason::MalformedBody
        | ErrorReason::UnsupportedEncoding
        | ErrorReason::BodyTooLarge
        | ErrorReason::Unauthenticated
        | ErrorReason::PermissionDenied
        | ErrorReason::CallerNotAdmitted
        | ErrorReason::UserBanned
        | ErrorReason::SecondFactorNeeded
        | ErrorReason::OriginNotTrusted
        | ErrorReason::OrganizationNotFound
        | ErrorReason::NotFound
        | ErrorReason::ReportConflict
        | ErrorReason::ReportNotReplaceable
        | ErrorReason::ReportNotRetryable
        | ErrorReason::LinkConflict
        | ErrorReason::ApiKeyReadOnly
        | ErrorReason::SessionRequired
        | ErrorReason::ApiKeyNotFound
        | ErrorReason::ReportNotFound
        | ErrorReason::StripeRefused
        | ErrorReason::PriceNotFound
        | ErrorReason::ReportSignatureInvalid
        | ErrorReason::SignatureInvalid
        | ErrorReason::Internal => false,
    }
}
