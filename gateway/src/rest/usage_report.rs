//! `POST /api/usage-report`.

use axum::{Extension, body::Body, extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use uuid::Uuid;

use super::answer::{ApiError, json};
use crate::{
    app::Recorded,
    domain::{report_draft::ReportDraft, words},
    web::{Peer, Web, read_body},
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
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    // Before the token is looked at: who tries tokens is limited too.
    if let Some(source) = web.report_source(peer, &headers) {
        web.limits().admit_address(source)?;
    }
    web.check_api_token(&headers)?;
    let draft = ReportDraft::read(&read_body(body).await?)?;
    let organization = draft.organization_id.as_deref().map(Uuid::try_parse);
    if let Some(Ok(organization)) = organization {
        web.limits().admit_organization(organization)?;
    }
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
