//! `/api/admin/held-groups`: held reports of many organizations with one cause.

use axum::{body::Body, extract::State, response::Response};
use billing_kit::Fault;
use chrono::SecondsFormat;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{ApiError, json},
    openapi::{self, words},
};
use crate::{
    domain::{
        fields::{self, Fields},
        reporting::{GroupDecision, GroupProgress, HeldGroup, HoldDecision, HoldReason},
    },
    web::{Web, read_body},
};

/// The groups of held reports.
#[derive(Serialize, ToSchema)]
#[schema(as = HeldGroups)]
pub(super) struct ListAnswer {
    groups: Vec<HeldGroupJson>,
}

/// Held reports of one reason that show the same change.
#[derive(Serialize, ToSchema)]
#[schema(as = HeldGroup)]
struct HeldGroupJson {
    #[schema(schema_with = words::hold_reasons)]
    reason: &'static str,
    /// The change that they show, without what is the organization's own: of a URL for example
    /// `* to app.*`, of a count between which powers of two it multiplied.
    cause: String,
    report_count: i64,
    organization_count: i64,
    /// When the last of them was taken in.
    #[schema(format = DateTime)]
    last_received_at: String,
    example_organization_id: Uuid,
    example_organization_name: Option<String>,
}

impl From<HeldGroup> for HeldGroupJson {
    fn from(group: HeldGroup) -> Self {
        let HeldGroup {
            reason,
            cause,
            report_count,
            organization_count,
            last_received_at,
            example,
            example_name,
        } = group;
        Self {
            reason: reason.word(),
            cause,
            report_count,
            organization_count,
            // To the microsecond: it comes back as the end of what is decided.
            last_received_at: last_received_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            example_organization_id: example,
            example_organization_name: example_name,
        }
    }
}

/// Lists the held reports of all organizations by what they have in common, the groups of the most
/// organizations first, at most 100.
#[utoipa::path(
    get,
    path = "/api/admin/held-groups",
    operation_id = "listHeldGroups",
    tag = openapi::ADMINS,
    responses((status = 200, description = "The groups.", body = ListAnswer)),
)]
pub(super) async fn list(State(web): State<Web>, headers: HeaderMap) -> Result<Response, ApiError> {
    let admin = web.admin(&headers).await?;
    let groups = web.app().list_held_groups(&admin).await?;
    let groups = groups.into_iter().map(Into::into).collect();
    Ok(json(StatusCode::OK, &ListAnswer { groups }))
}

/// A decision on a group.
#[derive(ToSchema)]
#[schema(as = HeldGroupDecision)]
#[expect(
    dead_code,
    reason = "it describes the body, which is read field by field"
)]
pub(super) struct DecisionBody {
    #[schema(schema_with = words::hold_reasons)]
    reason: String,
    /// As it was listed.
    cause: String,
    /// `release` or `discard`.
    decision: String,
    /// Reports that were taken in later are not decided: `last_received_at` as it was listed.
    #[schema(format = DateTime)]
    received_until: String,
}

/// How far the decision is.
#[derive(Serialize, ToSchema)]
#[schema(as = HeldGroupProgress)]
pub(super) struct DecidedAnswer {
    success: bool,
    /// How many reports are decided so far.
    report_count: i64,
    /// Whether these are all. If not, the rest follows by itself.
    finished: bool,
}

/// Releases or discards the held reports of a group, of every organization.
///
/// Idempotent.
#[utoipa::path(
    post,
    path = "/api/admin/held-groups/decide",
    operation_id = "decideHeldGroup",
    tag = openapi::ADMINS,
    request_body(content = DecisionBody, example = json!({
        "reason": "other_url", "cause": "* to app.*", "decision": "release",
        "received_until": "2024-11-03T03:00:00.123456Z",
    })),
    responses((status = 200, description = "They are decided.", body = DecidedAnswer)),
)]
pub(super) async fn decide(
    State(web): State<Web>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let admin = web.admin_for_change(&headers).await?;
    let group = decision(&read_body(body).await?)?;
    let GroupProgress {
        report_count,
        is_finished,
    } = web.app().decide_held_group(&admin, group).await?;
    let answer = DecidedAnswer {
        success: true,
        report_count,
        finished: is_finished,
    };
    Ok(json(StatusCode::OK, &answer))
}

fn decision(body: &[u8]) -> Result<GroupDecision, Fault> {
    let body = fields::object(body)?;
    let mut fields = Fields::of(&body);
    let reason = fields.word(
        "reason",
        HoldReason::parse,
        &HoldReason::ALL.map(HoldReason::word).join(", "),
    );
    let cause = fields.text("cause").map(str::to_owned);
    let decision = fields.word(
        "decision",
        HoldDecision::parse,
        &HoldDecision::ALL.map(HoldDecision::word).join(", "),
    );
    let until = fields.time("received_until");
    let violations = fields.finish();
    match (reason, cause, decision, until) {
        (Some(reason), Some(cause), Some(decision), Some(received_until)) => Ok(GroupDecision {
            reason,
            cause,
            decision,
            received_until,
        }),
        _ => Err(Fault::invalid(violations)),
    }
}
