//! What Stripe would make and what it has, of one organization: `…/link/preview`, `…/invoices` and
//! `…/portal-session`.

use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    response::Response,
};
use billing_kit::{Fault, proto_time};
use billing_proto::common::v1::{Invoice, InvoiceLine, SimilarCustomer, SubscriptionPreview};
use http::{HeaderMap, StatusCode};
use prost_types::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{ApiError, json},
    openapi::{self, words as schema_words},
    organizations::{LinkBody, terms_fault},
    query::{Query, organization_id},
};
use crate::{
    app::InvoicePage,
    domain::{fields, link_terms::LinkTerms, organization_filter::parse_limit, time_text, words},
    upstream::rename_field,
    web::{Web, read_body},
};

/// What a link would make and cost. Amounts are in the currency's smallest unit.
#[derive(Serialize, ToSchema)]
#[schema(as = LinkPreview)]
struct PreviewJson {
    price: PriceJson,
    days_until_due: i32,
    reused_customer_id: Option<String>,
    #[schema(format = DateTime)]
    trial_end: Option<String>,
    #[schema(format = DateTime)]
    first_period_start: Option<String>,
    #[schema(format = DateTime)]
    first_period_end: Option<String>,
    estimated_quantity: Option<i64>,
    estimated_amount: Option<i64>,
    similar_customers: Vec<SimilarCustomerJson>,
}

/// The price that applies.
#[derive(Serialize, ToSchema)]
#[schema(as = Price)]
struct PriceJson {
    id: String,
    lookup_key: String,
    currency: String,
    /// A text, because it is a decimal number.
    unit_amount: String,
    #[schema(schema_with = schema_words::price_units_or_null)]
    unit: Option<&'static str>,
    #[schema(schema_with = schema_words::billing_intervals_or_null)]
    interval: Option<&'static str>,
}

/// A customer in Stripe with the same e-mail address, or with the organization in its metadata.
#[derive(Serialize, ToSchema)]
#[schema(as = SimilarCustomer)]
struct SimilarCustomerJson {
    stripe_customer_id: String,
    name: String,
    email: String,
    #[schema(format = DateTime)]
    created_at: Option<String>,
    organization_id: Option<String>,
    stripe_subscription_id: Option<String>,
}

