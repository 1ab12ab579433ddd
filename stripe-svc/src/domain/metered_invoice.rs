//! What an invoice asks for what the meter counted.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use crate::domain::ids::{InvoiceId, SubscriptionId};

/// An invoice of a subscription, with its lines of the catalog's product: all of these are metered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MeteredInvoice {
    pub(crate) id: InvoiceId,
    pub(crate) subscription_id: SubscriptionId,
    /// ISO 4217, in lower case.
    pub(crate) currency: String,
    /// When its lines were written down for good.
    pub(crate) finalized_at: Option<DateTime<Utc>>,
    pub(crate) lines: Vec<UsageLine>,
}

/// Usage at one price: `start <= moment < end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsageLine {
    pub(crate) start: DateTime<Utc>,
    pub(crate) end: DateTime<Utc>,
    pub(crate) quantity: Decimal,
    /// In the currency's smallest unit, before tax.
    pub(crate) amount: i64,
}

/// The metered usage on an invoice, its lines added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvoicedUsage {
    pub(crate) invoice_id: InvoiceId,
    pub(crate) subscription_id: SubscriptionId,
    pub(crate) start: DateTime<Utc>,
    pub(crate) end: DateTime<Utc>,
    pub(crate) quantity: Decimal,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) is_final: bool,
}

impl MeteredInvoice {
    /// The lines of usage that is over. A line of a period to come, which an invoice may open with,
    /// asks for nothing yet, and its usage goes on a later one.
    fn past_lines(&self) -> impl Iterator<Item = &UsageLine> {
        let over = |line: &&UsageLine| self.finalized_at.is_none_or(|at| line.end <= at);
        self.lines.iter().filter(over)
    }

    /// Its usage; `None` where it has none.
    pub(crate) fn usage(&self) -> Option<InvoicedUsage> {
        let start = self.past_lines().map(|line| line.start).min()?;
        let end = self.past_lines().map(|line| line.end).max()?;
        Some(InvoicedUsage {
            invoice_id: self.id.clone(),
            subscription_id: self.subscription_id.clone(),
            start,
            end,
            quantity: self.past_lines().map(|line| line.quantity).sum(),
            amount: self.past_lines().map(|line| line.amount).sum(),
            currency: self.currency.clone(),
            is_final: self.finalized_at.is_some(),
        })
    }
}

/// Up to where these invoices are final: usage of earlier moments is never invoiced any more. One
/// that was voided counts too, because Stripe makes no other in its place.
pub(crate) fn invoiced_until(invoices: &[MeteredInvoice]) -> Option<DateTime<Utc>> {
    let finalized = invoices.iter().filter(|it| it.finalized_at.is_some());
    finalized
        .flat_map(MeteredInvoice::past_lines)
        .map(|line| line.end)
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: u32) -> DateTime<Utc> {
        format!("2026-03-{day:02}T12:00:00Z").parse().unwrap()
    }

    fn line(start: u32, end: u32, quantity: i64) -> UsageLine {
        UsageLine {
            start: day(start),
            end: day(end),
            quantity: quantity.into(),
            amount: quantity * 10,
        }
    }

    fn invoice(finalized: Option<u32>, lines: &[UsageLine]) -> MeteredInvoice {
        MeteredInvoice {
            id: InvoiceId::new("in_1"),
            subscription_id: SubscriptionId::new("sub_1"),
            currency: "eur".to_owned(),
            finalized_at: finalized.map(day),
            lines: lines.to_vec(),
        }
    }

    #[test]
    fn the_lines_of_a_period_are_added_up() {
        let usage = invoice(Some(9), &[line(1, 4, 30), line(4, 9, 12)])
            .usage()
            .unwrap();
        assert_eq!((usage.start, usage.end), (day(1), day(9)));
        assert_eq!(
            (usage.quantity, usage.amount, usage.is_final),
            (Decimal::from(42), 420, true)
        );
        assert_eq!(invoice(Some(9), &[]).usage(), None);
    }

    #[test]
    fn a_draft_ends_nothing_and_a_line_of_a_period_to_come_neither() {
        let past = [line(1, 4, 30)];
        for (invoices, expected) in [
            (vec![invoice(None, &past)], None),
            (vec![invoice(Some(4), &past)], Some(4)),
            (vec![invoice(Some(1), &past)], None),
            (
                vec![
                    invoice(None, &[line(9, 15, 1)]),
                    invoice(Some(10), &[line(4, 9, 1)]),
                    invoice(Some(5), &past),
                ],
                Some(9),
            ),
        ] {
            assert_eq!(invoiced_until(&invoices), expected.map(day), "{invoices:?}");
        }
        assert_eq!(invoice(Some(1), &past).usage(), None);
    }
}
