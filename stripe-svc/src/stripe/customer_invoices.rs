//! A customer's invoices, read from Stripe's JSON of them.

use std::str::FromStr;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;
use stripe_client_core::RequestBuilder;

use crate::{
    domain::{
        ids::{CustomerId, SubscriptionId},
        invoice::{Invoice, InvoiceLine, InvoicePage, InvoicePageSize, InvoiceStatus},
    },
    stripe::{
        Answer, Budget, ReadError, Stripe,
        form::post,
        subscription_state::{get, read_json, time, times, unreadable},
        unknown::Unknown,
    },
};

/// Stripe's code where a subscription is billed no more.
const NONE_UPCOMING: &str = "invoice_upcoming_none";

#[derive(Deserialize)]
struct PageJson {
    data: Vec<Value>,
    #[serde(default)]
    has_more: bool,
}

#[derive(Deserialize)]
struct InvoiceJson {
    id: Option<String>,
    number: Option<String>,
    /// None of an invoice that is to come.
    status: Option<String>,
    currency: String,
    total: i64,
    amount_remaining: i64,
    created: i64,
    due_date: Option<i64>,
    hosted_invoice_url: Option<String>,
    lines: LinesJson,
}

#[derive(Deserialize)]
struct LinesJson {
    data: Vec<LineJson>,
}

#[derive(Deserialize)]
struct LineJson {
    description: Option<String>,
    quantity: Option<i64>,
    quantity_decimal: Option<String>,
    amount: i64,
    period: PeriodJson,
    pricing: Option<PricingJson>,
}

#[derive(Deserialize)]
struct PeriodJson {
    start: i64,
    end: i64,
}

#[derive(Deserialize)]
struct PricingJson {
    unit_amount_decimal: Option<String>,
}

impl Stripe {
    /// A page of a customer's invoices, the newest first.
    ///
    /// # Errors
    /// Stripe did not say, or has no such customer.
    pub(crate) async fn invoices(
        &self,
        customer: &CustomerId,
        size: InvoicePageSize,
        after: Option<&str>,
    ) -> Result<InvoicePage, ReadError> {
        let limit = size.get().to_string();
        let mut query = vec![("customer", customer.as_str()), ("limit", &*limit)];
        query.extend(after.map(|id| ("starting_after", id)));
        let body = self.look(&get("/invoices", &query)).await?;
        let PageJson { data, has_more } = read(body)?;
        let invoices = data.into_iter().map(read_invoice);
        let invoices = invoices.collect::<Result<Vec<_>, _>>()?;
        let last = invoices.last().filter(|_| has_more);
        let next = last.and_then(|last| last.id.clone());
        Ok(InvoicePage { invoices, next })
    }

    /// The invoice that comes next for a subscription, as it would be now; `None` where none comes.
    ///
    /// # Errors
    /// Stripe did not say, or has no such customer or subscription.
    pub(crate) async fn upcoming_invoice(
        &self,
        customer: &CustomerId,
        subscription: &SubscriptionId,
    ) -> Result<Option<Invoice>, ReadError> {
        let form = [
            ("customer", customer.as_str()),
            ("subscription", subscription.as_str()),
        ];
        // A POST that makes nothing.
        let request = post("/invoices/create_preview", &form);
        match self.look(&request).await {
            Ok(body) => {
                let invoice = read_invoice(body)?;
                Ok(Some(Invoice {
                    id: None,
                    number: None,
                    status: InvoiceStatus::Upcoming,
                    created_at: None,
                    ..invoice
                }))
            }
            Err(ReadError::Refused(refusal)) if refusal.code == NONE_UPCOMING => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The answer to a request that changes nothing, and that Stripe may have a reason to refuse.
    pub(super) async fn look(&self, request: &RequestBuilder) -> Result<Value, ReadError> {
        let budget = Budget::for_reads();
        match self.transport.send(request, None, budget).await? {
            Answer::Done(reply) => Ok(read_json(&reply.body)?),
            Answer::Refused { refusal, .. } => Err(ReadError::Refused(refusal)),
        }
    }
}

fn read<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, Unknown> {
    serde_json::from_value(value)
        .map_err(|error| unreadable(format!("Stripe's invoice cannot be read: {error}.")))
}

fn read_invoice(value: Value) -> Result<Invoice, Unknown> {
    let InvoiceJson {
        id,
        number,
        status,
        currency,
        total,
        amount_remaining,
        created,
        due_date,
        hosted_invoice_url,
        lines,
    } = read(value)?;
    let status = match status.as_deref() {
        None => InvoiceStatus::Upcoming,
        Some(word) => InvoiceStatus::from_stripe(word).ok_or_else(|| {
            unreadable(format!("Stripe's invoice has the unknown status '{word}'."))
        })?,
    };
    let lines = lines.data.into_iter().map(read_line);
    Ok(Invoice {
        id,
        number,
        status,
        currency,
        total,
        remaining: amount_remaining,
        created_at: Some(time(created)?),
        due_at: times(due_date)?,
        hosted_url: hosted_invoice_url,
        lines: lines.collect::<Result<_, _>>()?,
    })
}

fn read_line(line: LineJson) -> Result<InvoiceLine, Unknown> {
    let LineJson {
        description,
        quantity,
        quantity_decimal,
        amount,
        period: PeriodJson { start, end },
        pricing,
    } = line;
    let quantity = match quantity_decimal {
        Some(text) => Some(decimal(&text)?),
        None => quantity.map(Decimal::from),
    };
    let unit_amount = pricing.and_then(|pricing| pricing.unit_amount_decimal);
    Ok(InvoiceLine {
        description: description.unwrap_or_default(),
        quantity,
        unit_amount: unit_amount.as_deref().map(decimal).transpose()?,
        amount,
        period_start: time(start)?,
        period_end: time(end)?,
    })
}

fn decimal(text: &str) -> Result<Decimal, Unknown> {
    Decimal::from_str(text).map_err(|_| {
        unreadable(format!(
            "Stripe's invoice has '{text}', which is not a number."
        ))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_word_or_a_number_that_is_not_known_is_not_guessed() {
        let invoice = json!({
            "id": "in_1", "number": null, "status": "open", "currency": "eur", "total": 7_420,
            "amount_remaining": 7_420, "created": 1_800_000_000, "due_date": null,
            "hosted_invoice_url": null,
            "lines": {"data": [{"description": null, "quantity": 280, "amount": 7_420,
                "period": {"start": 1_800_000_000, "end": 1_800_345_600},
                "pricing": {"unit_amount_decimal": "26.5"}}]},
        });
        let read = read_invoice(invoice.clone()).unwrap();
        assert_eq!(read.status, InvoiceStatus::Open);
        let line = &read.lines[0];
        assert_eq!(line.quantity, Some(Decimal::from(280)));
        assert_eq!(line.unit_amount, Some(Decimal::new(265, 1)));
        for (field, wrong) in [
            ("/status", json!("frozen")),
            ("/total", json!("7420")),
            ("/lines/data/0/pricing/unit_amount_decimal", json!("much")),
            ("/lines/data/0/period/start", json!(i64::MAX)),
        ] {
            let mut value = invoice.clone();
            *value.pointer_mut(field).unwrap() = wrong;
            assert!(read_invoice(value).is_err(), "{field}");
        }
    }
}
