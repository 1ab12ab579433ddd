//! `billing.stripe.v1.CustomerService`.

use std::sync::Arc;

use billing_kit::{Fault, Violation, assertion::Verifier, proto_time};
use billing_proto::{
    common::v1::{
        BillingInterval, Invoice as InvoiceMessage, InvoiceLine as InvoiceLineMessage,
        InvoiceStatus as InvoiceStatusWord, Price, PriceUnit,
        SimilarCustomer as SimilarCustomerMessage, SubscriptionPreview,
    },
    stripe::v1::{
        CreatePortalSessionRequest, CreatePortalSessionResponse, ListInvoicesRequest,
        ListInvoicesResponse, PreviewSubscriptionRequest, PreviewSubscriptionResponse,
        customer_service_server::CustomerService, preview_subscription_response::Outcome,
    },
};
use rust_decimal::Decimal;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::subscription_service::{read_deployment, read_plan};
use crate::{
    app::{
        App, create_portal_session::create_portal_session, list_invoices::list_invoices,
        preview_subscription::preview_subscription,
    },
    domain::{
        catalog::{Formula, Interval},
        ids::{CustomerId, OrganizationId, SubscriptionId},
        invoice::{Invoice, InvoiceLine, InvoicePageSize, InvoiceStatus, InvoicesWanted},
        preview::{Estimate, Intent, Preview, SimilarCustomer},
        provision::{EMAIL_CHARS_MAX, TRIAL_DAYS_MAX, TrialDays},
        webhook_event::is_name,
    },
};

/// What Stripe holds, for the gateway.
#[derive(Debug)]
pub(crate) struct CustomerDoor {
    pub(crate) app: Arc<App>,
    pub(crate) verifier: Verifier,
}

#[tonic::async_trait]
impl CustomerService for CustomerDoor {
    async fn preview_subscription(
        &self,
        request: Request<PreviewSubscriptionRequest>,
    ) -> Result<Response<PreviewSubscriptionResponse>, Status> {
        self.verifier.reader(request.metadata())?;
        let intent = intent(request.into_inner()).map_err(Fault::invalid)?;
        let outcome = match preview_subscription(&self.app, intent).await? {
            Ok(preview) => Outcome::Preview(preview.into()),
            Err(refusal) => Outcome::Refusal(refusal.into()),
        };
        Ok(Response::new(PreviewSubscriptionResponse {
            outcome: Some(outcome),
        }))
    }

    async fn list_invoices(
        &self,
        request: Request<ListInvoicesRequest>,
    ) -> Result<Response<ListInvoicesResponse>, Status> {
        self.verifier.reader(request.metadata())?;
        let wanted = wanted(request.into_inner()).map_err(Fault::invalid)?;
        let (page, upcoming) = list_invoices(&self.app, wanted).await?;
        Ok(Response::new(ListInvoicesResponse {
            invoices: page.invoices.into_iter().map(Into::into).collect(),
            next_page_token: page.next.unwrap_or_default(),
            upcoming: upcoming.map(Into::into),
        }))
    }

    async fn create_portal_session(
        &self,
        request: Request<CreatePortalSessionRequest>,
    ) -> Result<Response<CreatePortalSessionResponse>, Status> {
        let admin = self.verifier.admin(request.metadata())?;
        let CreatePortalSessionRequest { stripe_customer_id } = request.into_inner();
        let customer =
            customer(stripe_customer_id).map_err(|violation| Fault::invalid(vec![violation]))?;
        let url = create_portal_session(&self.app, &admin, &customer).await?;
        Ok(Response::new(CreatePortalSessionResponse { url }))
    }
}

fn intent(request: PreviewSubscriptionRequest) -> Result<Intent, Vec<Violation>> {
    let PreviewSubscriptionRequest {
        organization_id,
        admin_email,
        deployment_type,
        plan_type,
        trial_days,
        seat_count,
    } = request;
    let mut violations = Vec::new();
    let mut wrong = |field: &str, message: String| violations.push(Violation::new(field, message));
    let id = Uuid::try_parse(&organization_id);
    if id.is_err() {
        wrong("organization_id", "It is no UUID.".to_owned());
    }
    if admin_email.trim().is_empty() || admin_email.chars().count() > EMAIL_CHARS_MAX {
        let message = format!("It must have 1 to {EMAIL_CHARS_MAX} characters.");
        wrong("admin_email", message);
    }
    let deployment = read_deployment(deployment_type);
    if deployment.is_none() {
        wrong("deployment_type", "It is not known.".to_owned());
    }
    let plan = read_plan(plan_type);
    if plan.is_none() {
        wrong("plan_type", "It is not known.".to_owned());
    }
    let trial = TrialDays::new(trial_days);
    if trial.is_none() {
        let message = format!("It must be 0 to {TRIAL_DAYS_MAX} days.");
        wrong("trial_days", message);
    }
    if seat_count.is_some_and(i64::is_negative) {
        wrong("seat_count", "It is negative.".to_owned());
    }
    match (id, deployment, plan, trial) {
        (Ok(id), Some(deployment_type), Some(plan_type), Some(trial_days))
            if violations.is_empty() =>
        {
            Ok(Intent {
                organization_id: OrganizationId(id),
                admin_email,
                deployment_type,
                plan_type,
                trial_days,
                seats: seat_count,
            })
        }
        _ => Err(violations),
    }
}

