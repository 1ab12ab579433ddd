//! `billing.stripe.v1.MeterEventService`.

use std::collections::BTreeSet;

use billing_kit::{Fault, Violation, proto_time};
use billing_proto::stripe::v1::{
    self as proto, DayUsage, GetUsageSummariesRequest, GetUsageSummariesResponse,
    InvoicedUsage as InvoicedUsageMessage, ListInvoicedUsageRequest, ListInvoicedUsageResponse,
    MeterEventAccepted, MeterEventOutcome, MeterEventRetry, RecordMeterEventsRequest,
    RecordMeterEventsResponse, meter_event_outcome::Outcome,
    meter_event_service_server::MeterEventService,
};
use chrono::{DurationRound, TimeDelta};
use tonic::{Request, Response, Status};

use crate::{
    app::{
        get_usage_summaries::get_usage_summaries, list_invoiced_usage::list_invoiced_usage,
        record_meter_events::record_meter_events,
    },
    domain::{
        ids::{CustomerId, EventIdentifier},
        meter_event::{
            AskedEvent, EventOutcome, EventRetry, IDENTIFIER_CHARS_MAX, MeterEvent, SeatCount,
            check_batch,
        },
        metered_invoice::InvoicedUsage,
        refusal::Refusal,
        usage_days::UsageDays,
    },
    grpc::StripeDoor,
};

/// Characters of a Stripe id.
const CUSTOMER_ID_CHARS_MAX: usize = 255;

#[tonic::async_trait]
impl MeterEventService for StripeDoor {
    async fn record_meter_events(
        &self,
        request: Request<RecordMeterEventsRequest>,
    ) -> Result<Response<RecordMeterEventsResponse>, Status> {
        let RecordMeterEventsRequest { events } = request.into_inner();
        let identifiers = events.iter().map(|it| it.identifier.as_str());
        check_batch(identifiers).map_err(Fault::invalid)?;
        // An event that is wrong in itself is refused alone, and one that is behind another of its
        // customer comes again: the others are none the worse for it.
        let mut customers = BTreeSet::new();
        let parsed = events.into_iter().map(|event| {
            let asked = parse(event).map_err(|refusal| Outcome::Refused(refusal.into()))?;
            if customers.insert(asked.event.customer_id.clone()) {
                Ok(asked)
            } else {
                Err(EventOutcome::Retry(EventRetry::not_its_turn()).into())
            }
        });
        let parsed: Vec<Result<AskedEvent, Outcome>> = parsed.collect();
        let good = parsed.iter().filter_map(|it| it.as_ref().ok()).cloned();
        let outcomes = record_meter_events(&self.0, good.collect()).await?;
        let mut outcomes = outcomes.into_iter();
        let outcomes = parsed.into_iter().map(|event| {
            let outcome = match event {
                Ok(_) => outcomes.next().map(Outcome::from),
                Err(outcome) => Some(outcome),
            };
            MeterEventOutcome { outcome }
        });
        Ok(Response::new(RecordMeterEventsResponse {
            outcomes: outcomes.collect(),
        }))
    }

    async fn get_usage_summaries(
        &self,
        request: Request<GetUsageSummariesRequest>,
    ) -> Result<Response<GetUsageSummariesResponse>, Status> {
        let GetUsageSummariesRequest {
            stripe_customer_id,
            start_time,
            end_time,
        } = request.into_inner();
        let mut violations = Vec::new();
        if !is_visible(&stripe_customer_id, CUSTOMER_ID_CHARS_MAX) {
            let message = "It is not a Stripe id.";
            violations.push(Violation::new("stripe_customer_id", message));
        }
        let time = |time: Option<_>| proto_time::from_proto(&time?);
        let days = time(start_time)
            .zip(time(end_time))
            .and_then(|(start, end)| UsageDays::new(start, end));
        if days.is_none() {
            let message =
                "It and start_time must be midnight UTC of two days, 1 to 100 days apart.";
            violations.push(Violation::new("end_time", message));
        }
        let Some(days) = days.filter(|_| violations.is_empty()) else {
            return Err(Fault::invalid(violations).into());
        };
        let customer = CustomerId::new(stripe_customer_id);
        let usage = get_usage_summaries(&self.0, &customer, days).await?;
        let day_usage = |(day_start, value): (_, rust_decimal::Decimal)| DayUsage {
            day_start_time: Some(proto_time::to_proto(day_start)),
            value: value.normalize().to_string(),
        };
        Ok(Response::new(GetUsageSummariesResponse {
            days: usage.days.into_iter().map(day_usage).collect(),
            resend_safe: usage.resend_safe,
        }))
    }

