//! `/organizations/{id}/invoices`: the invoice that comes next and those that were made, as Stripe has
//! them now. While Stripe does not tell, the page says so.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    extract::{Path, RawQuery, State},
    response::Response,
};
use billing_kit::proto_time;
use billing_proto::common::v1::{ErrorReason, Invoice, InvoiceLine, InvoiceStatus};
use http::{HeaderMap, StatusCode};
use prost_types::Timestamp;
use uuid::Uuid;

use super::{
    money,
    page::{self, PageError, page},
    ui::{Frame, Moment, Section, Ui},
};
use crate::{
    app::InvoicePage,
    rest::query::{Query, organization_id, with_query},
    web::Web,
};

/// Invoices of a page.
const PAGE_SIZE: i32 = 12;

#[derive(Template)]
#[template(path = "invoices.html")]
struct InvoicesPage<'a> {
    ui: Frame<'a>,
    id: Uuid,
    title: String,
    /// That there are none to show, with what Stripe said, where it said something.
    problem: Option<String>,
    upcoming: Option<Shown>,
    invoices: Vec<Shown>,
    next: Option<String>,
}

/// An invoice as it is shown.
struct Shown {
    number: String,
    status: &'static str,
    class: &'static str,
    period: Option<(String, String)>,
    due: Option<Moment>,
    total: String,
    /// What is still to be paid, where that is something.
    remaining: Option<String>,
    /// The page that the customer has of it.
    hosted_url: Option<String>,
    lines: Vec<Line>,
}

struct Line {
    description: String,
    quantity: String,
    unit_price: String,
    amount: String,
}

/// The page.
pub(super) async fn invoices(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let id = organization_id(&id)?;
    let query = Query::read(query.as_deref());
    let cursor = query.get("cursor").unwrap_or_default().to_owned();
    let app = web.app();
    let (organization, listed) = tokio::join!(
        app.get_organization(&admin, id),
        app.list_invoices(&admin, id, PAGE_SIZE, cursor)
    );
    let organization = organization?;
    let (listed, problem) = match listed {
        Ok(listed) => (listed, None),
        Err(fault) if fault.reason == ErrorReason::InvalidArgument => return Err(fault.into()),
        Err(fault) => {
            fault.log();
            let said = page::details(&fault).unwrap_or_default();
            (InvoicePage::default(), Some(said.to_owned()))
        }
    };
    let InvoicePage {
        invoices,
        next_page_token,
        upcoming,
    } = listed;
    let path = format!("/organizations/{id}/invoices");
    let invoices_page = InvoicesPage {
        ui: ui.frame(&admin.email, Section::Billed),
        id,
        title: ui.about(ui.t.invoices_of, &organization.name),
        problem,
        upcoming: upcoming.map(|invoice| shown(&ui, invoice)),
        invoices: invoices.into_iter().map(|it| shown(&ui, it)).collect(),
        next: next_page_token.map(|next| with_query(&path, &[("cursor", &next)])),
    };
    Ok(page(StatusCode::OK, &invoices_page))
}

fn shown(ui: &Ui, invoice: Invoice) -> Shown {
    let (status, class) = status(ui, invoice.status());
    let Invoice {
        stripe_invoice_id: _,
        number,
        status: _,
        currency,
        total_amount,
        remaining_amount,
        create_time: _,
        period_start_time,
        period_end_time,
        due_time,
        hosted_url,
        lines,
    } = invoice;
    let money = |amount| money::amount(ui.language, amount, &currency);
    let day = |time: Option<Timestamp>| {
        let time = time.as_ref().and_then(proto_time::from_proto);
        time.map(|time| ui.utc_day(time))
    };
    let due = due_time.as_ref().and_then(proto_time::from_proto);
    // What is not to be paid any more is not shown as if it were.
    let is_to_pay = class == "wait" && remaining_amount != 0;
    Shown {
        number: if number.is_empty() {
            ui.t.invoice_draft_name.to_owned()
        } else {
            number
        },
        status,
        class,
        period: day(period_start_time).zip(day(period_end_time)),
        due: due.map(|due| ui.day(due)),
        total: money(total_amount),
        remaining: is_to_pay.then(|| money(remaining_amount)),
        // Nothing that a browser would run.
        hosted_url: Some(hosted_url).filter(|url| url.starts_with("https://")),
        lines: lines
            .into_iter()
            .map(|it| line(ui, it, &currency))
            .collect(),
    }
}

