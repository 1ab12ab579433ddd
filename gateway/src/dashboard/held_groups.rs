//! The groups on `/held`: held reports of several organizations with one cause, decided in one step.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use billing_kit::{Fault, Violation};
use chrono::{DateTime, SecondsFormat, Utc};
use http::HeaderMap;

use super::{form, held, page::PageError, ui::Ui};
use crate::{
    app::{Admin, App},
    domain::reporting::{GroupDecision, HeldGroup, HoldDecision, HoldReason},
    web::Web,
};

/// Where the form goes.
pub(super) const PATH: &str = "/held/groups";
/// Below that many organizations a group is shown among the reports alone.
const ORGANIZATIONS_MIN: i64 = 2;

/// A group of several organizations.
pub(super) struct Group {
    pub(super) reason: &'static str,
    pub(super) reason_word: &'static str,
    pub(super) cause: String,
    pub(super) organizations: String,
    pub(super) reports: String,
    pub(super) example: String,
    pub(super) until: String,
}

/// The groups of several organizations; none where they cannot be told now.
pub(super) async fn groups(app: &App, admin: &Admin, ui: &Ui) -> Vec<Group> {
    match app.list_held_groups(admin).await {
        Ok(groups) => groups
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
    let HeldGroup {
        reason,
        cause,
        report_count,
        organization_count,
        last_received_at,
        example,
        example_name,
    } = group;
    Group {
        reason: reason.word(),
        reason_word: held::reason_word(ui, reason),
        cause,
        organizations: ui.number(&organization_count),
        reports: ui.number(&report_count),
        example: example_name.unwrap_or_else(|| example.to_string()),
        until: last_received_at.to_rfc3339_opts(SecondsFormat::Micros, true),
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
    let reason = HoldReason::parse(word("reason"));
    let decision = HoldDecision::parse(word("decision"));
    let until = DateTime::parse_from_rfc3339(word("until")).map(|it| it.with_timezone(&Utc));
    let (Some(reason), Some(decision), Ok(received_until)) = (reason, decision, until) else {
        let problem = Violation::new("reason", "The form is incomplete.");
        return Err(Fault::invalid(vec![problem]).into());
    };
    let group = GroupDecision {
        reason,
        cause: word("cause").to_owned(),
        decision,
        received_until,
    };
    web.app().decide_held_group(&admin, group).await?;
    Ok(Redirect::to(held::PATH).into_response())
}
