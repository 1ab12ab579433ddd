//! `CancelSubscription`: ends a subscription with its period, or at once.
//!
//! At once with `invoice_now=true`: else Stripe drops what was used in the open period
//! (bencher#951). The events must be with Stripe by then: that is for the caller to see to.

use billing_kit::Fault;

use crate::{
    app::{
        App,
        carry_out::{Ended, carry_out},
        change_subscription::{changed, fault_of, store, stored},
        refresh_invoiced::refresh_invoiced,
    },
    domain::{
        call::Step,
        change::{Cancel, CancelMode, ChangeOutcome},
    },
    stripe::subscriptions,
};

/// Cancels a subscription, or goes on where an earlier run of the same operation ended.
///
/// # Errors
/// The outcome is not known yet; the same operation again goes on.
pub(crate) async fn cancel_subscription(app: &App, cancel: Cancel) -> Result<ChangeOutcome, Fault> {
    let Cancel { target, mode } = cancel;
    let id = &target.subscription_id;
    let (step, request) = match mode {
        CancelMode::AtPeriodEnd => (
            Step::CancelAtPeriodEnd,
            subscriptions::cancel_at_period_end_request(id),
        ),
        CancelMode::Now => (Step::CancelNow, subscriptions::cancel_now_request(id)),
    };
    let call = match stored(app, &target, &[step]).await?.pop() {
        Some(call) => call,
        None => store(app, &target, step, Ok(request)).await?,
    };
    match carry_out(app, call).await? {
        Ended::Succeeded { .. } => {
            refresh_invoiced(app, id).await.map_err(fault_of)?;
            changed(app, &target).await
        }
        Ended::Refused(refusal) => Ok(ChangeOutcome::Refused(refusal)),
    }
}
