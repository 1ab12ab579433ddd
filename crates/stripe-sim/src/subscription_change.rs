//! Updating, cancelling and resuming a subscription.

use crate::choice::choices;
use crate::errors::Refusal;
use crate::fields::{Fields, MAX_TEXT, Patch};
use crate::invoice_lines::unbilled;
use crate::invoices::Reason;
use crate::lifecycle;
use crate::metadata::{self, Metadata};
use crate::moment::Moment;
use crate::store::Record;
use crate::subscription_create::{
    check_collection, read_future, read_trial_end, read_trial_settings,
};
use crate::subscription_items::{self, Editor, ItemChange, ProrationBehavior};
use crate::subscriptions::{
    Cancellation, CollectionMethod, MissingPaymentMethod, PauseCollection, Status, Subscription,
};
use crate::world::{Answer, Call, World};

#[derive(Debug)]
struct Changes {
    metadata: Patch<Metadata>,
    details: Option<Cancellation>,
    cancel_at_period_end: Option<bool>,
    cancel_at: Patch<i64>,
    collection_method: Option<CollectionMethod>,
    days_until_due: Option<i64>,
    description: Patch<String>,
    trial_end: Option<i64>,
    missing_payment_method: Option<MissingPaymentMethod>,
    pause_collection: Patch<PauseCollection>,
    items: Vec<ItemChange>,
    proration: ProrationBehavior,
}

impl Changes {
    fn read(fields: &mut Fields, now: i64) -> Self {
        let cancel_at = if fields.is_empty_text("cancel_at") {
            Patch::Clear
        } else {
            read_future(fields, "cancel_at", now).map_or(Patch::Keep, Patch::Set)
        };
        Self {
            metadata: metadata::read(fields),
            details: read_details(fields),
            cancel_at_period_end: fields.boolean("cancel_at_period_end"),
            cancel_at,
            collection_method: fields.choice("collection_method"),
            days_until_due: fields.integer("days_until_due", 0..=365),
            description: fields.clearable("description", 500),
            trial_end: read_trial_end(fields, now),
            missing_payment_method: read_trial_settings(fields),
            pause_collection: read_pause(fields, now),
            items: subscription_items::read(fields),
            proration: fields.choice("proration_behavior").unwrap_or_default(),
        }
    }

    /// Whether it changes what an ended subscription no longer lets change.
    fn is_more_than_words(&self) -> bool {
        self.cancel_at_period_end.is_some()
            || self.cancel_at != Patch::Keep
            || self.collection_method.is_some()
            || self.days_until_due.is_some()
            || self.description != Patch::Keep
            || self.trial_end.is_some()
            || self.missing_payment_method.is_some()
            || self.pause_collection != Patch::Keep
            || !self.items.is_empty()
    }

    fn apply(self, world: &World, subscription: &mut Subscription, now: i64) {
        let Self {
            metadata,
            details,
            cancel_at_period_end,
            cancel_at,
            collection_method,
            days_until_due,
            description,
            trial_end,
            missing_payment_method,
            pause_collection,
            items: _,
            proration: _,
        } = self;
        pause_collection.apply(&mut subscription.pause_collection);
        metadata::merge(&mut subscription.metadata, metadata);
        description.apply(&mut subscription.description);
        if let Some(Cancellation {
            comment, feedback, ..
        }) = details
        {
            subscription.cancellation.comment = comment;
            subscription.cancellation.feedback = feedback;
        }
        if let Some(method) = collection_method {
            subscription.collection_method = method;
            if method == CollectionMethod::ChargeAutomatically {
                subscription.days_until_due = None;
            }
        }
        if days_until_due.is_some() {
            subscription.days_until_due = days_until_due;
        }
        if let Some(behavior) = missing_payment_method {
            subscription.missing_payment_method = behavior;
        }
        if let Some(end) = trial_end {
            move_trial(world, subscription, end, now);
        }
        if cancel_at != Patch::Keep {
            subscription.cancel_at_period_end = false;
            cancel_at.apply(&mut subscription.cancel_at);
        }
        if let Some(at_period_end) = cancel_at_period_end {
            subscription.cancel_at_period_end = at_period_end;
            subscription.cancel_at = None;
        }
        if subscription.cancel_at_period_end {
            subscription.cancel_at = subscription.period_end();
        }
        if subscription.cancel_at.is_none() {
            subscription.canceled_at = None;
            subscription.cancellation.requested = false;
        } else if subscription.canceled_at.is_none() {
            subscription.canceled_at = Some(now);
            subscription.cancellation.requested = true;
        }
        subscription.changed_at = now;
    }
}

