//! A call that creates or changes something in Stripe, as it is stored before it is sent.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use crate::domain::{
    ids::{CallId, CustomerId, IdempotencyKey, OperationId, OrganizationId},
    refusal::Refusal,
};

/// How long a call of unknown outcome may be sent again under its key. Stripe keeps a key for 24
/// hours at least; the hour between is for clocks that disagree and for requests still under way.
pub(crate) const REPEAT_HORIZON: TimeDelta = TimeDelta::hours(23);

/// How long after it was last sent a call may still be under way, in this process or another: more
/// than any request of ours may take (a minute) plus what Stripe may take to end it.
pub(crate) const IN_FLIGHT_MAX: TimeDelta = TimeDelta::minutes(5);

/// How long a failure that Stripe saved under a key must stand before the key is given up.
pub(crate) const SPENT_KEY_PAUSE: TimeDelta = TimeDelta::seconds(10);

/// What a stored call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Sees to it that the organization has a customer on the operation's terms: creates it, or
    /// brings the one that an earlier operation left up to date.
    CreateCustomer,
    /// Brings the customer that an admin chose to the operation's terms, and makes it the organization's.
    /// It is stored before the subscription, so that nobody else adopts the customer, and sent after it.
    AdoptCustomer,
    CreateSubscription,
    /// Changes the address that a customer's invoices go to.
    UpdateCustomer,
    /// Takes back the address that a link gave a customer who had none: its subscription was refused.
    RestoreCustomer,
    /// Changes the price of a subscription's item.
    UpdateSubscription,
    CancelAtPeriodEnd,
    CancelNow,
}

impl Step {
    const ALL: [Self; 8] = [
        Self::CreateCustomer,
        Self::AdoptCustomer,
        Self::CreateSubscription,
        Self::UpdateCustomer,
        Self::RestoreCustomer,
        Self::UpdateSubscription,
        Self::CancelAtPeriodEnd,
        Self::CancelNow,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::CreateCustomer => "create_customer",
            Self::AdoptCustomer => "adopt_customer",
            Self::CreateSubscription => "create_subscription",
            Self::UpdateCustomer => "update_customer",
            Self::RestoreCustomer => "restore_customer",
            Self::UpdateSubscription => "update_subscription",
            Self::CancelAtPeriodEnd => "cancel_at_period_end",
            Self::CancelNow => "cancel_now",
        }
    }

    pub(crate) fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == word)
    }

    /// Whether the call is a DELETE. Of these Stripe keeps no key: one that is repeated finds nothing
    /// to delete any more.
    pub(crate) fn is_delete(self) -> bool {
        match self {
            Self::CancelNow => true,
            Self::CreateCustomer
            | Self::AdoptCustomer
            | Self::CreateSubscription
            | Self::UpdateCustomer
            | Self::RestoreCustomer
            | Self::UpdateSubscription
            | Self::CancelAtPeriodEnd => false,
        }
    }
}

/// A request to Stripe, a POST unless its step says otherwise: where to, and its form's pairs. Sorted,
/// so that a resumed call repeats the first to the letter: under one key other parameters are an
/// error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallRequest {
    pub(crate) path: String,
    pub(crate) form: BTreeMap<String, String>,
}

impl CallRequest {
    pub(crate) fn new(path: impl Into<String>, form: BTreeMap<String, String>) -> Self {
        Self {
            path: path.into(),
            form,
        }
    }

    /// A value of the form.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.form.get(name).map(String::as_str)
    }

    /// As it stands in `stripe_calls.params`.
    pub(crate) fn to_params(&self) -> Value {
        let form = self.form.iter();
        let form: Map<_, _> = form.map(|(k, v)| (k.clone(), v.clone().into())).collect();
        let mut params = Map::new();
        params.insert("path".to_owned(), self.path.clone().into());
        params.insert("form".to_owned(), form.into());
        params.into()
    }

    /// Reads [`Self::to_params`] back; `None` where the row was changed by hand.
    pub(crate) fn from_params(params: &Value) -> Option<Self> {
        let form = params.get("form")?.as_object()?.iter();
        let form = form.map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())));
        Some(Self {
            path: params.get("path")?.as_str()?.to_owned(),
            form: form.collect::<Option<_>>()?,
        })
    }
}

