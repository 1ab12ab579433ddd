//! `billing.stripe.v1.WebhookService`.

use std::sync::Arc;

use billing_kit::{Fault, Violation, assertion::Verifier, proto_time};
use billing_proto::{
    common::v1::{
        ErrorReason, ListMeterErrorsRequest, ListMeterErrorsResponse, ListWebhookEventsRequest,
        ListWebhookEventsResponse, MeterError as MeterErrorMessage, RetryWebhookEventRequest,
        RetryWebhookEventResponse, WebhookEvent as WebhookEventMessage, WebhookEventState,
    },
    stripe::v1::{
        ReceiveWebhookRequest, ReceiveWebhookResponse, webhook_service_server::WebhookService,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    app::{
        App, list_meter_errors::list_meter_errors, list_webhook_events::list_webhook_events,
        receive_webhook::receive_webhook, retry_webhook_event::retry_webhook_event,
    },
    domain::{
        ids::EventId,
        meter_error::{MeterError, MeterErrorReport},
        page::{PageSize, Position},
        webhook_event::{EventState, InboxEntry, PAYLOAD_BYTES_MAX, is_name},
    },
};

/// The inbox, for the gateway.
#[derive(Debug)]
pub(crate) struct WebhookDoor {
    pub(crate) app: Arc<App>,
    pub(crate) verifier: Verifier,
}

#[tonic::async_trait]
impl WebhookService for WebhookDoor {
    async fn receive_webhook(
        &self,
        request: Request<ReceiveWebhookRequest>,
    ) -> Result<Response<ReceiveWebhookResponse>, Status> {
        let ReceiveWebhookRequest { payload, signature } = request.into_inner();
        if payload.len() > PAYLOAD_BYTES_MAX {
            let message = "The body is larger than 512 KiB.";
            return Err(Fault::new(ErrorReason::BodyTooLarge, message).into());
        }
        receive_webhook(&self.app, &payload, &signature).await?;
        Ok(Response::new(ReceiveWebhookResponse {}))
    }

    async fn list_webhook_events(
        &self,
        request: Request<ListWebhookEventsRequest>,
    ) -> Result<Response<ListWebhookEventsResponse>, Status> {
        self.verifier.reader(request.metadata())?;
        let ListWebhookEventsRequest {
            state,
            page_size,
            page_token,
        } = request.into_inner();
        let mut violations = Vec::new();
        let state =
            read_state(state).map_err(|message| violations.push(Violation::new("state", message)));
        let page = read_page(page_size, &page_token, &mut violations);
        let (Ok(state), Some((size, after))) = (state, page) else {
            return Err(Fault::invalid(violations).into());
        };
        let (events, next) = list_webhook_events(&self.app, state, after.as_ref(), size).await?;
        Ok(Response::new(ListWebhookEventsResponse {
            events: events.into_iter().map(Into::into).collect(),
            next_page_token: next.map_or_else(String::new, |next| next.to_token()),
        }))
    }

    async fn retry_webhook_event(
        &self,
        request: Request<RetryWebhookEventRequest>,
    ) -> Result<Response<RetryWebhookEventResponse>, Status> {
        let admin = self.verifier.admin(request.metadata())?;
        let RetryWebhookEventRequest { event_id } = request.into_inner();
        if !is_name(&event_id) {
            let violation = Violation::new("event_id", "It is not a Stripe id.");
            return Err(Fault::invalid(vec![violation]).into());
        }
        let event = retry_webhook_event(&self.app, &admin, &EventId::new(event_id)).await?;
        Ok(Response::new(RetryWebhookEventResponse {
            event: Some(event.into()),
        }))
    }

    async fn list_meter_errors(
        &self,
        request: Request<ListMeterErrorsRequest>,
    ) -> Result<Response<ListMeterErrorsResponse>, Status> {
        self.verifier.reader(request.metadata())?;
        let ListMeterErrorsRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let mut violations = Vec::new();
        let Some((size, after)) = read_page(page_size, &page_token, &mut violations) else {
            return Err(Fault::invalid(violations).into());
        };
        let (errors, next) = list_meter_errors(&self.app, after.as_ref(), size).await?;
        Ok(Response::new(ListMeterErrorsResponse {
            errors: errors.into_iter().map(Into::into).collect(),
            next_page_token: next.map_or_else(String::new, |next| next.to_token()),
        }))
    }
}

fn read_state(word: i32) -> Result<Option<EventState>, &'static str> {
    let state = WebhookEventState::try_from(word).map_err(|_| "It is not known.")?;
    Ok(match state {
        WebhookEventState::Unspecified => None,
        WebhookEventState::Queued => Some(EventState::Queued),
        WebhookEventState::Processed => Some(EventState::Processed),
        WebhookEventState::Ignored => Some(EventState::Ignored),
        WebhookEventState::Dead => Some(EventState::Dead),
    })
}

/// Which page is wanted; what is at fault is added to the violations.
fn read_page(
    size: i32,
    token: &str,
    violations: &mut Vec<Violation>,
) -> Option<(PageSize, Option<Position>)> {
    let mut wrong = |field: &str, message: &str| violations.push(Violation::new(field, message));
    let size = PageSize::parse(size).map_err(|message| wrong("page_size", message));
    let after = Position::from_token(token).map_err(|message| wrong("page_token", message));
    size.ok().zip(after.ok())
}

impl From<InboxEntry> for WebhookEventMessage {
    fn from(event: InboxEntry) -> Self {
        let InboxEntry {
            id,
            kind,
            state,
            attempt_count,
            received_at,
            next_attempt_at,
            ended_at,
            error_code,
            error_message,
        } = event;
        Self {
            event_id: id.to_string(),
            event_type: kind,
            state: WebhookEventState::from(state).into(),
            attempt_count,
            receive_time: Some(proto_time::to_proto(received_at)),
            next_attempt_time: match ended_at {
                None => Some(proto_time::to_proto(next_attempt_at)),
                Some(_) => None,
            },
            end_time: ended_at.map(proto_time::to_proto),
            error_code: error_code.unwrap_or_default(),
            error_message: error_message.unwrap_or_default(),
        }
    }
}

impl From<EventState> for WebhookEventState {
    fn from(state: EventState) -> Self {
        match state {
            EventState::Queued => Self::Queued,
            EventState::Processed => Self::Processed,
            EventState::Ignored => Self::Ignored,
            EventState::Dead => Self::Dead,
        }
    }
}

impl From<MeterError> for MeterErrorMessage {
    fn from(error: MeterError) -> Self {
        let MeterError {
            id,
            event_id,
            report,
            found_at,
        } = error;
        let MeterErrorReport {
            meter_id,
            code,
            message,
            count,
            sample_identifiers,
            validation_start,
            validation_end,
        } = report;
        Self {
            id: id.to_string(),
            event_id: event_id.to_string(),
            stripe_meter_id: meter_id.unwrap_or_default(),
            error_code: code,
            error_message: message,
            error_count: count,
            sample_identifiers,
            validation_start_time: validation_start.map(proto_time::to_proto),
            validation_end_time: validation_end.map(proto_time::to_proto),
            find_time: Some(proto_time::to_proto(found_at)),
        }
    }
}