/// Lengthens, shortens or starts a trial. One that ends now is settled right after.
///
/// What was used before a trial that begins in the middle of a period is billed after it.
fn move_trial(world: &World, subscription: &mut Subscription, end: i64, now: i64) {
    if subscription.status != Status::Trialing {
        if end <= now {
            return;
        }
        subscription.unbilled = unbilled(world, subscription, now, |_| true);
        subscription.status = Status::Trialing;
        subscription.trial_start = Some(now);
        for item in &mut subscription.items {
            item.period_start = now;
            item.unbilled_since = None;
        }
    }
    subscription.trial_notice_sent = false;
    subscription.trial_end = Some(end);
    subscription.billing_cycle_anchor = end;
    for item in &mut subscription.items {
        item.period_end = end;
    }
}

fn read_pause(fields: &mut Fields, now: i64) -> Patch<PauseCollection> {
    if fields.is_empty_text("pause_collection") {
        return Patch::Clear;
    }
    let pause = fields.object("pause_collection", |pause| PauseCollection {
        behavior: pause.need_choice("behavior"),
        resumes_at: read_future(pause, "resumes_at", now),
    });
    pause.map_or(Patch::Keep, Patch::Set)
}

fn read_details(fields: &mut Fields) -> Option<Cancellation> {
    fields.object("cancellation_details", |details| Cancellation {
        requested: false,
        comment: details.clearable("comment", MAX_TEXT).into_option(),
        feedback: details.choice("feedback"),
        invoice_now: false,
    })
}

/// What time it is for the subscription that the path names.
fn now_of(call: &Call<'_>) -> i64 {
    let subscription = call.world.subscriptions.get(&call.id);
    subscription.map_or(call.now, |it| call.world.time_on(&it.test_clock, call.now))
}

pub(crate) fn update(mut call: Call<'_>) -> Answer {
    let now = now_of(&call);
    let mut changes = Changes::read(&mut call.fields, now);
    if changes.cancel_at_period_end.is_some() && changes.cancel_at != Patch::Keep {
        call.fields.violate(
            "cancel_at",
            Some("parameters_exclusive"),
            "You may only specify one of these parameters: cancel_at, cancel_at_period_end.",
        );
    }
    call.fields.finish()?;
    let world = call.world;
    let found = world
        .subscriptions
        .get(&call.id)
        .zip(world.subscriptions.position(&call.id));
    let (subscription, position) =
        found.ok_or_else(|| Refusal::no_such(Subscription::NOUN, &call.id))?;
    if subscription.status.is_final() && changes.is_more_than_words() {
        return Err(Refusal::refused(
            None,
            None,
            "A canceled subscription can only update its cancellation_details and metadata.",
        ));
    }
    if changes.collection_method.is_some() || changes.days_until_due.is_some() {
        let method = changes
            .collection_method
            .unwrap_or(subscription.collection_method);
        let kept = match method {
            CollectionMethod::SendInvoice => subscription.days_until_due,
            CollectionMethod::ChargeAutomatically => None,
        };
        let days = changes.days_until_due.or(kept);
        check_collection(world, &subscription.customer, method, days)?;
    }
    let mut next = subscription.clone();
    let proration = changes.proration;
    if next.status.is_final() {
        metadata::merge(&mut next.metadata, changes.metadata);
        next.changed_at = now;
    } else {
        let mut editor = Editor {
            world,
            ids: call.ids,
            now,
            proration,
        };
        editor.edit(&mut next, std::mem::take(&mut changes.items))?;
        changes.apply(world, &mut next, now);
    }
    let mut moment = Moment {
        world: &mut *world,
        ids: &mut *call.ids,
        at: now,
    };
    if proration == ProrationBehavior::AlwaysInvoice && next.status != Status::Trialing {
        lifecycle::bill_left(&mut moment, &mut next);
    }
    moment.change_subscription(position, |it| *it = next);
    lifecycle::settle(world, call.ids, call.now);
    retrieve_at(world, position)
}

