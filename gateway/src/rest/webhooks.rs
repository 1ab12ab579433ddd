//! `POST /api/webhooks/stripe`.

use axum::{body::Body, extract::State, response::Response};
use billing_kit::Fault;
use billing_proto::common::v1::ErrorReason;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    answer::{ApiError, json},
    openapi,
};
use crate::web::{Web, read_body_within};

/// The largest event that is taken, in bytes. Stripe's are a few KiB, with long invoices as the
/// exception.
const WEBHOOK_BYTES_MAX: usize = 512 * 1024;
const SIGNATURE: &str = "stripe-signature";

/// An event that is stored.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookReceived)]
pub(super) struct Received {
    received: bool,
}

/// Takes an event: 200 once it is stored, and nothing else before. Whom it is from is told by its
/// signature alone, over the body to the letter.
#[utoipa::path(
    post,
    path = "/api/webhooks/stripe",
    operation_id = "receiveWebhook",
    tag = openapi::STRIPE,
    params(("Stripe-Signature" = String, Header, description = "Stripe's signature over the body.")),
    request_body(content = Object, description = "An event, as Stripe sends it; at most 512 KiB."),
    responses((status = 200, description = "It is stored.", body = Received)),
)]
pub(super) async fn receive(
    State(web): State<Web>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let signature = headers.get(SIGNATURE).and_then(|it| it.to_str().ok());
    // Nothing of a body is read that nobody signed.
    let signature = signature.ok_or_else(|| {
        let message = "The header Stripe-Signature is missing, or is no signature.";
        Fault::new(ErrorReason::SignatureInvalid, message)
    })?;
    let payload = read_body_within(body, WEBHOOK_BYTES_MAX).await?;
    web.app()
        .receive_webhook(payload, signature.to_owned())
        .await?;
    Ok(json(StatusCode::OK, &Received { received: true }))
}
