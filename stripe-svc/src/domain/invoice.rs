//! Invoices, as far as a person wants to see them.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use crate::domain::ids::{CustomerId, SubscriptionId};

/// Invoices of a page, where the caller does not say.
const SIZE_DEFAULT: u8 = 12;
/// Stripe's longest page.
const SIZE_MAX: u8 = 100;

/// How an invoice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InvoiceStatus {
    /// Stripe has not made it yet.
    Upcoming,
    Draft,
    Open,
    Paid,
    Uncollectible,
    Void,
}

impl InvoiceStatus {
    /// Stripe's word for a status of an invoice that is there.
    pub(crate) fn from_stripe(word: &str) -> Option<Self> {
        match word {
            "draft" => Some(Self::Draft),
            "open" => Some(Self::Open),
            "paid" => Some(Self::Paid),
            "uncollectible" => Some(Self::Uncollectible),
            "void" => Some(Self::Void),
            _ => None,
        }
    }
}

/// An invoice. Amounts are in the currency's smallest unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invoice {
    /// None while it is to come.
    pub(crate) id: Option<String>,
    pub(crate) number: Option<String>,
    pub(crate) status: InvoiceStatus,
    pub(crate) currency: String,
    pub(crate) total: i64,
    pub(crate) remaining: i64,
    /// None while it is to come.
    pub(crate) created_at: Option<DateTime<Utc>>,
    pub(crate) due_at: Option<DateTime<Utc>>,
    pub(crate) hosted_url: Option<String>,
    pub(crate) lines: Vec<InvoiceLine>,
}

impl Invoice {
    /// What it is for, over its lines. (Stripe's own period of an invoice is the one in which it was
    /// made, which for usage is the one before.)
    pub(crate) fn period(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let start = self.lines.iter().map(|line| line.period_start).min()?;
        let end = self.lines.iter().map(|line| line.period_end).max()?;
        Some((start, end))
    }
}

/// A line of an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvoiceLine {
    pub(crate) description: String,
    pub(crate) quantity: Option<Decimal>,
    pub(crate) unit_amount: Option<Decimal>,
    pub(crate) amount: i64,
    pub(crate) period_start: DateTime<Utc>,
    pub(crate) period_end: DateTime<Utc>,
}

/// Which invoices are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvoicesWanted {
    pub(crate) customer: CustomerId,
    /// Whose next invoice is looked for.
    pub(crate) subscription: Option<SubscriptionId>,
    pub(crate) size: InvoicePageSize,
    /// Behind which invoice the page begins.
    pub(crate) after: Option<String>,
}

/// How many invoices a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InvoicePageSize(u8);

impl InvoicePageSize {
    /// 0 is the default; what is too large is the most.
    pub(crate) fn parse(size: i32) -> Result<Self, &'static str> {
        match size {
            ..0 => Err("It is negative."),
            0 => Ok(Self(SIZE_DEFAULT)),
            size => Ok(Self(u8::try_from(size).unwrap_or(SIZE_MAX).min(SIZE_MAX))),
        }
    }

    pub(crate) fn get(self) -> u8 {
        self.0
    }
}

/// A page of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvoicePage {
    pub(crate) invoices: Vec<Invoice>,
    /// Behind which the next page begins; none after the last.
    pub(crate) next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_at_most_what_stripe_gives() {
        for (asked, expected) in [(0, Ok(12)), (1, Ok(1)), (100, Ok(100)), (1_000, Ok(100))] {
            assert_eq!(
                InvoicePageSize::parse(asked).map(InvoicePageSize::get),
                expected
            );
        }
        assert!(InvoicePageSize::parse(-1).is_err());
    }

    #[test]
    fn an_invoice_is_for_all_that_its_lines_are_for() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let line = |start, end| InvoiceLine {
            description: String::new(),
            quantity: None,
            unit_amount: None,
            amount: 0,
            period_start: time(start),
            period_end: time(end),
        };
        let mut invoice = Invoice {
            id: None,
            number: None,
            status: InvoiceStatus::Upcoming,
            currency: "eur".to_owned(),
            total: 0,
            remaining: 0,
            created_at: None,
            due_at: None,
            hosted_url: None,
            lines: Vec::new(),
        };
        assert_eq!(invoice.period(), None);
        invoice.lines = vec![
            line("2026-03-11T00:00:00Z", "2026-04-01T00:00:00Z"),
            line("2026-03-01T00:00:00Z", "2026-03-11T00:00:00Z"),
        ];
        let whole = (time("2026-03-01T00:00:00Z"), time("2026-04-01T00:00:00Z"));
        assert_eq!(invoice.period(), Some(whole));
    }
}
