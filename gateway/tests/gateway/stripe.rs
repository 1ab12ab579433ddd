//! stripe-svc in memory: its inbox, and what Stripe holds for a customer.

use std::sync::{Arc, Mutex};

use billing_kit::{Fault, Violation};
use billing_proto::{
    common::v1::{
        BillingInterval, ErrorReason, Invoice, InvoiceLine, InvoiceStatus, ListMeterErrorsRequest,
        ListMeterErrorsResponse, ListWebhookEventsRequest, ListWebhookEventsResponse, MeterError,
        Price, PriceUnit, RetryWebhookEventRequest, RetryWebhookEventResponse, SimilarCustomer,
        SubscriptionPreview, WebhookEvent, WebhookEventState,
    },
    stripe::v1::{
        CreatePortalSessionRequest, CreatePortalSessionResponse, ListInvoicesRequest,
        ListInvoicesResponse, PreviewSubscriptionRequest, PreviewSubscriptionResponse,
        ReceiveWebhookRequest, ReceiveWebhookResponse, StripeRefusal,
        customer_service_server::CustomerService, preview_subscription_response::Outcome,
        webhook_service_server::WebhookService,
    },
};
use prost_types::Timestamp;
use tonic::{Request, Response, Status};

use crate::org::{UNPRICED, require_assertion};

/// The one signature that is believed.
pub(crate) const SIGNATURE: &str = "t=1800000000,v1=00";
/// The one event that the inbox has.
pub(crate) const DEAD_EVENT: &str = "evt_dead";

#[derive(Debug, Clone, Default)]
pub(crate) struct Stripe {
    pub(crate) received: Arc<Mutex<Vec<Vec<u8>>>>,
}

fn dead_event() -> WebhookEvent {
    let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
    WebhookEvent {
        event_id: DEAD_EVENT.to_owned(),
        event_type: "customer.subscription.updated".to_owned(),
        state: WebhookEventState::Dead.into(),
        attempt_count: 12,
        receive_time: time(1_800_000_000),
        next_attempt_time: None,
        end_time: time(1_800_010_000),
        error_code: "resource_missing".to_owned(),
        error_message: "Stripe has no subscription sub_1.".to_owned(),
    }
}

#[tonic::async_trait]
impl WebhookService for Stripe {
    async fn receive_webhook(
        &self,
        request: Request<ReceiveWebhookRequest>,
    ) -> Result<Response<ReceiveWebhookResponse>, Status> {
        let ReceiveWebhookRequest { payload, signature } = request.into_inner();
        if signature != SIGNATURE {
            return Err(Fault::new(ErrorReason::SignatureInvalid, "It does not fit.").into());
        }
        self.received.lock().unwrap().push(payload);
        Ok(Response::new(ReceiveWebhookResponse {}))
    }

    async fn list_webhook_events(
        &self,
        request: Request<ListWebhookEventsRequest>,
    ) -> Result<Response<ListWebhookEventsResponse>, Status> {
        require_assertion(request.metadata())?;
        let ListWebhookEventsRequest {
            state,
            page_size: _,
            page_token,
        } = request.into_inner();
        if !page_token.is_empty() {
            let violation = Violation::new("page_token", "It is none.");
            return Err(Fault::invalid(vec![violation]).into());
        }
        let all = [i32::from(WebhookEventState::Dead), 0];
        let events = all.contains(&state).then(dead_event);
        Ok(Response::new(ListWebhookEventsResponse {
            events: events.into_iter().collect(),
            next_page_token: "more".to_owned(),
        }))
    }

    async fn retry_webhook_event(
        &self,
        request: Request<RetryWebhookEventRequest>,
    ) -> Result<Response<RetryWebhookEventResponse>, Status> {
        require_assertion(request.metadata())?;
        let RetryWebhookEventRequest { event_id } = request.into_inner();
        if event_id != DEAD_EVENT {
            let violation = Violation::new("event_id", "There is no such event.");
            return Err(Fault::invalid(vec![violation]).into());
        }
        let event = WebhookEvent {
            state: WebhookEventState::Queued.into(),
            attempt_count: 0,
            end_time: None,
            ..dead_event()
        };
        Ok(Response::new(RetryWebhookEventResponse {
            event: Some(event),
        }))
    }

