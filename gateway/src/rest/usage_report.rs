//! `POST /api/usage-report`.

use axum::{body::Body, extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::answer::{ApiError, json};
use crate::{
    app::Recorded,
    domain::{report_draft::ReportDraft, words},
    web::{Web, read_body},
};

#[derive(Serialize)]
struct Answer<'a> {
    success: bool,
    message: &'a str,
    report_id: &'a str,
    organization_status: &'a str,
}

pub(super) async fn report(
    State(web): State<Web>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    web.check_api_token(&headers)?;
    let draft = ReportDraft::read(&read_body(body).await?)?;
    let Recorded {
        report_id,
        organization_status,
    } = web.app().report_usage(draft).await?;
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