fn wanted(request: ListInvoicesRequest) -> Result<InvoicesWanted, Vec<Violation>> {
    let ListInvoicesRequest {
        stripe_customer_id,
        stripe_subscription_id,
        page_size,
        page_token,
    } = request;
    let mut violations = Vec::new();
    let customer = customer(stripe_customer_id).map_err(|violation| violations.push(violation));
    let mut wrong = |field: &str, message: &str| violations.push(Violation::new(field, message));
    if !stripe_subscription_id.is_empty() && !is_name(&stripe_subscription_id) {
        wrong("stripe_subscription_id", "It is not a Stripe id.");
    }
    if !page_token.is_empty() && !is_name(&page_token) {
        wrong(
            "page_token",
            "The page token is invalid. Use `next_cursor` from the previous page.",
        );
    }
    let size = InvoicePageSize::parse(page_size).map_err(|message| wrong("page_size", message));
    let (Ok(customer), Ok(size), true) = (customer, size, violations.is_empty()) else {
        return Err(violations);
    };
    let subscription = Some(stripe_subscription_id).filter(|id| !id.is_empty());
    Ok(InvoicesWanted {
        customer,
        subscription: subscription.map(SubscriptionId::new),
        size,
        after: Some(page_token).filter(|token| !token.is_empty()),
    })
}

fn customer(id: String) -> Result<CustomerId, Violation> {
    if is_name(&id) {
        Ok(CustomerId::new(id))
    } else {
        Err(Violation::new(
            "stripe_customer_id",
            "It is not a Stripe id.",
        ))
    }
}

impl From<Preview> for SubscriptionPreview {
    fn from(preview: Preview) -> Self {
        let Preview {
            lookup_key,
            price,
            currency,
            unit_amount,
            formula,
            interval,
            days_until_due,
            reused,
            estimate,
            similar,
        } = preview;
        let Estimate {
            trial_end,
            period_start,
            period_end,
            quantity,
            amount,
        } = estimate;
        Self {
            price: Some(Price {
                stripe_price_id: price.to_string(),
                lookup_key,
                currency,
                unit_amount: text(unit_amount),
                unit: PriceUnit::from(formula).into(),
                interval: BillingInterval::from(interval).into(),
            }),
            days_until_due: i32::try_from(days_until_due).unwrap_or(i32::MAX),
            reused_customer_id: reused.map_or_else(String::new, |id| id.to_string()),
            trial_end_time: trial_end.map(proto_time::to_proto),
            first_period_start_time: Some(proto_time::to_proto(period_start)),
            first_period_end_time: Some(proto_time::to_proto(period_end)),
            estimated_quantity: quantity,
            estimated_amount: amount,
            similar_customers: similar.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Formula> for PriceUnit {
    fn from(formula: Formula) -> Self {
        match formula {
            Formula::Sum => Self::SeatDay,
            Formula::Last => Self::SeatPeriod,
        }
    }
}

impl From<Interval> for BillingInterval {
    fn from(interval: Interval) -> Self {
        match interval {
            Interval::Day => Self::Day,
            Interval::Week => Self::Week,
            Interval::Month => Self::Month,
            Interval::Year => Self::Year,
        }
    }
}

impl From<SimilarCustomer> for SimilarCustomerMessage {
    fn from(customer: SimilarCustomer) -> Self {
        let SimilarCustomer {
            id,
            name,
            email,
            created_at,
            organization_id,
            subscription,
        } = customer;
        Self {
            stripe_customer_id: id.to_string(),
            name,
            email,
            create_time: Some(proto_time::to_proto(created_at)),
            organization_id,
            stripe_subscription_id: subscription.unwrap_or_default(),
        }
    }
}

impl From<Invoice> for InvoiceMessage {
    fn from(invoice: Invoice) -> Self {
        let period = invoice.period();
        let Invoice {
            id,
            number,
            status,
            currency,
            total,
            remaining,
            created_at,
            due_at,
            hosted_url,
            lines,
        } = invoice;
        Self {
            stripe_invoice_id: id.unwrap_or_default(),
            number: number.unwrap_or_default(),
            status: InvoiceStatusWord::from(status).into(),
            currency,
            total_amount: total,
            remaining_amount: remaining,
            create_time: created_at.map(proto_time::to_proto),
            period_start_time: period.map(|(start, _)| proto_time::to_proto(start)),
            period_end_time: period.map(|(_, end)| proto_time::to_proto(end)),
            due_time: due_at.map(proto_time::to_proto),
            hosted_url: hosted_url.unwrap_or_default(),
            lines: lines.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<InvoiceStatus> for InvoiceStatusWord {
    fn from(status: InvoiceStatus) -> Self {
        match status {
            InvoiceStatus::Upcoming => Self::Upcoming,
            InvoiceStatus::Draft => Self::Draft,
            InvoiceStatus::Open => Self::Open,
            InvoiceStatus::Paid => Self::Paid,
            InvoiceStatus::Uncollectible => Self::Uncollectible,
            InvoiceStatus::Void => Self::Void,
        }
    }
}

impl From<InvoiceLine> for InvoiceLineMessage {
    fn from(line: InvoiceLine) -> Self {
        let InvoiceLine {
            description,
            quantity,
            unit_amount,
            amount,
            period_start,
            period_end,
        } = line;
        Self {
            description,
            quantity: quantity.map_or_else(String::new, text),
            unit_amount: unit_amount.map_or_else(String::new, text),
            amount,
            period_start_time: Some(proto_time::to_proto(period_start)),
            period_end_time: Some(proto_time::to_proto(period_end)),
        }
    }
}

fn text(number: Decimal) -> String {
    number.normalize().to_string()
}