/// What is known of a call's end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CallState {
    /// Not sent, or sent with an unknown outcome.
    Open,
    Succeeded {
        /// The object that it made or changed.
        object_id: String,
        /// That object as Stripe answered.
        response: Value,
    },
    Refused(Refusal),
}

/// A stored call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) operation_id: OperationId,
    pub(crate) organization_id: OrganizationId,
    pub(crate) step: Step,
    pub(crate) key: IdempotencyKey,
    pub(crate) request: CallRequest,
    pub(crate) state: CallState,
    pub(crate) first_sent_at: Option<DateTime<Utc>>,
    pub(crate) last_sent_at: Option<DateTime<Utc>>,
}

/// What may be done with an open call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextMove {
    /// Send it, under its key.
    Send,
    /// Too old to be repeated, too recent to be judged: it may be under way.
    Wait,
    /// Look in Stripe for what it did.
    LookUp,
}

impl Call {
    /// What may be done at `now` with this call, if it is open.
    pub(crate) fn next_move(&self, now: DateTime<Utc>) -> NextMove {
        let is_older = |time: Option<DateTime<Utc>>, than| time.is_some_and(|t| now - t >= than);
        if !is_older(self.first_sent_at, REPEAT_HORIZON) {
            NextMove::Send
        } else if is_older(self.last_sent_at, IN_FLIGHT_MAX) {
            NextMove::LookUp
        } else {
            NextMove::Wait
        }
    }

    /// The customer that is there already and that this call changes; none where it makes one.
    pub(crate) fn changed_customer(&self) -> Option<CustomerId> {
        let id = self.request.path.strip_prefix("/customers/");
        id.map(CustomerId::new)
    }

    /// Whether the failure that Stripe saved under this call's key has stood long enough.
    pub(crate) fn may_give_up_key(&self, now: DateTime<Utc>) -> bool {
        self.first_sent_at
            .is_some_and(|sent| now - sent >= SPENT_KEY_PAUSE)
    }
}

/// The key that a new call is first sent under: made of its row's id, and of nothing that could be
/// made a second time.
pub(crate) fn first_key(step: Step, id: CallId) -> IdempotencyKey {
    IdempotencyKey::new(format!("{}-{id}", step.as_str()))
}

/// The key that replaces one which cannot be used any more; `fresh` is a new id.
pub(crate) fn next_key(step: Step, id: CallId, fresh: uuid::Uuid) -> IdempotencyKey {
    IdempotencyKey::new(format!("{}-{id}-{fresh}", step.as_str()))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn call(first_sent_ago: Option<TimeDelta>, last_sent_ago: Option<TimeDelta>) -> Call {
        let now = DateTime::UNIX_EPOCH;
        Call {
            id: CallId(Uuid::nil()),
            operation_id: OperationId(Uuid::nil()),
            organization_id: OrganizationId(Uuid::nil()),
            step: Step::CreateCustomer,
            key: IdempotencyKey::new("k"),
            request: CallRequest::new("/customers", BTreeMap::new()),
            state: CallState::Open,
            first_sent_at: first_sent_ago.map(|ago| now - ago),
            last_sent_at: last_sent_ago.map(|ago| now - ago),
        }
    }

    /// carbon#252: a provider's key window ended, and a replay billed again.
    #[test]
    fn a_call_is_repeated_for_23_hours_and_then_never() {
        let h = TimeDelta::hours;
        let m = TimeDelta::minutes;
        for (first, last, expected) in [
            (None, None, NextMove::Send),
            (Some(h(0)), Some(h(0)), NextMove::Send),
            (Some(h(22)), Some(h(22)), NextMove::Send),
            (Some(h(23)), Some(h(20)), NextMove::LookUp),
            (Some(h(23)), Some(m(4)), NextMove::Wait),
            (Some(h(48)), Some(m(5)), NextMove::LookUp),
        ] {
            let call = call(first, last);
            assert_eq!(call.next_move(DateTime::UNIX_EPOCH), expected, "{call:?}");
        }
    }

    #[test]
    fn a_stored_request_reads_back_to_the_letter() {
        let form = [("name", "Café & Co"), ("metadata[organization_id]", "1")];
        let form = form.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let request = CallRequest::new("/customers", form);
        assert_eq!(
            CallRequest::from_params(&request.to_params()),
            Some(request)
        );
        assert_eq!(CallRequest::from_params(&Value::Null), None);
    }
}