    async fn list_invoiced_usage(
        &self,
        request: Request<ListInvoicedUsageRequest>,
    ) -> Result<Response<ListInvoicedUsageResponse>, Status> {
        let ListInvoicedUsageRequest {
            stripe_customer_id,
            since_time,
        } = request.into_inner();
        let mut violations = Vec::new();
        if !is_visible(&stripe_customer_id, CUSTOMER_ID_CHARS_MAX) {
            let message = "It is not a Stripe id.";
            violations.push(Violation::new("stripe_customer_id", message));
        }
        let since = since_time.and_then(|time| proto_time::from_proto(&time));
        if since.is_none() {
            let message = "It is missing or not a valid time.";
            violations.push(Violation::new("since_time", message));
        }
        let Some(since) = since.filter(|_| violations.is_empty()) else {
            return Err(Fault::invalid(violations).into());
        };
        let customer = CustomerId::new(stripe_customer_id);
        let invoiced = list_invoiced_usage(&self.0, &customer, since).await?;
        Ok(Response::new(ListInvoicedUsageResponse {
            invoices: invoiced.usage.into_iter().map(Into::into).collect(),
            sums_days: invoiced.sums_days,
        }))
    }
}

impl From<InvoicedUsage> for InvoicedUsageMessage {
    fn from(usage: InvoicedUsage) -> Self {
        let InvoicedUsage {
            invoice_id,
            subscription_id,
            start,
            end,
            quantity,
            amount,
            currency,
            is_final,
        } = usage;
        Self {
            stripe_invoice_id: invoice_id.as_str().to_owned(),
            stripe_subscription_id: subscription_id.to_string(),
            start_time: Some(proto_time::to_proto(start)),
            end_time: Some(proto_time::to_proto(end)),
            quantity: quantity.normalize().to_string(),
            amount,
            currency,
            finalized: is_final,
        }
    }
}

/// Whether a text can travel in a header, too.
fn is_visible(text: &str, chars_max: usize) -> bool {
    (1..=chars_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn parse(event: proto::MeterEvent) -> Result<AskedEvent, Refusal> {
    let proto::MeterEvent {
        identifier,
        stripe_customer_id,
        value,
        event_time,
        resend_count,
    } = event;
    let invalid = |message: String| Refusal::ours("invalid_event", message);
    if !is_visible(&identifier, IDENTIFIER_CHARS_MAX) {
        let message =
            format!("identifier must have 1 to {IDENTIFIER_CHARS_MAX} visible ASCII characters.");
        return Err(invalid(message));
    }
    if !is_visible(&stripe_customer_id, CUSTOMER_ID_CHARS_MAX) {
        return Err(invalid("stripe_customer_id is not a Stripe id.".to_owned()));
    }
    let seats = SeatCount::new(value)
        .ok_or_else(|| invalid(format!("value is {value}; it must be 0 or more.")))?;
    let event_at = event_time
        .and_then(|time| proto_time::from_proto(&time))
        .and_then(|time| time.duration_trunc(TimeDelta::microseconds(1)).ok())
        .ok_or_else(|| invalid("event_time is missing or not a valid time.".to_owned()))?;
    Ok(AskedEvent {
        event: MeterEvent {
            identifier: EventIdentifier::new(identifier),
            customer_id: CustomerId::new(stripe_customer_id),
            seats,
            event_at,
        },
        resend_count,
    })
}

impl From<EventOutcome> for Outcome {
    fn from(outcome: EventOutcome) -> Self {
        match outcome {
            EventOutcome::Accepted { request_id: _ } => Self::Accepted(MeterEventAccepted {}),
            EventOutcome::Refused(refusal) => Self::Refused(refusal.into()),
            EventOutcome::Retry(EventRetry {
                delay,
                code,
                message,
            }) => Self::Retry(MeterEventRetry {
                retry_delay: Some(proto_time::duration_to_proto(delay)),
                code,
                message,
            }),
        }
    }
}
