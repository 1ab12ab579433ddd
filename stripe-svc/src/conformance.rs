//! The service's own client of Stripe, for the check that Stripe is what we take it for
//! (`cargo xtask stripe-conformance`): the very requests that are sent, and the very reading of the
//! answers.
//!
//! Architecture invariant: nothing is decided here. A request or a reading that stood only here would
//! be checked for nothing.

use std::{collections::BTreeMap, time::Duration};

use billing_kit::Clock;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde_json::Value;
use stripe_client_core::{RequestBuilder, StripeMethod};
use uuid::Uuid;

use crate::{
    config::StripeAccess,
    domain::{
        call::CallRequest,
        catalog::Catalog,
        ids::{
            CustomerId, EventId, EventIdentifier, IdempotencyKey, OperationId, OrganizationId,
            PriceId, SubscriptionId,
        },
        meter_error::read_reports,
        meter_event::{EventOutcome, MeterEvent, SeatCount, judge_refusal},
        provision::{Provision, TrialDays},
        refusal::Refusal,
        signature,
        stored_event::{EventState, StoredEvent},
        terms::{DeploymentType, PlanType},
        usage_days::UsageDays,
    },
    stripe::{
        Answer, Budget, Stripe, Transport, Unknown, UnknownKind, call_to_sent_as, customers,
        read_subscription, subscriptions,
    },
};

/// How long one request may take, repetitions included, and how often it is tried.
const REQUEST_MAX: Duration = Duration::from_secs(30);
const ATTEMPTS_MAX: u32 = 5;
const CONNECTIONS_MAX: usize = 4;

/// An organization that is linked, as far as Stripe gets to see it.
#[derive(Debug, Clone)]
pub struct Link {
    /// The operation that links it.
    pub operation: Uuid,
    /// The organization.
    pub organization: Uuid,
    /// Its name.
    pub name: String,
    /// The address that invoices go to.
    pub email: String,
}

/// A request as the service sends it.
#[derive(Debug, Clone)]
pub struct Request {
    request: CallRequest,
    is_delete: bool,
}

impl Request {
    fn post(request: CallRequest) -> Self {
        Self {
            request,
            is_delete: false,
        }
    }

    /// The same with one parameter more, such as the test clock that nobody has in production.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.request.form.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// A refusal as the service reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Stripe's code, or its type where it gives none.
    pub code: String,
    /// The parameter at fault.
    pub param: Option<String>,
    /// Stripe's sentence.
    pub message: String,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let Refusal {
            code,
            message,
            param,
            request_id: _,
        } = refusal;
        Self {
            code,
            param,
            message,
        }
    }
}

/// What the service takes an answer for.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// It is done; the object.
    Done(Value),
    /// A final no.
    Refused(Refused),
    /// Not known, or not now.
    Unknown {
        /// Which kind of not knowing.
        kind: &'static str,
        /// Stripe's code or ours.
        code: String,
    },
}

impl From<Unknown> for Said {
    fn from(unknown: Unknown) -> Self {
        let kind = match unknown.kind {
            UnknownKind::NoAnswer => "no answer",
            UnknownKind::Later => "later",
            UnknownKind::Broken => "broken",
            UnknownKind::KeySpent => "key spent",
            UnknownKind::Ours => "ours",
            UnknownKind::Unreadable => "unreadable",
        };
        Self::Unknown {
            kind,
            code: unknown.code,
        }
    }
}

/// A number of seats at a moment.
#[derive(Debug, Clone)]
pub struct Event {
    /// The meter's event name.
    pub event_name: String,
    /// What Stripe tells two events apart by.
    pub identifier: String,
    /// The customer.
    pub customer: String,
    /// How many.
    pub seats: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// What the service takes the answer to a meter event for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventSaid {
    /// Stripe has it.
    Accepted,
    /// Stripe will never have it.
    Refused(Refused),
    /// To be sent again; the code.
    Retry(String),
}

/// A subscription as the service reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Our word for how it stands.
    pub status: &'static str,
    /// The end of its trial.
    pub trial_end: Option<DateTime<Utc>>,
    /// Its current period.
    pub current_period_end: Option<DateTime<Utc>>,
    /// When it is going to end.
    pub cancel_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// The organization of its metadata.
    pub organization: Option<Uuid>,
    /// Whether its customer was deleted.
    pub customer_deleted: bool,
    /// What Stripe does with its invoices, while their collection is paused.
    pub collection_pause: Option<&'static str>,
}

/// The client, with the catalog of the check.
#[derive(Debug)]
pub struct Client {
    stripe: Stripe,
    catalog: Catalog,
    clock: Clock,
}

impl Client {
    /// Connects when it is first used.
    ///
    /// # Errors
    /// The client cannot be built.
    pub fn new(access: &StripeAccess, catalog: Catalog) -> Result<Self, String> {
        let clock = Clock::system();
        let transport = Transport::new(access, CONNECTIONS_MAX)?;
        Ok(Self {
            stripe: Stripe::new(transport, clock.clone()),
            catalog,
            clock,
        })
    }

