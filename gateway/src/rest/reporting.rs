//! `/api/admin/reporting`.

use axum::{extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    answer::{ApiError, json},
    openapi,
};
use crate::{
    domain::{
        reporting::{ReportingSummary, UsageDay},
        time_text,
    },
    web::Web,
};

/// How the instances report, as a whole. Reports that are held, or were discarded, count for no users.
#[derive(Serialize, ToSchema)]
#[schema(as = ReportingSummary)]
pub(super) struct SummaryAnswer {
    /// Users in all, by the latest report of each organization that reported within 35 days.
    user_count: i64,
    /// When that was counted; null before the first time.
    #[schema(format = DateTime)]
    counted_at: Option<String>,
    /// The last 30 UTC days, the earliest first. A day without a report is left out.
    days: Vec<DayJson>,
    late_count: i64,
    silent_count: i64,
    held_report_count: i64,
    held_organization_count: i64,
    /// How many of the first 5,000 held reports have to be decided within 24 hours, or should have
    /// been.
    urgent_held_report_count: i64,
    refused_report_count: i64,
    /// Organizations that reported within 35 days and did not sign their latest report.
    unsigned_organization_count: i64,
    queued_report_count: i64,
    /// Seconds that the oldest of these has waited; null when none does.
    oldest_queued_age_s: Option<u64>,
}

/// What was reported of one UTC day.
#[derive(Serialize, ToSchema)]
#[schema(as = UsageDay)]
struct DayJson {
    /// A UTC day.
    #[schema(format = Date)]
    day: String,
    user_count: i64,
    organization_count: i64,
}

impl From<UsageDay> for DayJson {
    fn from(day: UsageDay) -> Self {
        let UsageDay {
            start,
            user_count,
            organization_count,
        } = day;
        Self {
            day: time_text::day(start),
            user_count,
            organization_count,
        }
    }
}

impl From<ReportingSummary> for SummaryAnswer {
    fn from(summary: ReportingSummary) -> Self {
        let ReportingSummary {
            user_count,
            counted_at,
            days,
            late_count,
            silent_count,
            held_report_count,
            held_organization_count,
            urgent_held_report_count,
            unsigned_organization_count,
            refused_report_count,
            queued_report_count,
            oldest_queued_age,
        } = summary;
        Self {
            user_count,
            counted_at: counted_at.map(time_text::short),
            days: days.into_iter().map(Into::into).collect(),
            late_count,
            silent_count,
            held_report_count,
            held_organization_count,
            urgent_held_report_count,
            unsigned_organization_count,
            refused_report_count,
            queued_report_count,
            oldest_queued_age_s: oldest_queued_age.map(|age| age.as_secs()),
        }
    }
}

/// Sums up how the instances report and what becomes of their reports.
#[utoipa::path(
    get,
    path = "/api/admin/reporting",
    operation_id = "getReportingSummary",
    tag = openapi::ADMINS,
    responses((status = 200, description = "The summary.", body = SummaryAnswer)),
)]
pub(super) async fn summary(
    State(web): State<Web>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin(&headers).await?;
    let summary = web.app().get_reporting_summary(&admin).await?;
    Ok(json(StatusCode::OK, &SummaryAnswer::from(summary)))
}
