//! What both changes of a subscription share: the stored call, and a look at what came of it.

use billing_kit::{Fault, Violation};
use billing_kit_db::db_fault;

use crate::{
    app::{
        App,
        refresh_subscription::{Trouble, refresh_subscription},
    },
    domain::{
        call::{Call, CallRequest, CallState, Step, first_key},
        change::{ChangeOutcome, Target},
        ids::CallId,
        refusal::Refusal,
    },
    store::{calls, subscriptions},
};

/// Stores a call of an operation, to be carried out afterwards; or one that is refused before it is
/// sent, so that the same operation again is answered the same.
pub(super) async fn store(
    app: &App,
    target: &Target,
    step: Step,
    request: Result<CallRequest, Refusal>,
) -> Result<Call, Fault> {
    let id = CallId(app.ids.next());
    let path = format!("/subscriptions/{}", target.subscription_id);
    let (request, state) = match request {
        Ok(request) => (request, CallState::Open),
        // Nothing is sent, so there is nothing to repeat.
        Err(refusal) => (
            CallRequest::new(path, std::collections::BTreeMap::new()),
            CallState::Refused(refusal),
        ),
    };
    let call = Call {
        id,
        operation_id: target.operation_id,
        organization_id: target.organization_id,
        step,
        key: first_key(step, id),
        request,
        state,
        first_sent_at: None,
        last_sent_at: None,
    };
    calls::store(&app.db, &call, app.clock.now())
        .await
        .map_err(db_fault)
}

/// The calls that an operation stored before. An operation is of one organization and of one kind.
pub(super) async fn stored(app: &App, target: &Target, steps: &[Step]) -> Result<Vec<Call>, Fault> {
    let stored = calls::of_operation(&app.db, target.operation_id)
        .await
        .map_err(db_fault)?;
    let is_same =
        |call: &Call| call.organization_id == target.organization_id && steps.contains(&call.step);
    if stored.iter().all(is_same) {
        Ok(stored)
    } else {
        Err(other_terms())
    }
}

pub(super) fn other_terms() -> Fault {
    Fault::invalid(vec![Violation::new(
        "operation_id",
        "This operation was stored with other terms.",
    )])
}

/// Why what came of a change could not be seen.
pub(super) fn fault_of(trouble: Trouble) -> Fault {
    match trouble {
        Trouble::Stripe(unknown) => Fault::from(unknown),
        Trouble::Database(error) => db_fault(error),
    }
}

/// The subscription as it stands now that it was changed. It is fetched, not taken from the call's
/// answer, which may be an old one that Stripe kept under the call's key; the feed hears of it here,
/// and not only when a webhook comes.
pub(super) async fn changed(app: &App, target: &Target) -> Result<ChangeOutcome, Fault> {
    let id = &target.subscription_id;
    refresh_subscription(app, id).await.map_err(fault_of)?;
    let state = subscriptions::get(&app.db, id)
        .await
        .map_err(db_fault)?
        .ok_or_else(|| Fault::internal("a subscription that was just kept is gone"))?;
    Ok(ChangeOutcome::Changed(Box::new(state)))
}