pub(crate) fn retrieve_at(world: &World, position: usize) -> Answer {
    let subscription = world.subscriptions.at(position);
    subscription
        .map(|it| it.to_value(world))
        .ok_or_else(|| Refusal::server_error(500))
}

/// Cancels at once. A subscription that has already ended is not found, as at Stripe.
pub(crate) fn cancel(mut call: Call<'_>) -> Answer {
    let now = now_of(&call);
    let invoice_now = call.fields.boolean("invoice_now").unwrap_or(false);
    let details = read_details(&mut call.fields);
    call.fields.finish()?;
    let world = call.world;
    let living = world
        .subscriptions
        .get(&call.id)
        .filter(|it| !it.status.is_final());
    let position = living.and_then(|it| world.subscriptions.position(&it.id));
    let position = position.ok_or_else(|| Refusal::no_such(Subscription::NOUN, &call.id))?;
    let mut moment = Moment {
        world: &mut *world,
        ids: &mut *call.ids,
        at: now,
    };
    let Some(mut next) = moment.world.subscriptions.at(position).cloned() else {
        return Err(Refusal::no_such(Subscription::NOUN, &call.id));
    };
    next.cancellation = Cancellation {
        requested: true,
        invoice_now,
        ..details.unwrap_or_else(|| next.cancellation.clone())
    };
    next.cancel_at_period_end = false;
    if invoice_now {
        lifecycle::bill_last(&mut moment, &mut next);
    }
    lifecycle::end(&mut next, now);
    moment.change_subscription(position, |it| *it = next);
    retrieve_at(world, position)
}

choices! {
    ResumeAnchor { Now = "now", Unchanged = "unchanged" }
}

/// Takes a paused subscription up again: a new period begins now, and its end lies on the old grid
/// of periods or on one that begins now. Guess: it need not be paid for first.
pub(crate) fn resume(mut call: Call<'_>) -> Answer {
    let anchor: ResumeAnchor = call
        .fields
        .choice("billing_cycle_anchor")
        .unwrap_or_default();
    let _there_is_nothing_to_prorate: Option<ProrationBehavior> =
        call.fields.choice("proration_behavior");
    call.fields.finish()?;
    let now = now_of(&call);
    let world = call.world;
    let found = world
        .subscriptions
        .get(&call.id)
        .zip(world.subscriptions.position(&call.id));
    let (subscription, position) =
        found.ok_or_else(|| Refusal::no_such(Subscription::NOUN, &call.id))?;
    if subscription.status != Status::Paused {
        return Err(Refusal::refused(
            None,
            None,
            "Only a paused subscription can be resumed.",
        ));
    }
    let mut next = subscription.clone();
    next.status = Status::Active;
    next.changed_at = now;
    match anchor {
        ResumeAnchor::Now => next.billing_cycle_anchor = now,
        ResumeAnchor::Unchanged => {}
    }
    for item in &mut next.items {
        item.period_end = now;
    }
    lifecycle::renew(&mut next, &lifecycle::intervals(world, subscription), now);
    let mut moment = Moment {
        world: &mut *world,
        ids: &mut *call.ids,
        at: now,
    };
    lifecycle::bill(&mut moment, &mut next, Reason::Update, Vec::new());
    moment.change_subscription(position, |it| *it = next);
    retrieve_at(world, position)
}
