//! Lists the organizations that are silent, or late, or on time: ingest-svc knows which they are, and
//! org-svc what they are.

use billing_kit::Fault;
use billing_proto::{
    common::v1::{LinkFilter, ReportingState},
    ingest::v1::{ListReportingRequest, ListReportingResponse},
};

use super::{Admin, App, ListPage, PageRequest};
use crate::upstream::internal_fault;

impl App {
    /// A page of the organizations in a state, those first that have been silent longest. The pages
    /// are ingest-svc's; of each those are left that the filter picks.
    pub(super) async fn list_by_reporting(
        &self,
        admin: &Admin,
        state: ReportingState,
        request: PageRequest,
    ) -> Result<ListPage, Fault> {
        let PageRequest {
            filter,
            link_filter,
            // Those that have been silent longest come first, in any order that is asked for.
            order: _,
            page_size,
            page_token,
            except_networks: _,
        } = request;
        match link_filter {
            // Nobody waits for a report of theirs.
            LinkFilter::Pending | LinkFilter::Ignored => {
                return Ok(ListPage {
                    organizations: Vec::new(),
                    next_page_token: None,
                });
            }
            LinkFilter::Unspecified | LinkFilter::Linked => {}
        }
        let request = admin.request(ListReportingRequest {
            reporting_state: state.into(),
            page_size,
            page_token,
        });
        let answer = self
            .upstream
            .reporting
            .clone()
            .list_reporting(request)
            .await;
        let ListReportingResponse {
            reporting,
            next_page_token,
        } = answer.map_err(internal_fault)?.into_inner();
        let ids: Vec<_> = reporting.into_iter().map(|it| it.organization_id).collect();
        let mut known = self.batch_get_organizations(admin, ids.clone()).await?;
        let organizations = ids
            .iter()
            .filter_map(|id| known.remove(id))
            .filter(|organization| filter.picks(organization))
            .collect();
        Ok(ListPage {
            organizations,
            next_page_token: (!next_page_token.is_empty()).then_some(next_page_token),
        })
    }
}
