//! `/api/admin/organizations/{id}/intake`, and a refused report put in the place of the recorded one.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{ApiError, json},
    json::UsageReportJson,
    openapi::{self, words},
    query::organization_id,
};
use crate::{
    domain::{
        intake::{Intake, LastRefusal, RefusedConflict, SourceNetwork},
        time_text,
    },
    upstream::rename_field,
    web::Web,
};

/// A network that recorded reports came from, in the last 400 days.
#[derive(Serialize, ToSchema)]
#[schema(as = SourceNetwork)]
struct NetworkJson {
    /// A /24 of IPv4 or a /48 of IPv6.
    network: String,
    #[schema(format = DateTime)]
    first_seen_at: String,
    #[schema(format = DateTime)]
    last_seen_at: String,
    report_count: i64,
    /// Whether a further report of a day from there may raise its count.
    known: bool,
}

impl From<SourceNetwork> for NetworkJson {
    fn from(network: SourceNetwork) -> Self {
        let SourceNetwork {
            network,
            first_seen_at,
            last_seen_at,
            report_count,
            is_known,
        } = network;
        Self {
            network,
            first_seen_at: time_text::short(first_seen_at),
            last_seen_at: time_text::short(last_seen_at),
            report_count,
            known: is_known,
        }
    }
}

/// A report that was refused because another count is recorded for its time.
#[derive(Serialize, ToSchema)]
#[schema(as = RefusedConflict)]
struct ConflictJson {
    id: Uuid,
    #[schema(format = DateTime)]
    reported_at: String,
    user_count: i64,
    /// The number that is recorded; null while the recorded report waits for org-svc.
    recorded_user_count: Option<i64>,
    organization_name: String,
    instance_url: String,
    /// Where it came from last; null where that is not known, and after 30 days.
    source_address: Option<String>,
    #[schema(format = DateTime)]
    first_refused_at: String,
    #[schema(format = DateTime)]
    last_refused_at: String,
    refused_count: i64,
    /// When it was put in the place of the recorded one; null where nobody did.
    #[schema(format = DateTime)]
    replaced_at: Option<String>,
    /// The report that has its count since.
    replacement_id: Option<Uuid>,
}

impl From<RefusedConflict> for ConflictJson {
    fn from(conflict: RefusedConflict) -> Self {
        let RefusedConflict {
            id,
            reported_at,
            user_count,
            recorded_user_count,
            organization_name,
            instance_url,
            source_address,
            first_refused_at,
            last_refused_at,
            refused_count,
            replaced,
        } = conflict;
        let (replaced_at, replacement_id) = replaced.unzip();
        Self {
            id,
            reported_at: time_text::short(reported_at),
            user_count,
            recorded_user_count,
            organization_name,
            instance_url,
            source_address,
            first_refused_at: time_text::short(first_refused_at),
            last_refused_at: time_text::short(last_refused_at),
            refused_count,
            replaced_at: replaced_at.map(time_text::short),
            replacement_id,
        }
    }
}

/// The last report that was refused.
#[derive(Serialize, ToSchema)]
#[schema(as = LastRefusal)]
struct RefusalJson {
    #[schema(format = DateTime)]
    refused_at: String,
    #[schema(schema_with = words::refusal_reasons)]
    reason: &'static str,
    /// What was wrong, in sentences.
    message: String,
    /// Where it came from; null where that is not known, and after 30 days.
    source_address: Option<String>,
}

impl From<LastRefusal> for RefusalJson {
    fn from(refusal: LastRefusal) -> Self {
        let LastRefusal {
            refused_at,
            reason,
            message,
            source_address,
        } = refusal;
        Self {
            refused_at: time_text::short(refused_at),
            reason: reason.word(),
            message,
            source_address,
        }
    }
}

/// Where an organization's reports come from, and what of them was refused.
#[derive(Serialize, ToSchema)]
#[schema(as = Intake)]
pub(super) struct IntakeAnswer {
    /// At most 50, those that were seen last first.
    networks: Vec<NetworkJson>,
    /// At most 20, those that came last first.
    conflicts: Vec<ConflictJson>,
    last_refusal: Option<RefusalJson>,
}

/// Gets where an organization's reports come from, and what of them was refused.
///
/// All is empty for an organization that never reported.
#[utoipa::path(
    get,
    path = "/api/admin/organizations/{id}/intake",
    operation_id = "getIntake",
    tag = openapi::ADMINS,
    params(("id" = Uuid, Path, description = "The organization.")),
    responses((status = 200, description = "What is known.", body = IntakeAnswer)),
)]
pub(super) async fn get(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin(&headers).await?;
    let Intake {
        networks,
        conflicts,
        last_refusal,
    } = web.app().get_intake(&admin, organization_id(&id)?).await?;
    let answer = IntakeAnswer {
        networks: networks.into_iter().map(Into::into).collect(),
        conflicts: conflicts.into_iter().map(Into::into).collect(),
        last_refusal: last_refusal.map(Into::into),
    };
    Ok(json(StatusCode::OK, &answer))
}

/// The report that has the refused count now.
#[derive(Serialize, ToSchema)]
#[schema(as = ReplacedReport)]
pub(super) struct ReplacedAnswer {
    success: bool,
    message: &'static str,
    report: UsageReportJson,
}

/// Puts a refused report in the place of the one that is recorded for its time.
///
/// It is written over the recorded one. Where that was sent, it follows as a later report of the same UTC
/// day, which counts for the day unless there is a later one still. Idempotent: one that was put there is
/// answered as it is.
#[utoipa::path(
    post,
    path = "/api/admin/report-conflicts/{id}/replace",
    operation_id = "replaceReport",
    tag = openapi::ADMINS,
    params(("id" = Uuid, Path, description = "The refused report.")),
    responses(
        (status = 200, description = "It is recorded.", body = ReplacedAnswer),
        (status = 404, description = "There is no such refused report.", body = openapi::ErrorAnswer),
        (status = 409, description = "The recorded one is on its way to Stripe, or its invoice is final, or Stripe would not take it any more.", body = openapi::ErrorAnswer),
    ),
)]
pub(super) async fn replace(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin_for_change(&headers).await?;
    let report = web
        .app()
        .replace_report(&admin, id)
        .await
        .map_err(|fault| rename_field(fault, "conflict_id", "id"))?;
    let answer = ReplacedAnswer {
        success: true,
        message: "Refused report recorded",
        report: report.into(),
    };
    Ok(json(StatusCode::OK, &answer))
}
