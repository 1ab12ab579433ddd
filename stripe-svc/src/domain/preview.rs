//! What a link would cost: an estimate for the admin, by the catalog and the latest report.

use chrono::{DateTime, Months, TimeDelta, Utc};
use rust_decimal::{Decimal, RoundingStrategy, prelude::ToPrimitive};

use crate::domain::{
    catalog::{Formula, Interval},
    ids::{CustomerId, OrganizationId, PriceId},
    provision::TrialDays,
    terms::{DeploymentType, PlanType},
};

const MONTHS_OF_A_YEAR: u32 = 12;

/// A link that somebody thinks of.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    pub(crate) organization_id: OrganizationId,
    pub(crate) admin_email: String,
    pub(crate) deployment_type: DeploymentType,
    pub(crate) plan_type: PlanType,
    pub(crate) trial_days: TrialDays,
    /// Of the latest report; none if there is none.
    pub(crate) seats: Option<i64>,
}

/// What would come of it.
#[derive(Debug, Clone)]
pub(crate) struct Preview {
    pub(crate) lookup_key: String,
    pub(crate) price: PriceId,
    pub(crate) currency: String,
    /// In the currency's smallest unit.
    pub(crate) unit_amount: Decimal,
    pub(crate) formula: Formula,
    pub(crate) interval: Interval,
    pub(crate) days_until_due: u32,
    /// The customer that an earlier link left.
    pub(crate) reused: Option<CustomerId>,
    pub(crate) estimate: Estimate,
    pub(crate) similar: Vec<SimilarCustomer>,
}

/// The first period that is paid for, and what it would cost if every day were as the latest report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Estimate {
    pub(crate) trial_end: Option<DateTime<Utc>>,
    pub(crate) period_start: DateTime<Utc>,
    pub(crate) period_end: DateTime<Utc>,
    /// Seat-days, or seats where the period's last day stands for it; none without a report.
    pub(crate) quantity: Option<i64>,
    /// In the currency's smallest unit.
    pub(crate) amount: Option<i64>,
}

impl Estimate {
    /// Were it linked now. `None` where the calendar ends before the period does.
    pub(crate) fn of(
        now: DateTime<Utc>,
        trial: TrialDays,
        interval: Interval,
        formula: Formula,
        unit_amount: Decimal,
        seats: Option<i64>,
    ) -> Option<Self> {
        let trial_end = match trial.days() {
            Some(days) => Some(now.checked_add_signed(TimeDelta::days(i64::from(days)))?),
            None => None,
        };
        let period_start = trial_end.unwrap_or(now);
        let period_end = after(period_start, interval)?;
        let each = match formula {
            // One report a day.
            Formula::Sum => (period_end - period_start).num_days(),
            Formula::Last => 1,
        };
        let quantity = seats.and_then(|seats| seats.checked_mul(each));
        let exact = quantity.and_then(|it| Decimal::from(it).checked_mul(unit_amount));
        let rounding = RoundingStrategy::MidpointAwayFromZero;
        let amount = exact.map(|it| it.round_dp_with_strategy(0, rounding));
        Some(Self {
            trial_end,
            period_start,
            period_end,
            quantity,
            amount: amount.and_then(|it| it.to_i64()),
        })
    }
}

/// The same moment one interval later; of a month that is too short its last day, as Stripe has it.
fn after(start: DateTime<Utc>, interval: Interval) -> Option<DateTime<Utc>> {
    match interval {
        Interval::Day => start.checked_add_signed(TimeDelta::days(1)),
        Interval::Week => start.checked_add_signed(TimeDelta::weeks(1)),
        Interval::Month => start.checked_add_months(Months::new(1)),
        Interval::Year => start.checked_add_months(Months::new(MONTHS_OF_A_YEAR)),
    }
}

/// A customer in Stripe that may be the organization's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SimilarCustomer {
    pub(crate) id: CustomerId,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) created_at: DateTime<Utc>,
    /// The organization in its metadata, to the letter.
    pub(crate) organization_id: String,
    /// Its live subscription on our meter.
    pub(crate) subscription: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn estimate(now: &str, trial: i32, formula: Formula, seats: Option<i64>) -> Estimate {
        let trial = TrialDays::new(trial).unwrap();
        let price = "26.5".parse().unwrap();
        Estimate::of(time(now), trial, Interval::Month, formula, price, seats).unwrap()
    }

    #[test]
    fn the_first_paid_period_begins_when_the_trial_ends() {
        let four_days = estimate("2026-01-27T09:00:00Z", 4, Formula::Sum, Some(10));
        assert_eq!(four_days.trial_end, Some(time("2026-01-31T09:00:00Z")));
        assert_eq!(four_days.period_start, time("2026-01-31T09:00:00Z"));
        // February has no 31st.
        assert_eq!(four_days.period_end, time("2026-02-28T09:00:00Z"));
        // 10 seats for 28 days at 26.5 cents.
        assert_eq!(four_days.quantity, Some(280));
        assert_eq!(four_days.amount, Some(7_420));
    }

    #[test]
    fn amounts_are_rounded_half_up_to_a_cent() {
        let one = estimate("2026-03-01T00:00:00Z", 0, Formula::Sum, Some(1));
        // 31 × 26.5 = 821.5
        assert_eq!((one.trial_end, one.amount), (None, Some(822)));
    }

    #[test]
    fn where_the_last_day_stands_for_the_period_days_do_not_count() {
        let last = estimate("2026-03-01T00:00:00Z", 0, Formula::Last, Some(10));
        assert_eq!((last.quantity, last.amount), (Some(10), Some(265)));
    }

    #[test]
    fn nothing_is_estimated_without_a_report_and_nothing_overflows() {
        let none = estimate("2026-03-01T00:00:00Z", 0, Formula::Sum, None);
        assert_eq!((none.quantity, none.amount), (None, None));
        let endless = estimate("2026-03-01T00:00:00Z", 0, Formula::Sum, Some(i64::MAX));
        assert_eq!((endless.quantity, endless.amount), (None, None));
    }
}
