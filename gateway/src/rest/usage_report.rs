//! `POST /api/usage-report`.

use axum::{Extension, body::Body, extract::State, response::Response};
use billing_kit::Fault;
use billing_proto::common::v1::ErrorReason;
use http::{HeaderMap, HeaderName, StatusCode, header};
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
        report_signature::SignatureHeaders,
        time_text, words,
    },
    limits::Sender,
    web::{BODY_BYTES_MAX, Peer, Web, read_body, text},
};

const KEY: HeaderName = HeaderName::from_static("x-vaultai-key");
const SIGNATURE: HeaderName = HeaderName::from_static("x-vaultai-signature");
const REPLACES_KEY: HeaderName = HeaderName::from_static("x-vaultai-replaces-key");

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
    /// Our clock.
    #[schema(format = DateTime)]
    server_time: String,
    /// When the next report is expected: a day after the latest one.
    #[schema(format = DateTime)]
    next_report_expected_at: Option<String>,
    /// Whether a key is pinned for the organization: reports that it did not sign are held.
    key_pinned: bool,
    /// UTC days of the last 35, since the first report, without a report. Left out for a sender that is
    /// not known well enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_days: Option<Vec<String>>,
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
    params(
        ("x-vaultai-key" = Option<String>, Header, description = "The public key that signed the body: `ed25519 KEY`, base64url without padding.", pattern = "^ed25519 [A-Za-z0-9_-]{43}$"),
        ("x-vaultai-signature" = Option<String>, Header, description = "`t=SECONDS,v1=SIGNATURE`: the Ed25519 signature of `vaultai-usage-report-v1`, a newline, the seconds, a newline and the body as it is sent."),
        ("x-vaultai-replaces-key" = Option<String>, Header, description = "`ed25519 OLD_KEY SIGNATURE`: the old key's signature of `vaultai-key-replacement-v1`, a newline, the organization's id, a newline and the new key."),
    ),
    request_body(content = Report, example = json!({
        "organization_id": "0192f0c1-7c8e-7b1a-9d2b-3c3f0f3a9a10", "organization_name": "Acme Corp",
        "instance_url": "acme.vaultai.eu", "user_count": 45, "timestamp": "2024-11-03T03:00:00Z",
    })),
    responses(
        (status = 200, description = "It is recorded, now or before.", body = Answer<'static>, example = json!({
            "success": true, "message": "Usage report received",
            "report_id": "0192f0c1-7c8e-7b1a-9d2b-3c3f0f3a9aff", "organization_status": "pending",
            "server_time": "2024-11-03T03:00:01Z", "next_report_expected_at": "2024-11-04T03:00:00Z",
            "key_pinned": true, "missing_days": ["2024-11-01"],
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
    let sent = read_body(body).await?;
    let encoding = text(&headers, &header::CONTENT_ENCODING);
    let body = decompressed(encoding, sent.clone(), BODY_BYTES_MAX)?;
    let draft = check_charset(text(&headers, &header::CONTENT_TYPE), &body)
        .and_then(|()| ReportDraft::read(&body));
    let organization = match &draft {
        Ok(draft) => draft.organization(),
        Err(_) => legible_organization(&body),
    };
    let now = web.app().clock().now();
    let read = draft.and_then(|draft| {
        let signed = signature_headers(&headers)?;
        let signed = signed.verify(&sent, draft.organization_id.as_deref(), now)?;
        Ok((draft, signed))
    });
    if let Some(organization) = organization {
        let signed = read.as_ref().ok().and_then(|(_, signed)| *signed);
        let sender = Sender::of(signed, source);
        web.limits().admit_organization(organization, sender)?;
    }
    let (draft, signed) = match (read, organization) {
        (Ok(read), _) => read,
        (Err(problem), None) => return Err(problem.into()),
        (Err(problem), Some(organization)) => {
            let noted = web.app().note_refusal(organization, &problem, source);
            noted.await;
            return Err(problem.into());
        }
    };
    let Recorded {
        report_id,
        organization_status,
        next_report_expected_at,
        key_pinned,
        missing_days,
    } = web.app().report_usage(draft, source, signed).await?;
    Ok(json(
        StatusCode::OK,
        &Answer {
            success: true,
            message: "Usage report received",
            report_id: &report_id,
            organization_status: words::status(organization_status),
            server_time: time_text::short(now),
            next_report_expected_at: next_report_expected_at.map(time_text::short),
            key_pinned,
            missing_days,
        },
    ))
}

/// The headers that say who signed the body.
fn signature_headers(headers: &HeaderMap) -> Result<SignatureHeaders<'_>, Fault> {
    let text = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        let value = values.next().map(|value| value.to_str());
        match (value.transpose(), values.next()) {
            (Ok(value), None) => Ok(value),
            _ => Err(Fault::new(
                ErrorReason::ReportSignatureInvalid,
                format!("The header {name} is there twice, or is not ASCII."),
            )),
        }
    };
    Ok(SignatureHeaders {
        key: text(&KEY)?,
        signature: text(&SIGNATURE)?,
        replaces: text(&REPLACES_KEY)?,
    })
}