    /// The meter's event name.
    pub fn event_name(&self) -> &str {
        &self.catalog.meter.event_name
    }

    /// The request that makes an organization's customer.
    pub fn customer(&self, link: &Link) -> Request {
        Request::post(customers::create_request(&provision(link, 0)))
    }

    /// The request that changes where a customer's invoices go.
    pub fn email(&self, customer: &str, email: &str) -> Request {
        Request::post(customers::email_request(&CustomerId::new(customer), email))
    }

    /// The request that subscribes an organization's customer.
    pub fn subscription(
        &self,
        link: &Link,
        trial_days: i32,
        customer: &str,
        price: &str,
    ) -> Request {
        Request::post(subscriptions::create_request(
            &provision(link, trial_days),
            &CustomerId::new(customer),
            &PriceId::new(price),
            self.catalog.days_until_due,
        ))
    }

    /// The request that changes the price of a subscription's item.
    pub fn price_change(&self, subscription: &str, item: &str, price: &str) -> Request {
        let subscription = SubscriptionId::new(subscription);
        let price = PriceId::new(price);
        Request::post(subscriptions::price_request(&subscription, item, &price))
    }

    /// The request that lets a subscription end with its period.
    pub fn cancel_at_period_end(&self, subscription: &str) -> Request {
        let subscription = SubscriptionId::new(subscription);
        Request::post(subscriptions::cancel_at_period_end_request(&subscription))
    }

    /// The request that ends a subscription at once and invoices what was used.
    pub fn cancel_now(&self, subscription: &str) -> Request {
        let subscription = SubscriptionId::new(subscription);
        Request {
            request: subscriptions::cancel_now_request(&subscription),
            is_delete: true,
        }
    }

    /// Sends a request under a key.
    pub async fn send(&self, request: &Request, key: &str) -> Said {
        let sent = call_to_sent_as(&request.request, request.is_delete);
        self.send_built(&sent, Some(&IdempotencyKey::new(key)))
            .await
    }

    /// Reads whatever is at a path.
    pub async fn get(&self, path: &str) -> Said {
        let request = RequestBuilder::new(StripeMethod::Get, path);
        self.send_built(&request, None).await
    }

    async fn send_built(&self, request: &RequestBuilder, key: Option<&IdempotencyKey>) -> Said {
        let budget = Budget::within(REQUEST_MAX, ATTEMPTS_MAX);
        match self.stripe.transport.send(request, key, budget).await {
            Ok(Answer::Done(reply)) => match serde_json::from_slice(&reply.body) {
                Ok(value) => Said::Done(value),
                Err(error) => Said::Unknown {
                    kind: "unreadable",
                    code: error.to_string(),
                },
            },
            Ok(Answer::Refused { refusal, .. }) => Said::Refused(refusal.into()),
            Err(unknown) => unknown.into(),
        }
    }

    /// Sends a meter event under a key.
    ///
    /// # Errors
    /// What came of it is not known.
    pub async fn meter_event(&self, event: &Event, key: &str) -> Result<EventSaid, String> {
        let seats = SeatCount::new(event.seats).ok_or("the seats are negative")?;
        let stored = StoredEvent {
            event: MeterEvent {
                identifier: EventIdentifier::new(&*event.identifier),
                customer_id: CustomerId::new(&*event.customer),
                seats,
                event_at: event.at,
            },
            event_name: event.event_name.clone(),
            state: EventState::Open,
            attempt_count: 1,
            first_sent_at: event.at,
            resend_count: 0,
        };
        let (meter, key) = (&self.catalog.meter, IdempotencyKey::new(key));
        let budget = Budget::within(REQUEST_MAX, ATTEMPTS_MAX);
        let sent = self.stripe.send_event(&stored, meter, &key, budget).await;
        let outcome = match sent.map_err(told)? {
            Answer::Done(_) => return Ok(EventSaid::Accepted),
            Answer::Refused { refusal, .. } => {
                judge_refusal(&stored.event, refusal, self.clock.now())
            }
        };
        Ok(match outcome {
            EventOutcome::Accepted { .. } => EventSaid::Accepted,
            EventOutcome::Refused(refusal) => EventSaid::Refused(refusal.into()),
            EventOutcome::Retry(retry) => EventSaid::Retry(retry.code),
        })
    }

    /// The price of a lookup key.
    ///
    /// # Errors
    /// Stripe did not say.
    pub async fn price(&self, lookup_key: &str) -> Result<Option<String>, String> {
        let price = self.stripe.price(lookup_key).await.map_err(told)?;
        Ok(price.map(|price| price.to_string()))
    }

