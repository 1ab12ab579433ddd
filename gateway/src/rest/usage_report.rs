//! `POST /api/usage-report`.

use axum::{Extension, body::Body, extract::State, response::Response};
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{ApiError, json},
    openapi::{self, words as schema_words},
};
use crate::{
    app::Recorded,
    domain::{
        report_draft::{ReportDraft, legible_organization},
        report_encoding::{check_charset, decompressed},
        words,
    },
    web::{BODY_BYTES_MAX, Peer, Web, read_body, text},
};

/// A report of how many users an instance has.
#[derive(ToSchema)]
#[schema(as = UsageReportBody)]
#[expect(
    dead_code,
    reason = "it describes the body, which is read field by field"
)]
pub(super) struct Report {
    organization_id: Uuid,
    #[schema(min_length = 1, max_length = 200)]
    organization_name: String,
    /// The instance's host, for example `acme.vaultai.eu`.
    #[schema(min_length = 1, max_length = 255)]
    instance_url: String,
    #[schema(minimum = 0)]
    user_count: i64,
    /// The moment that the count is of.
    #[schema(format = DateTime)]
    timestamp: String,
}

/// A report that is recorded.
#[derive(Serialize, ToSchema)]
#[schema(as = UsageReportAnswer)]
pub(super) struct Answer<'a> {
    success: bool,
    message: &'a str,
    /// The same for the same report, however often it is sent.
    #[schema(format = Uuid)]
    report_id: &'a str,
    #[schema(schema_with = schema_words::statuses)]
    organization_status: &'a str,
}

/// Reports how many users an instance has.
///
/// The body is JSON in UTF-8, compressed with gzip where `Content-Encoding` says so. The same report may be
/// sent again, and is recorded once. An organization that is not known yet
/// becomes pending by it.
#[utoipa::path(
    post,
    path = "/api/usage-report",
    operation_id = "reportUsage",
    tag = openapi::INSTANCES,
    request_body(content = Report, example = json!({
        "organization_id": "0192f0c1-7c8e-7b1a-9d2b-3c3f0f3a9a10", "organization_name": "Acme Corp",
        "instance_url": "acme.vaultai.eu", "user_count": 45, "timestamp": "2024-11-03T03:00:00Z",
    })),
    responses(
        (status = 200, description = "It is recorded, now or before.", body = Answer<'static>, example = json!({
            "success": true, "message": "Usage report received",
            "report_id": "0192f0c1-7c8e-7b1a-9d2b-3c3f0f3a9aff", "organization_status": "pending",
        })),
        (status = 409, description = "A report of this organization with this timestamp is recorded, with another count.", body = openapi::ErrorAnswer),
        (status = 415, description = "The body has another Content-Encoding than gzip.", body = openapi::ErrorAnswer),
    ),
)]
pub(super) async fn report(
    State(web): State<Web>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    // Before the token is looked at: who tries tokens is limited too.
    let source = web.report_source(peer, &headers);
    if let Some(source) = source {
        web.limits().admit_address(source)?;
    }
    web.check_api_token(&headers)?;
    let body = decompressed(
        text(&headers, &header::CONTENT_ENCODING),
        read_body(body).await?,
        BODY_BYTES_MAX,
    )?;
    let draft = check_charset(text(&headers, &header::CONTENT_TYPE), &body)
        .and_then(|()| ReportDraft::read(&body));
    let draft = match draft {
        Ok(draft) => draft,
        Err(problem) => {
            if let Some(organization) = legible_organization(&body) {
                web.limits().admit_organization(organization)?;
                web.app()
                    .note_unreadable(organization, &problem, source)
                    .await;
            }
            return Err(problem.into());
        }
    };
    let organization = draft.organization_id.as_deref().map(Uuid::try_parse);
    if let Some(Ok(organization)) = organization {
        web.limits().admit_organization(organization)?;
    }
    let Recorded {
        report_id,
        organization_status,
    } = web.app().report_usage(draft, source).await?;
    Ok(json(
        StatusCode::OK,
        &Answer {
            success: true,
            message: "Usage report received",
            report_id: &report_id,
            organization_status: words::status(organization_status),
        },
    ))
}