    async fn list_meter_errors(
        &self,
        request: Request<ListMeterErrorsRequest>,
    ) -> Result<Response<ListMeterErrorsResponse>, Status> {
        require_assertion(request.metadata())?;
        let error = MeterError {
            id: "0b9ad4a2-54b2-4be7-9a36-d1c6d1b6a001".to_owned(),
            event_id: "evt_thin".to_owned(),
            stripe_meter_id: String::new(),
            error_code: "no_meter".to_owned(),
            error_message: "No meter.".to_owned(),
            error_count: 2,
            sample_identifiers: vec!["report-1".to_owned()],
            validation_start_time: None,
            validation_end_time: None,
            find_time: Some(Timestamp {
                seconds: 1_800_000_000,
                nanos: 0,
            }),
        };
        Ok(Response::new(ListMeterErrorsResponse {
            errors: vec![error],
            next_page_token: String::new(),
        }))
    }
}

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

fn invoice(id: &str, status: InvoiceStatus) -> Invoice {
    Invoice {
        stripe_invoice_id: id.to_owned(),
        number: String::new(),
        status: status.into(),
        currency: "eur".to_owned(),
        total_amount: 583,
        remaining_amount: 583,
        create_time: None,
        period_start_time: at(1_800_000_000),
        period_end_time: at(1_802_592_000),
        due_time: None,
        hosted_url: String::new(),
        lines: vec![InvoiceLine {
            description: "22 × VaultAI".to_owned(),
            quantity: "22".to_owned(),
            unit_amount: "26.5".to_owned(),
            amount: 583,
            period_start_time: at(1_800_000_000),
            period_end_time: at(1_802_592_000),
        }],
    }
}

/// Of every price but that of [`UNPRICED`], for as many seats as are asked for.
#[tonic::async_trait]
impl CustomerService for Stripe {
    async fn preview_subscription(
        &self,
        request: Request<PreviewSubscriptionRequest>,
    ) -> Result<Response<PreviewSubscriptionResponse>, Status> {
        require_assertion(request.metadata())?;
        let request = request.into_inner();
        if request.admin_email == UNPRICED {
            let refusal = StripeRefusal {
                code: "price_not_found".to_owned(),
                message: "The catalog has no such price.".to_owned(),
                ..StripeRefusal::default()
            };
            return Ok(Response::new(PreviewSubscriptionResponse {
                outcome: Some(Outcome::Refusal(refusal)),
            }));
        }
        let preview = SubscriptionPreview {
            price: Some(Price {
                stripe_price_id: "price_1".to_owned(),
                lookup_key: "key".to_owned(),
                currency: "eur".to_owned(),
                unit_amount: "26.5".to_owned(),
                unit: PriceUnit::SeatDay.into(),
                interval: BillingInterval::Month.into(),
            }),
            days_until_due: 30,
            reused_customer_id: String::new(),
            trial_end_time: at(1_800_000_000),
            first_period_start_time: at(1_800_000_000),
            first_period_end_time: at(1_802_592_000),
            estimated_quantity: request.seat_count.map(|seats| seats * 30),
            estimated_amount: None,
            similar_customers: vec![SimilarCustomer {
                stripe_customer_id: "cus_similar".to_owned(),
                name: "<b>Acme</b>".to_owned(),
                email: request.admin_email,
                create_time: at(1_700_000_000),
                organization_id: String::new(),
                stripe_subscription_id: "sub_similar".to_owned(),
            }],
        };
        Ok(Response::new(PreviewSubscriptionResponse {
            outcome: Some(Outcome::Preview(preview)),
        }))
    }

    async fn list_invoices(
        &self,
        request: Request<ListInvoicesRequest>,
    ) -> Result<Response<ListInvoicesResponse>, Status> {
        require_assertion(request.metadata())?;
        let request = request.into_inner();
        if !request.page_token.is_empty() {
            let violation = Violation::new("page_token", "It is none.");
            return Err(Fault::invalid(vec![violation]).into());
        }
        let id = format!("in_of_{}", request.stripe_customer_id);
        Ok(Response::new(ListInvoicesResponse {
            invoices: vec![invoice(&id, InvoiceStatus::Open)],
            next_page_token: id,
            upcoming: Some(invoice("", InvoiceStatus::Upcoming)),
        }))
    }

    async fn create_portal_session(
        &self,
        request: Request<CreatePortalSessionRequest>,
    ) -> Result<Response<CreatePortalSessionResponse>, Status> {
        require_assertion(request.metadata())?;
        let customer = request.into_inner().stripe_customer_id;
        Ok(Response::new(CreatePortalSessionResponse {
            url: format!("https://billing.stripe.example/{customer}"),
        }))
    }
}