    /// The customer that an operation made, found as after 23 hours.
    ///
    /// # Errors
    /// Stripe did not say.
    pub async fn find_customer(&self, link: &Link) -> Result<Option<String>, String> {
        let operation = OperationId(link.operation);
        let organization = OrganizationId(link.organization);
        let found = self
            .stripe
            .find_customer(&link.email, operation, organization);
        Ok(found.await.map_err(told)?.map(|id| id.to_string()))
    }

    /// The subscription that an operation made, found as after 23 hours.
    ///
    /// # Errors
    /// Stripe did not say.
    pub async fn find_subscription(
        &self,
        customer: &str,
        link: &Link,
    ) -> Result<Option<String>, String> {
        let operation = OperationId(link.operation);
        let found = self.stripe.find_subscription(customer, operation);
        found.await.map_err(told)
    }

    /// The subscription beside which another would bill everything twice.
    ///
    /// # Errors
    /// Stripe did not say.
    pub async fn billing_subscription(&self, customer: &str) -> Result<Option<String>, String> {
        let meter = self.stripe.meter(self.event_name()).await.map_err(told)?;
        let customer = CustomerId::new(customer);
        let found = self.stripe.billing_subscription(&customer, &meter);
        found.await.map_err(told)
    }

    /// The item of a subscription that bills the meter.
    ///
    /// # Errors
    /// Stripe did not say, or has no such subscription.
    pub async fn billing_item(&self, subscription: &str) -> Result<Option<String>, String> {
        let meter = self.stripe.meter(self.event_name()).await.map_err(told)?;
        let subscription = SubscriptionId::new(subscription);
        let found = self.stripe.billing_item(&subscription, &meter).await;
        found.map_err(told)?.map_err(|refusal| refusal.message)
    }

    /// A subscription as it is fetched after a webhook; `None` where Stripe has none.
    ///
    /// # Errors
    /// Stripe did not say.
    pub async fn state(&self, subscription: &str) -> Result<Option<State>, String> {
        let subscription = SubscriptionId::new(subscription);
        let found = self.stripe.subscription(&subscription).await;
        let found = found.map_err(told)?;
        Ok(found.map(|it| State {
            status: it.status.as_str(),
            trial_end: it.trial_end,
            current_period_end: it.current_period_end,
            cancel_at: it.cancel_at,
            ended_at: it.ended_at,
            organization: it.organization_id.map(|id| id.0),
            customer_deleted: it.customer_deleted,
            collection_pause: it.collection_pause.map(|pause| pause.behavior.as_str()),
        }))
    }

    /// Whether the answer that made a subscription can be read.
    ///
    /// # Errors
    /// What it lacks.
    pub fn reads_subscription(&self, answer: &Value) -> Result<(), String> {
        read_subscription(answer).map(drop).map_err(told)
    }

    /// What the meter counts for a customer, by UTC day, as reconciliation asks.
    ///
    /// # Errors
    /// Stripe did not say, or the days are no whole days.
    pub async fn days(
        &self,
        customer: &str,
        start: DateTime<Utc>,
        end: DateTime<Utc>,
    ) -> Result<BTreeMap<DateTime<Utc>, Decimal>, String> {
        let days = UsageDays::new(start, end).ok_or("these are no whole days")?;
        let meter = self.stripe.meter(self.event_name()).await.map_err(told)?;
        let customer = CustomerId::new(customer);
        let counted = self.stripe.metered_by_day(&meter, &customer, days).await;
        let counted = counted.map_err(|error| error.to_string())?;
        Ok(counted.into_iter().collect())
    }

    /// The codes and samples of a report of bad meter events, fetched as after its webhook.
    ///
    /// # Errors
    /// Stripe did not say, or the event is no such report.
    pub async fn meter_errors(&self, event: &str) -> Result<Vec<(String, Vec<String>)>, String> {
        let event = self.stripe.event(&EventId::new(event)).await;
        let reports = read_reports(&event.map_err(told)?).ok_or("it is no report")?;
        let reports = reports.into_iter();
        Ok(reports
            .map(|report| (report.code, report.sample_identifiers))
            .collect())
    }

    /// Whether a webhook's signature is believed.
    pub fn believes(&self, payload: &[u8], signature: &str, secret: &str) -> bool {
        signature::verify(payload, signature, [secret], self.clock.now()).is_ok()
    }
}

fn told(unknown: Unknown) -> String {
    unknown.to_string()
}

/// Terms of which only what Stripe gets to see matters.
fn provision(link: &Link, trial_days: i32) -> Provision {
    Provision {
        operation_id: OperationId(link.operation),
        organization_id: OrganizationId(link.organization),
        organization_name: link.name.clone(),
        admin_email: link.email.clone(),
        deployment_type: DeploymentType::OnPremise,
        plan_type: PlanType::ManagedCloud,
        trial_days: TrialDays::new(trial_days).unwrap_or(TrialDays::NONE),
        adopt: None,
    }
}
