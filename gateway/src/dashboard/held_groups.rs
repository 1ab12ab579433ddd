//! The groups on `/held`: held reports of several organizations with one cause, decided in one step.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use billing_kit::{Fault, Violation, proto_time};
use billing_proto::common::v1::{
    DecideHeldGroupRequest, HeldGroup, HoldDecision, ListHeldGroupsRequest,
};
use chrono::{DateTime, Utc};
use http::HeaderMap;

use super::{form, held, page::PageError, ui::Ui};
use crate::{
    app::Admin,
    domain::{
        reporting::{hold_reason_word, parse_hold_reason},
        time_text,
        words::filled,
    },
    grpc::answered,
    web::Web,
};

/// Where the form goes.
pub(super) const PATH: &str = "/held/groups";
/// Below that many organizations a group is shown among the reports alone.
const ORGANIZATIONS_MIN: i64 = 2;

/// A group of several organizations.
pub(super) struct Group {
    pub(super) reason: String,
    pub(super) reason_word: &'static str,
    pub(super) cause: String,
    pub(super) organizations: String,
    pub(super) reports: String,
    pub(super) example: String,
    pub(super) until: String,
}

/// The groups of several organizations; none where they cannot be told now.
pub(super) async fn groups(web: &Web, admin: &Admin, ui: &Ui) -> Vec<Group> {
    let request = admin.asks(ListHeldGroupsRequest {});
    match answered(web.admin_client().list_held_groups(request).await) {
        Ok(listed) => listed
            .groups
            .into_iter()
            .filter(|group| group.organization_count >= ORGANIZATIONS_MIN)
            .map(|it| group(ui, it))
            .collect(),
        Err(fault) => {
            Fault::log(&fault);
            Vec::new()
        }
    }
}

pub(super) fn group(ui: &Ui, group: HeldGroup) -> Group {
    let reason = group.reason();
    let HeldGroup {
        reason: _,
        cause,
        report_count,
        organization_count,
        last_receive_time,
        example_organization_id,
        example_organization_name,
    } = group;
    let until = time_text::known(last_receive_time).map(time_text::exact);
    Group {
        reason: hold_reason_word(reason),
        reason_word: held::reason_word(ui, reason),
        cause,
        organizations: ui.number(&organization_count),
        reports: ui.number(&report_count),
        example: filled(example_organization_name).unwrap_or(example_organization_id),
        until: until.unwrap_or_default(),
    }
}

/// Decides on the group that was shown.
pub(super) async fn decide(
    State(web): State<Web>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    let admin = web.admin_for_change(&headers).await?;
    let form = form::read(&web, &headers, body).await?;
    let word = |name| form.get(name).unwrap_or_default();
    let reason = parse_hold_reason(word("reason"));
    let decision = match word("decision") {
        "release" => Some(HoldDecision::Release),
        "discard" => Some(HoldDecision::Discard),
        _ => None,
    };
    let until = DateTime::parse_from_rfc3339(word("until")).map(|it| it.with_timezone(&Utc));
    let (Some(reason), Some(decision), Ok(received_until)) = (reason, decision, until) else {
        let problem = Violation::new("reason", "The form is incomplete.");
        return Err(Fault::invalid(vec![problem]).into());
    };
    let request = DecideHeldGroupRequest {
        reason: reason.into(),
        cause: word("cause").to_owned(),
        decision: decision.into(),
        received_until_time: Some(proto_time::to_proto(received_until)),
    };
    answered(
        web.admin_client()
            .decide_held_group(admin.asks(request))
            .await,
    )?;
    Ok(Redirect::to(held::PATH).into_response())
}