fn line(ui: &Ui, line: InvoiceLine, currency: &str) -> Line {
    let InvoiceLine {
        description,
        quantity,
        unit_amount,
        amount,
        // The invoice's own is shown, which spans them.
        period_start_time: _,
        period_end_time: _,
    } = line;
    let nothing = || ui.t.nothing.to_owned();
    let quantity = match quantity.parse() {
        Ok(whole) => ui.number(&whole),
        Err(_) if quantity.is_empty() => nothing(),
        Err(_) => ui.language.decimal(&quantity),
    };
    Line {
        description,
        quantity,
        unit_price: if unit_amount.is_empty() {
            nothing()
        } else {
            money::decimal(ui.language, &unit_amount, currency)
        },
        amount: money::amount(ui.language, amount, currency),
    }
}

fn status(ui: &Ui, status: InvoiceStatus) -> (&'static str, &'static str) {
    let t = ui.t;
    match status {
        InvoiceStatus::Unspecified => (t.words.unknown, "idle"),
        InvoiceStatus::Upcoming => (t.invoice_upcoming, "idle"),
        InvoiceStatus::Draft => (t.invoice_draft, "idle"),
        InvoiceStatus::Open => (t.invoice_open, "wait"),
        InvoiceStatus::Paid => (t.invoice_paid, "good"),
        InvoiceStatus::Uncollectible => (t.invoice_uncollectible, "bad"),
        InvoiceStatus::Void => (t.invoice_void, "idle"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::{row::tests::ATTACK, ui::tests::readers};

    fn invoice(hosted_url: &str) -> Invoice {
        let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
        Invoice {
            stripe_invoice_id: "in_1".to_owned(),
            number: ATTACK.to_owned(),
            status: InvoiceStatus::Open.into(),
            currency: "eur".to_owned(),
            total_amount: 123_456,
            remaining_amount: 3_456,
            create_time: None,
            period_start_time: time(1_730_419_200),
            period_end_time: time(1_733_011_200),
            due_time: time(1_733_011_200),
            hosted_url: hosted_url.to_owned(),
            lines: vec![InvoiceLine {
                description: ATTACK.to_owned(),
                quantity: "4650".to_owned(),
                unit_amount: "26.5".to_owned(),
                amount: 123_225,
                period_start_time: None,
                period_end_time: None,
            }],
        }
    }

    #[test]
    fn invoices_are_shown_with_their_lines_in_both_languages() {
        for ui in readers() {
            let page = InvoicesPage {
                ui: ui.frame("a@b.de", Section::Billed),
                id: Uuid::from_u128(7),
                title: ui.about(ui.t.invoices_of, ATTACK),
                problem: None,
                upcoming: Some(shown(&ui, invoice("javascript:alert(1)"))),
                invoices: vec![shown(&ui, invoice("https://invoice.stripe.com/i/1"))],
                next: None,
            };
            let html = page.render().unwrap();
            assert!(!html.contains("<img") && !html.contains("javascript:"));
            for part in [
                &money::amount(ui.language, 123_456, "eur"),
                &money::amount(ui.language, 3_456, "eur"),
                &money::decimal(ui.language, "26.5", "eur"),
                &ui.number(&4_650),
                "https://invoice.stripe.com/i/1",
                ui.t.invoice_open,
                ui.t.next_invoice,
            ] {
                assert!(html.contains(part), "{part} in {html}");
            }
            let away = InvoicesPage {
                problem: Some("No such customer.".to_owned()),
                upcoming: None,
                invoices: Vec::new(),
                ..page
            };
            let html = away.render().unwrap();
            assert!(html.contains(ui.t.invoices_not_known) && html.contains("No such customer."));
            assert!(!html.contains(ui.t.no_invoice));
        }
    }
}