impl From<SubscriptionPreview> for PreviewJson {
    fn from(preview: SubscriptionPreview) -> Self {
        let (unit, interval) = (preview.unit(), preview.interval());
        let SubscriptionPreview {
            price_lookup_key,
            stripe_price_id,
            currency,
            unit_amount,
            unit: _,
            interval: _,
            days_until_due,
            reused_customer_id,
            trial_end_time,
            first_period_start_time,
            first_period_end_time,
            estimated_quantity,
            estimated_amount,
            similar_customers,
        } = preview;
        Self {
            price: PriceJson {
                id: stripe_price_id,
                lookup_key: price_lookup_key,
                currency,
                unit_amount,
                unit: words::price_unit(unit),
                interval: words::billing_interval(interval),
            },
            days_until_due,
            reused_customer_id: filled(reused_customer_id),
            trial_end: time(trial_end_time),
            first_period_start: time(first_period_start_time),
            first_period_end: time(first_period_end_time),
            estimated_quantity,
            estimated_amount,
            similar_customers: similar_customers.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<SimilarCustomer> for SimilarCustomerJson {
    fn from(customer: SimilarCustomer) -> Self {
        let SimilarCustomer {
            stripe_customer_id,
            name,
            email,
            create_time,
            organization_id,
            stripe_subscription_id,
        } = customer;
        Self {
            stripe_customer_id,
            name,
            email,
            created_at: time(create_time),
            organization_id: filled(organization_id),
            stripe_subscription_id: filled(stripe_subscription_id),
        }
    }
}

/// What a link would make and cost.
#[derive(Serialize, ToSchema)]
#[schema(as = LinkPreviewAnswer)]
pub(super) struct PreviewAnswer {
    success: bool,
    preview: PreviewJson,
}

/// Tells what a link would make and cost, and which customers in Stripe look like the same one.
///
/// The body is a link's, and nothing is done.
#[utoipa::path(
    post,
    path = "/api/admin/organizations/{id}/link/preview",
    operation_id = "previewLink",
    tag = openapi::ADMINS,
    params(("id" = Uuid, Path, description = "The organization.")),
    request_body(content = LinkBody, example = json!({
        "admin_email": "billing@acme.com", "deployment_type": "on-premise", "plan_type": "managed-cloud", "trial_days": 4,
    })),
    responses(
        (status = 200, description = "What it would make and cost.", body = PreviewAnswer),
        (status = 404, description = "There is no such organization.", body = openapi::ErrorAnswer),
        (status = 422, description = "Terms that are wrong, each named; or there is no price for them.", body = openapi::ErrorAnswer),
    ),
)]
pub(super) async fn preview_link(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let admin = web.admin_from_ours(&headers).await?;
    let id = organization_id(&id)?;
    let body = fields::object(&read_body(body).await?)?;
    let terms =
        LinkTerms::read(&body).map_err(|violations| terms_fault(Fault::invalid(violations)))?;
    let preview = web.app().preview_link(&admin, id, &terms).await;
    Ok(json(
        StatusCode::OK,
        &PreviewAnswer {
            success: true,
            preview: preview.map_err(terms_fault)?.into(),
        },
    ))
}

/// An invoice, as Stripe shows it. Amounts are in the currency's smallest unit.
#[derive(Serialize, ToSchema)]
#[schema(as = Invoice)]
struct InvoiceJson {
    id: Option<String>,
    number: Option<String>,
    #[schema(schema_with = schema_words::invoice_statuses_or_null)]
    status: Option<&'static str>,
    currency: String,
    total_amount: i64,
    remaining_amount: i64,
    #[schema(format = DateTime)]
    created_at: Option<String>,
    #[schema(format = DateTime)]
    period_start: Option<String>,
    #[schema(format = DateTime)]
    period_end: Option<String>,
    #[schema(format = DateTime)]
    due_at: Option<String>,
    hosted_url: Option<String>,
    lines: Vec<InvoiceLineJson>,
}

/// A line of an invoice.
#[derive(Serialize, ToSchema)]
#[schema(as = InvoiceLine)]
struct InvoiceLineJson {
    description: String,
    /// A text, because it is a decimal number.
    quantity: Option<String>,
    /// A text, because it is a decimal number.
    unit_amount: Option<String>,
    amount: i64,
    #[schema(format = DateTime)]
    period_start: Option<String>,
    #[schema(format = DateTime)]
    period_end: Option<String>,
}

impl From<Invoice> for InvoiceJson {
    fn from(invoice: Invoice) -> Self {
        let status = invoice.status();
        let Invoice {
            stripe_invoice_id,
            number,
            status: _,
            currency,
            total_amount,
            remaining_amount,
            create_time,
            period_start_time,
            period_end_time,
            due_time,
            hosted_url,
            lines,
        } = invoice;
        Self {
            id: filled(stripe_invoice_id),
            number: filled(number),
            status: words::invoice_status(status),
            currency,
            total_amount,
            remaining_amount,
            created_at: time(create_time),
            period_start: time(period_start_time),
            period_end: time(period_end_time),
            due_at: time(due_time),
            hosted_url: filled(hosted_url),
            lines: lines.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<InvoiceLine> for InvoiceLineJson {
    fn from(line: InvoiceLine) -> Self {
        let InvoiceLine {
            description,
            quantity,
            unit_amount,
            amount,
            period_start_time,
            period_end_time,
        } = line;
        Self {
            description,
            quantity: filled(quantity),
            unit_amount: filled(unit_amount),
            amount,
            period_start: time(period_start_time),
            period_end: time(period_end_time),
        }
    }
}

/// A page of invoices, and the one that comes next.
#[derive(Serialize, ToSchema)]
#[schema(as = Invoices)]
pub(super) struct InvoicesAnswer {
    organization_id: Uuid,
    upcoming: Option<InvoiceJson>,
    invoices: Vec<InvoiceJson>,
    next_cursor: Option<String>,
}

/// Lists an organization's invoices, the newest first, as Stripe has them now.
///
/// With the first page comes the one that is next.
#[utoipa::path(
    get,
    path = "/api/admin/organizations/{id}/invoices",
    operation_id = "listInvoices",
    tag = openapi::ADMINS,
    params(
        ("id" = Uuid, Path, description = "The organization."),
        ("limit" = Option<i32>, Query, description = "Rows of a page; more than 100 are 100.", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page of invoices.", body = InvoicesAnswer),
        (status = 404, description = "There is no such organization.", body = openapi::ErrorAnswer),
        (status = 422, description = "Stripe has the customer no more.", body = openapi::ErrorAnswer),
    ),
)]
pub(super) async fn invoices(
    State(web): State<Web>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin(&headers).await?;
    let id = organization_id(&id)?;
    let query = Query::read(query.as_deref());
    let mut violations = Vec::new();
    let page_size = parse_limit(query.get("limit"), &mut violations);
    if !violations.is_empty() {
        return Err(Fault::invalid(violations).into());
    }
    let cursor = query.get("cursor").unwrap_or_default().to_owned();
    let InvoicePage {
        invoices,
        next_page_token,
        upcoming,
    } = web
        .app()
        .list_invoices(&admin, id, page_size, cursor)
        .await
        .map_err(|fault| rename_field(fault, "page_token", "cursor"))?;
    Ok(json(
        StatusCode::OK,
        &InvoicesAnswer {
            organization_id: id,
            upcoming: upcoming.map(Into::into),
            invoices: invoices.into_iter().map(Into::into).collect(),
            next_cursor: next_page_token,
        },
    ))
}

/// A link for the customer, which ends by itself.
#[derive(Serialize, ToSchema)]
#[schema(as = PortalSession)]
pub(super) struct PortalAnswer {
    success: bool,
    url: String,
}

/// Makes a link to Stripe's customer portal, to be sent to the customer.
///
/// Each call makes a link of its own.
#[utoipa::path(
    post,
    path = "/api/admin/organizations/{id}/portal-session",
    operation_id = "createPortalSession",
    tag = openapi::ADMINS,
    params(("id" = Uuid, Path, description = "The organization.")),
    responses(
        (status = 200, description = "The link.", body = PortalAnswer),
        (status = 404, description = "There is no such organization.", body = openapi::ErrorAnswer),
        (status = 409, description = "It is not linked.", body = openapi::ErrorAnswer),
        (status = 422, description = "Stripe refused, with its reason.", body = openapi::ErrorAnswer),
    ),
)]
pub(super) async fn portal_session(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin_for_change(&headers).await?;
    let id = organization_id(&id)?;
    let url = web.app().create_portal_session(&admin, id).await?;
    Ok(json(StatusCode::OK, &PortalAnswer { success: true, url }))
}

fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn time(time: Option<Timestamp>) -> Option<String> {
    time.as_ref()
        .and_then(proto_time::from_proto)
        .map(time_text::short)
}
