//! Pending organizations that are decided upon together: their groups, and which are ignored.

use axum::{body::Body, extract::State, response::Response};
use billing_kit::Fault;
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{ApiError, json},
    openapi,
};
use crate::{
    domain::{
        fields::{self, Fields},
        pending::{Chosen, PendingGroup},
        time_text,
    },
    upstream::rename_field,
    web::{Web, read_body},
};

/// The pending organizations whose first report came from one network.
#[derive(Serialize, ToSchema)]
#[schema(as = PendingGroup)]
struct GroupJson {
    source_network: String,
    /// How many there are; ignored ones are not counted.
    organization_count: i64,
    #[schema(format = DateTime)]
    first_created_at: String,
    #[schema(format = DateTime)]
    last_created_at: String,
}

impl From<PendingGroup> for GroupJson {
    fn from(group: PendingGroup) -> Self {
        let PendingGroup {
            source_network,
            organization_count,
            first_created_at,
            last_created_at,
        } = group;
        Self {
            source_network,
            organization_count,
            first_created_at: time_text::short(first_created_at),
            last_created_at: time_text::exact(last_created_at),
        }
    }
}

/// The networks with at least 10 pending organizations, those with the most first.
#[derive(Serialize, ToSchema)]
#[schema(as = PendingGroups)]
pub(super) struct GroupsAnswer {
    groups: Vec<GroupJson>,
}

/// Lists the networks from which at least 10 pending organizations came.
#[utoipa::path(
    get,
    path = "/api/admin/pending-groups",
    operation_id = "listPendingGroups",
    tag = openapi::ADMINS,
    responses((status = 200, description = "The groups, at most 100.", body = GroupsAnswer)),
)]
pub(super) async fn groups(
    State(web): State<Web>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin(&headers).await?;
    let groups = web.app().list_pending_groups(&admin).await?;
    let answer = GroupsAnswer {
        groups: groups.into_iter().map(Into::into).collect(),
    };
    Ok(json(StatusCode::OK, &answer))
}

/// Which organizations: named ones, or those of a network.
#[derive(ToSchema)]
#[schema(as = OrganizationSelection)]
#[expect(
    dead_code,
    reason = "it describes the body, which is read field by field"
)]
pub(super) struct ChosenBody {
    /// The organizations' ids, at most 500.
    organization_ids: Option<Vec<Uuid>>,
    /// All whose first report came from this network, at most 20,000 at once.
    source_network: Option<String>,
    /// With a network, only those that came until this moment: `last_created_at` of the group that was
    /// looked at. Nothing else is ignored by it.
    #[schema(format = DateTime)]
    until: Option<String>,
}

/// How many organizations changed.
#[derive(Serialize, ToSchema)]
#[schema(as = ChangedOrganizations)]
pub(super) struct ChangedAnswer {
    success: bool,
    message: &'static str,
    /// Those that were as asked for before are not counted.
    organization_count: i64,
}

/// Ignores pending organizations: they leave all lists and totals, and what they report is recorded as
/// before.
///
/// All or none of those that are named. Idempotent. A link ends it.
#[utoipa::path(
    post,
    path = "/api/admin/organizations/ignore",
    operation_id = "ignoreOrganizations",
    tag = openapi::ADMINS,
    request_body(content = ChosenBody, example = json!({"source_network": "203.0.113.0/24"})),
    responses(
        (status = 200, description = "They are ignored.", body = ChangedAnswer),
        (status = 404, description = "One of them is unknown.", body = openapi::ErrorAnswer),
        (status = 409, description = "One of them is linked.", body = openapi::ErrorAnswer),
    ),
)]
pub(super) async fn ignore(
    State(web): State<Web>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let admin = web.admin_for_change(&headers).await?;
    let chosen = chosen(&read_body(body).await?)?;
    let ignored = web.app().ignore_organizations(&admin, chosen).await;
    let organization_count = ignored.map_err(|fault| rename_field(fault, "until_time", "until"))?;
    let answer = ChangedAnswer {
        success: true,
        message: "Organizations ignored",
        organization_count,
    };
    Ok(json(StatusCode::OK, &answer))
}

/// Brings ignored organizations back to the pending ones.
///
/// All or none of those that are named. Idempotent.
#[utoipa::path(
    post,
    path = "/api/admin/organizations/restore",
    operation_id = "restoreOrganizations",
    tag = openapi::ADMINS,
    request_body(content = ChosenBody, example = json!({"source_network": "203.0.113.0/24"})),
    responses(
        (status = 200, description = "They are pending.", body = ChangedAnswer),
        (status = 404, description = "One of them is unknown.", body = openapi::ErrorAnswer),
    ),
)]
pub(super) async fn restore(
    State(web): State<Web>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let admin = web.admin_for_change(&headers).await?;
    let chosen = chosen(&read_body(body).await?)?;
    let organization_count = web.app().restore_organizations(&admin, chosen).await?;
    let answer = ChangedAnswer {
        success: true,
        message: "Organizations restored",
        organization_count,
    };
    Ok(json(StatusCode::OK, &answer))
}

fn chosen(body: &[u8]) -> Result<Chosen, Fault> {
    const IDS: &str = "organization_ids";
    const NETWORK: &str = "source_network";
    const UNTIL: &str = "until";
    let body = fields::object(body)?;
    let mut fields = Fields::of(&body);
    let ids = fields.if_present(IDS, |fields| fields.texts(IDS));
    let network = fields.if_present(NETWORK, |fields| fields.text(NETWORK).map(str::to_owned));
    let until: Option<DateTime<Utc>> = fields.if_present(UNTIL, |fields| fields.time(UNTIL));
    let violations = fields.finish();
    if !violations.is_empty() {
        return Err(Fault::invalid(violations));
    }
    Ok(Chosen {
        organization_ids: ids.unwrap_or_default(),
        source_network: network.unwrap_or_default(),
        until,
    })
}
