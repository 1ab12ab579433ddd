//! The one way to Stripe's API.
//!
//! async-stripe gives the requests, typed; the transport is ours, because theirs cannot keep a
//! caller's idempotency key across attempts, opens a connection for every request and hides the
//! response's headers.
//!
//! Architecture invariant: only what is used of an answer is decoded. async-stripe's own types decode
//! all or nothing, after Stripe did the work: one missing field that nobody reads would lose the
//! outcome.
//!
//! Architecture invariant: no secret and no body is ever logged or put into an error.

mod catalog;
mod customer_invoices;
pub(crate) mod customers;
mod form;
mod meter_events;
mod metered_invoices;
mod meters;
mod objects;
mod pace;
mod portal;
mod prices;
mod remembered;
mod similar_customers;
mod subscription_state;
pub(crate) mod subscriptions;
mod thin_events;
mod transport;
mod unknown;
mod verdict;

use billing_kit::Clock;
use stripe_client_core::{RequestBuilder, StripeMethod};

use crate::domain::ids::{MeterId, PriceId};

pub(crate) use form::{call_to_sent, call_to_sent_as};
pub(crate) use objects::{CreatedObject, StatusObject, SubscriptionObject, from_json, from_text};
pub(crate) use pace::CallRates;
pub(crate) use subscription_state::{SubscriptionPage, read_subscription};
pub(crate) use transport::{Answer, Budget, ReadError, Reply, Transport};
pub(crate) use unknown::{Unknown, UnknownKind};

use remembered::Remembered;

/// How many objects a list is asked for at a time: Stripe's most.
const PAGE_SIZE: i64 = 100;
/// How many pages of a list are read before it is taken for endless.
const PAGES_MAX: usize = 20;

/// Stripe, and what need not be asked of it again for a while.
#[derive(Debug)]
pub(crate) struct Stripe {
    pub(crate) transport: Transport,
    prices: Remembered<PriceId>,
    meters: Remembered<MeterId>,
}

impl Stripe {
    pub(crate) fn new(transport: Transport, clock: Clock) -> Self {
        Self {
            transport,
            prices: Remembered::new(clock.clone()),
            meters: Remembered::new(clock),
        }
    }

    /// An object as it is now, by its path.
    ///
    /// # Errors
    /// Stripe did not say, or has no such object.
    pub(crate) async fn retrieve(&self, path: &str) -> Result<Reply, Unknown> {
        self.ask(&RequestBuilder::new(StripeMethod::Get, path))
            .await
    }

    /// The answer to a request that changes nothing.
    async fn ask(&self, request: &RequestBuilder) -> Result<Reply, Unknown> {
        let budget = Budget::for_reads();
        match self.transport.send(request, None, budget).await? {
            Answer::Done(reply) => Ok(reply),
            Answer::Refused { refusal, .. } => Err(ReadError::Refused(refusal).into()),
        }
    }
}
