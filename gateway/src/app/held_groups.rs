//! Held reports of many organizations with one cause: lists them, and decides on them in one step.

use std::collections::BTreeSet;

use billing_kit::{Fault, proto_time};
use billing_proto::ingest::v1::{
    self as ingest, DecideHeldGroupRequest, DecideHeldGroupResponse, ListHeldGroupsRequest,
};
use uuid::Uuid;

use super::{Admin, App, translate};
use crate::{
    domain::reporting::{GroupDecision, GroupProgress, HeldGroup, HoldDecision},
    upstream::internal_fault,
};

impl App {
    /// Lists the groups, those of the most organizations first.
    ///
    /// # Errors
    /// ingest-svc or org-svc could not be asked.
    pub(crate) async fn list_held_groups(&self, admin: &Admin) -> Result<Vec<HeldGroup>, Fault> {
        let request = admin.request(ListHeldGroupsRequest {});
        let mut held = self.upstream.held_reports.clone();
        let answer = held.list_held_groups(request).await;
        let groups = answer.map_err(internal_fault)?.into_inner().groups;
        let mut groups = groups
            .into_iter()
            .map(translate::held_group)
            .collect::<Result<Vec<_>, _>>()?;
        let ids: BTreeSet<_> = groups.iter().map(|it| it.example).collect();
        if ids.is_empty() {
            return Ok(groups);
        }
        let ids = ids.iter().map(Uuid::to_string).collect();
        let organizations = self.batch_get_organizations(admin, ids).await?;
        for group in &mut groups {
            let example = organizations.get(&group.example);
            group.example_name = example.map(|it| it.name.clone());
        }
        Ok(groups)
    }

    /// Decides on a group.
    ///
    /// # Errors
    /// ingest-svc could not be asked.
    pub(crate) async fn decide_held_group(
        &self,
        admin: &Admin,
        group: GroupDecision,
    ) -> Result<GroupProgress, Fault> {
        let GroupDecision {
            reason,
            cause,
            decision,
            received_until,
        } = group;
        let decision = match decision {
            HoldDecision::Release => ingest::HoldDecision::Release,
            HoldDecision::Discard => ingest::HoldDecision::Discard,
        };
        let request = admin.request(DecideHeldGroupRequest {
            reason: translate::hold_reason_to_wire(reason).into(),
            cause,
            decision: decision.into(),
            received_until_time: Some(proto_time::to_proto(received_until)),
        });
        let mut held = self.upstream.held_reports.clone();
        let answer = held.decide_held_group(request).await;
        let DecideHeldGroupResponse {
            report_count,
            finished,
        } = answer.map_err(internal_fault)?.into_inner();
        Ok(GroupProgress {
            report_count,
            is_finished: finished,
        })
    }
}
