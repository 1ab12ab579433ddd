//! What a final invoice must ask for, by what was sent.
//!
//! Stripe's meter counts of a UTC day the event that it received last, which is the day's report with
//! the greatest timestamp; and a day belongs to the period that holds that timestamp. So where a
//! period ends in the middle of a day, the day is on one invoice or the other, and a day that is on
//! both is a finding, as is one that is on neither. Nothing is changed by itself: a final invoice is
//! corrected by a person.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;

use super::delivery::DeliveryState;

/// The metered usage on an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvoicedPeriod {
    pub(crate) stripe_invoice_id: String,
    pub(crate) start: DateTime<Utc>,
    pub(crate) end: DateTime<Utc>,
    pub(crate) quantity: Decimal,
    pub(crate) is_final: bool,
}

/// A report that is with Stripe, or may still get there.
#[derive(Debug, Clone)]
pub(crate) struct BookedReport {
    pub(crate) reported_at: DateTime<Utc>,
    pub(crate) user_count: i32,
    pub(crate) state: DeliveryState,
    /// Whether an older system sent it, by rules that are not ours.
    pub(crate) is_adopted: bool,
}

/// An invoice that asks for something else than was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvoiceDifference {
    pub(crate) period: InvoicedPeriod,
    /// Seat-days that were sent.
    pub(crate) expected: i64,
}

/// What a comparison brings.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct InvoiceComparison {
    pub(crate) differences: Vec<InvoiceDifference>,
    /// The invoices that ask for what was sent.
    pub(crate) agreeing: Vec<String>,
}

/// Compares the final invoices with our books. The others follow the meter, which is compared day by
/// day; what is still on its way, or was sent by an older system, is not judged.
pub(crate) fn compare_invoices(
    invoices: &[InvoicedPeriod],
    books: &[BookedReport],
    trial_end_at: Option<DateTime<Utc>>,
) -> InvoiceComparison {
    let mut comparison = InvoiceComparison::default();
    // What is used in the trial is free.
    let is_free = |end| trial_end_at.is_some_and(|trial_end| end <= trial_end);
    for period in invoices.iter().filter(|it| it.is_final && !is_free(it.end)) {
        let within = |it: &&BookedReport| (period.start..period.end).contains(&it.reported_at);
        let is_settled = |it: &BookedReport| it.state == DeliveryState::Sent && !it.is_adopted;
        if !books.iter().filter(within).all(is_settled) {
            continue;
        }
        let expected = counted_seats(books, period);
        if period.quantity == Decimal::from(expected) {
            comparison.agreeing.push(period.stripe_invoice_id.clone());
        } else {
            comparison.differences.push(InvoiceDifference {
                period: period.clone(),
                expected,
            });
        }
    }
    comparison
}

/// The seats of the days that belong to a period.
fn counted_seats(books: &[BookedReport], period: &InvoicedPeriod) -> i64 {
    let sent = books.iter().filter(|it| it.state == DeliveryState::Sent);
    let mut days: BTreeMap<NaiveDate, &BookedReport> = BTreeMap::new();
    for report in sent {
        let counted = days
            .entry(report.reported_at.date_naive())
            .or_insert(report);
        if report.reported_at > counted.reported_at {
            *counted = report;
        }
    }
    let within = |it: &&BookedReport| (period.start..period.end).contains(&it.reported_at);
    let counted = days.into_values().filter(within);
    counted.map(|it| i64::from(it.user_count)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-{text}:00Z").parse().unwrap()
    }

    fn period(quantity: i64) -> InvoicedPeriod {
        InvoicedPeriod {
            stripe_invoice_id: "in_1".to_owned(),
            start: at("03-01T12:00"),
            end: at("04-01T12:00"),
            quantity: quantity.into(),
            is_final: true,
        }
    }

    fn sent(time: &str, user_count: i32) -> BookedReport {
        BookedReport {
            reported_at: at(time),
            user_count,
            state: DeliveryState::Sent,
            is_adopted: false,
        }
    }

    fn books() -> Vec<BookedReport> {
        vec![
            // Before the period, and in it.
            sent("03-01T03:00", 100),
            sent("03-02T03:00", 5),
            // Of a day the last one counts.
            sent("03-03T03:00", 100),
            sent("03-03T04:00", 6),
            // The day that the period ends on belongs to the next one.
            sent("04-01T03:00", 100),
            sent("04-01T15:00", 7),
            sent("04-02T03:00", 100),
        ]
    }

    /// How a period is judged: what it should be, or nothing where it agrees or is not judged.
    fn verdict(quantity: i64, books: &[BookedReport]) -> Option<i64> {
        let comparison = compare_invoices(&[period(quantity)], books, None);
        comparison.differences.first().map(|it| it.expected)
    }

    #[test]
    fn an_invoice_asks_for_the_days_that_belong_to_its_period() {
        let comparison = compare_invoices(&[period(11)], &books(), None);
        assert_eq!(comparison.agreeing, ["in_1"]);
        assert_eq!(comparison.differences, []);
        for quantity in [0, 10, 12, 111] {
            assert_eq!(verdict(quantity, &books()), Some(11), "{quantity}");
        }
        assert_eq!(verdict(1, &[]), Some(0), "somebody else's usage");
        assert_eq!(verdict(0, &[]), None);
    }

    #[test]
    fn the_day_of_a_periods_end_is_on_the_invoice_of_its_last_report() {
        let mut books = books();
        books.retain(|it| it.reported_at != at("04-01T15:00"));
        assert_eq!(verdict(11, &books), Some(111));
    }

    #[test]
    fn what_is_not_over_is_not_judged() {
        let draft = InvoicedPeriod {
            is_final: false,
            ..period(0)
        };
        let trial_end = Some(at("04-01T12:00"));
        let nothing = InvoiceComparison::default();
        assert_eq!(compare_invoices(&[draft], &books(), None), nothing);
        assert_eq!(compare_invoices(&[period(0)], &books(), trial_end), nothing);
        for (state, is_adopted) in [
            (DeliveryState::Queued, false),
            (DeliveryState::Waiting, false),
            (DeliveryState::Sent, true),
        ] {
            let mut books = books();
            books.push(BookedReport {
                state,
                is_adopted,
                ..sent("03-09T03:00", 9)
            });
            assert_eq!(verdict(0, &books), None, "{state:?}");
        }
    }
}
