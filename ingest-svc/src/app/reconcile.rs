//! Compares what was reported with what Stripe's meter counts, and what was sent with what final
//! invoices ask for: one page of a pass over all linked organizations.
//!
//! Stripe is asked first, without a transaction; then, under the organization's lock, its books are
//! read, compared and mended, and the pass moves past it. What is delivered in between is too recent
//! to be judged, so the order of the two does not matter. A crash leaves a lease that ends by itself,
//! and the pass goes on at the organization that was under way.

use std::collections::BTreeMap;

use billing_kit::{Fault, proto_time};
use billing_kit_db::{StoreError, db_fault};
use billing_proto::{
    common::v1::ErrorReason,
    stripe::v1::{
        DayUsage, GetUsageSummariesRequest, InvoicedUsage, ListInvoicedUsageRequest,
        ListInvoicedUsageResponse,
    },
};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use sea_orm::{DatabaseTransaction, TransactionTrait};
use uuid::Uuid;

use crate::{
    Parts,
    domain::{
        delivery::{AGE_MAX, backoff},
        invoiced::{InvoiceComparison, InvoicedPeriod, compare_invoices},
        reconciliation::{Comparison, Terms, compare},
    },
    store::{
        findings, missed_invoices,
        reconciliation::{self, Linked, Place},
        reporting,
    },
};

/// Organizations of a step. The worker pauses between two steps, which bounds what is asked of Stripe.
const PAGE_SIZE: usize = 10;
/// Longer than one question to stripe-svc may take; renewed after each organization.
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// How often Stripe is asked about one organization before the pass goes on without it: a good ten
/// minutes, with the pauses between.
const ATTEMPTS_MAX: i32 = 10;

/// What Stripe says of an organization.
struct Metered {
    found: BTreeMap<NaiveDate, Decimal>,
    /// The first day.
    from: NaiveDate,
    asked_at: DateTime<Utc>,
    resend_safe: bool,
    /// What its invoices ask for.
    invoices: Vec<InvoicedPeriod>,
}

/// Takes a step of a pass, or begins one when it is due; one ends `pass_interval` before the next
/// begins. Answers how many organizations were looked at; 0 when there is nothing to do now.
pub(crate) async fn reconcile(parts: &Parts, pass_interval: TimeDelta) -> Result<usize, Fault> {
    let token = parts.deps.ids.next();
    let now = parts.deps.clock.now();
    let place = reconciliation::lease(&parts.db, token, now, now + LEASE)
        .await
        .map_err(db_fault)?;
    let Some(Place {
        after_id,
        attempt_count,
    }) = place
    else {
        return Ok(0);
    };
    let limit = u64::try_from(PAGE_SIZE).map_err(Fault::internal)?;
    let page = reconciliation::linked_after(&parts.db, after_id, limit)
        .await
        .map_err(db_fault)?;
    let mut attempts = attempt_count;
    for linked in &page {
        match reconcile_one(parts, token, linked, attempts).await {
            Ok(true) => attempts = 0,
            Ok(false) => return Ok(0),
            Err(fault) => {
                let attempts = attempts.saturating_add(1);
                let next = parts.deps.clock.now() + backoff(attempts);
                reconciliation::pause(&parts.db, token, attempts, next)
                    .await
                    .map_err(db_fault)?;
                return Err(fault);
            }
        }
    }
    let now = parts.deps.clock.now();
    if page.len() < PAGE_SIZE {
        reconciliation::end_pass(&parts.db, token, now, now + pass_interval)
            .await
            .map_err(db_fault)?;
    } else {
        reconciliation::pause(&parts.db, token, 0, now)
            .await
            .map_err(db_fault)?;
    }
    Ok(page.len())
}

/// Compares one organization. Answers whether the pass is still ours to carry on.
///
/// # Errors
/// Nobody could say what the meter counts; the pass stays where it is.
async fn reconcile_one(
    parts: &Parts,
    token: Uuid,
    linked: &Linked,
    attempts: i32,
) -> Result<bool, Fault> {
    let organization_id = linked.organization_id;
    let skip = |fault: Fault| async move {
        tracing::warn!(%organization_id, "an organization is not reconciled in this pass");
        fault.log();
        let until = parts.deps.clock.now() + LEASE;
        reconciliation::move_past(&parts.db, token, organization_id, true, until)
            .await
            .map_err(db_fault)
    };
    match metered(parts, linked).await {
        Ok(metered) => keep(parts, token, linked, metered).await.map_err(db_fault),
        // Its customer is gone from Stripe; and one organization must not hold up all others.
        Err(fault) if fault.reason == ErrorReason::StripeRefused => skip(fault).await,
        Err(fault) if attempts.saturating_add(1) >= ATTEMPTS_MAX => skip(fault).await,
        Err(fault) => Err(fault),
    }
}

/// The days that are compared: those of which events can still be sent, and not before the link.
fn first_day(billing_start_at: DateTime<Utc>, now: DateTime<Utc>) -> NaiveDate {
    let oldest = (now - AGE_MAX).date_naive();
    oldest
        .max(billing_start_at.date_naive())
        .min(now.date_naive())
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

async fn metered(parts: &Parts, linked: &Linked) -> Result<Metered, Fault> {
    let asked_at = parts.deps.clock.now();
    let from = first_day(linked.billing_start_at, asked_at);
    let end = midnight(asked_at.date_naive()) + Days::new(1);
    let request = GetUsageSummariesRequest {
        stripe_customer_id: linked.stripe_customer_id.clone(),
        start_time: Some(proto_time::to_proto(midnight(from))),
        end_time: Some(proto_time::to_proto(end)),
    };
    let answer = parts
        .stripe
        .clone()
        .get_usage_summaries(request)
        .await
        .map_err(Fault::from_status)?
        .into_inner();
    Ok(Metered {
        found: answer.days.iter().map(day_of).collect::<Result<_, _>>()?,
        from,
        asked_at,
        resend_safe: answer.resend_safe,
        invoices: invoices(parts, linked, asked_at).await?,
    })
}

/// What the invoices of the last weeks ask for; none is asked for where none can be final.
async fn invoices(
    parts: &Parts,
    linked: &Linked,
    asked_at: DateTime<Utc>,
) -> Result<Vec<InvoicedPeriod>, Fault> {
    let since = asked_at - AGE_MAX;
    if linked.invoiced_until.is_none_or(|until| until < since) {
        return Ok(Vec::new());
    }
    let request = ListInvoicedUsageRequest {
        stripe_customer_id: linked.stripe_customer_id.clone(),
        since_time: Some(proto_time::to_proto(since)),
    };
    let mut stripe = parts.stripe.clone();
    let answer = stripe.list_invoiced_usage(request).await;
    let ListInvoicedUsageResponse {
        invoices,
        sums_days,
    } = answer.map_err(Fault::from_status)?.into_inner();
    if !sums_days {
        tracing::debug!("invoices are not compared: the meter's formula does not add up days");
        return Ok(Vec::new());
    }
    invoices.into_iter().map(invoiced_period).collect()
}

fn invoiced_period(usage: InvoicedUsage) -> Result<InvoicedPeriod, Fault> {
    let InvoicedUsage {
        stripe_invoice_id,
        stripe_subscription_id: _,
        start_time,
        end_time,
        quantity,
        amount: _,
        currency: _,
        finalized,
    } = usage;
    let time = |time: Option<prost_types::Timestamp>| {
        let time = time.as_ref().and_then(proto_time::from_proto);
        time.ok_or_else(|| Fault::internal("stripe-svc told an invoice without its time"))
    };
    Ok(InvoicedPeriod {
        stripe_invoice_id,
        start: time(start_time)?,
        end: time(end_time)?,
        quantity: quantity.parse().map_err(Fault::internal)?,
        is_final: finalized,
    })
}

/// Compares what was sent with what invoices ask for. Nothing is mended: a final invoice is a
/// person's to correct.
async fn keep_invoices(
    txn: &DatabaseTransaction,
    locked: &Linked,
    invoices: &[InvoicedPeriod],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let organization_id = locked.organization_id;
    let start = invoices.iter().map(|it| it.start).min();
    let end = invoices.iter().map(|it| it.end).max();
    let Some((start, end)) = start.zip(end) else {
        return Ok(());
    };
    // Whole days: which report of a day counts may be decided outside of the period.
    let (from, to) = (
        midnight(start.date_naive()),
        midnight(end.date_naive()) + Days::new(1),
    );
    let books = reconciliation::booked(txn, organization_id, from, to).await?;
    let InvoiceComparison {
        differences,
        agreeing,
    } = compare_invoices(invoices, &books, locked.trial_end_at);
    for difference in &differences {
        tracing::warn!(%organization_id, ?difference, "an invoice differs from what was sent");
    }
    findings::record_invoices(txn, organization_id, &differences, now).await?;
    findings::resolve_invoices(txn, organization_id, agreeing, now).await
}

fn day_of(usage: &DayUsage) -> Result<(NaiveDate, Decimal), Fault> {
    let DayUsage {
        day_start_time,
        value,
    } = usage;
    let start = day_start_time
        .as_ref()
        .and_then(proto_time::from_proto)
        .ok_or_else(|| Fault::internal("stripe-svc told a day that does not exist"))?;
    Ok((start.date_naive(), value.parse().map_err(Fault::internal)?))
}

/// Compares and keeps what comes of it, in one transaction with the pass's move past the organization.
async fn keep(
    parts: &Parts,
    token: Uuid,
    linked: &Linked,
    metered: Metered,
) -> Result<bool, StoreError> {
    let Metered {
        found,
        from,
        asked_at,
        resend_safe,
        invoices,
    } = metered;
    let organization_id = linked.organization_id;
    let txn = parts.db.begin().await?;
    let now = parts.deps.clock.now();
    let locked = reconciliation::lock_linked(&txn, organization_id).await?;
    let mut resent = 0;
    // Linked otherwise since Stripe was asked: the next pass compares it.
    if let Some(locked) = locked.filter(|it| {
        (&it.stripe_customer_id, it.billing_start_at)
            == (&linked.stripe_customer_id, linked.billing_start_at)
    }) {
        let ledger = reconciliation::ledger(&txn, organization_id, midnight(from)).await?;
        let terms = Terms {
            asked_at,
            billable: locked.billable,
            resend_safe,
            invoiced_until: locked.invoiced_until,
            trial_end_at: locked.trial_end_at,
        };
        let Comparison {
            differences,
            unsettled,
            missed,
        } = compare(&ledger, &found, terms);
        for difference in &differences {
            tracing::warn!(%organization_id, ?difference, "Stripe's meter differs from what was reported");
        }
        let resends: Vec<_> = differences.iter().filter_map(|it| it.resend).collect();
        resent = resends.len();
        if resent > 0 {
            reconciliation::queue_again(&txn, resends, now).await?;
            reporting::schedule(&txn, &[(organization_id, now)]).await?;
        }
        if !missed.is_empty() {
            tracing::warn!(%organization_id, ?missed, "Stripe lost reports whose invoice is final");
            reconciliation::mark_missed(&txn, missed, now).await?;
            missed_invoices::settle(&txn, vec![organization_id], now).await?;
        }
        let open = differences.iter().map(|it| it.day).chain(unsettled);
        findings::resolve_days(&txn, organization_id, from, open.collect(), now).await?;
        findings::record_days(&txn, organization_id, &differences, now).await?;
        keep_invoices(&txn, &locked, &invoices, now).await?;
    }
    if !reconciliation::move_past(&txn, token, organization_id, false, now + LEASE).await? {
        txn.rollback().await?;
        return Ok(false);
    }
    txn.commit().await?;
    if resent > 0 {
        parts.queued.notify_one();
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_with_the_link_or_35_days_ago() {
        let now: DateTime<Utc> = "2026-03-31T12:00:00Z".parse().unwrap();
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        for (start, expected) in [
            ("2026-01-01T00:00:00Z", "2026-02-24"),
            ("2026-03-30T23:59:59Z", "2026-03-30"),
            ("2026-04-02T00:00:00Z", "2026-03-31"),
        ] {
            assert_eq!(
                first_day(start.parse().unwrap(), now),
                day(expected),
                "{start}"
            );
        }
    }
}
