//! The one service that this one calls: stripe-svc, which makes what a link needs, changes and ends it,
//! and tells of each subscription how it stands.
//!
//! Domain values go out and an [`Attempt`] comes back. Whatever is not a clear yes or a clear no is
//! unknown: the same call is made again, and is done once.

use std::time::Duration;

use billing_kit::{
    Fault,
    client::{self, ServiceChannel},
    proto_time,
    tls::TlsFiles,
};
use billing_proto::common::v1::ErrorReason;
use billing_proto::stripe::v1::{
    self as proto, CancelSubscriptionRequest, ProvisionSubscriptionRequest,
    ProvisionedSubscription, StripeRefusal, UpdateSubscriptionRequest, WatchSubscriptionsRequest,
    WatchSubscriptionsResponse, cancel_subscription_response::Outcome as CancelOutcome,
    provision_subscription_response::Outcome,
    subscription_service_client::SubscriptionServiceClient,
    update_subscription_response::Outcome as UpdateOutcome,
};
use tonic::{Status, Streaming};
use url::Url;

use crate::{
    domain::{
        change::{Cancel, Update},
        link::{Attempt, LinkOperation, LinkTerms, Provisioned, Refusal, Setback},
        organization::{
            CollectionPause, Organization, OrganizationId, StripeCustomerId, StripeSubscriptionId,
            SubscriptionStatus,
        },
        subscription::SubscriptionState,
    },
    wire,
};

/// How long one attempt may take: two calls to Stripe with their retries.
pub(crate) const PROVISION_DEADLINE: Duration = Duration::from_secs(45);

/// stripe-svc, connected when it is first needed.
#[derive(Debug, Clone)]
pub(crate) struct StripeSvc {
    calls: SubscriptionServiceClient<ServiceChannel>,
    /// For the feed, which stays open.
    streams: SubscriptionServiceClient<ServiceChannel>,
}

impl StripeSvc {
    pub(crate) fn new(url: &Url, tls: Option<&TlsFiles>) -> Result<Self, String> {
        let calls = client::channel(url, tls, PROVISION_DEADLINE)?;
        let streams = client::stream_channel(url, tls)?;
        Ok(Self {
            calls: SubscriptionServiceClient::new(calls),
            streams: SubscriptionServiceClient::new(streams),
        })
    }

    /// Opens the feed of subscriptions behind a cursor.
    pub(crate) async fn watch(&self, cursor: i64) -> Result<SubscriptionFeed, Fault> {
        let request = WatchSubscriptionsRequest { cursor };
        let response = self.streams.clone().watch_subscriptions(request).await;
        Ok(SubscriptionFeed(
            response.map_err(Fault::from_status)?.into_inner(),
        ))
    }

    /// Has the customer and the subscription of a link made, each once, however often this is called.
    pub(crate) async fn provision(&self, operation: &LinkOperation, terms: &LinkTerms) -> Attempt {
        let id = &operation.id;
        #[cfg(feature = "plant-link-restarts")]
        let id = &crate::plant::instead_of(id);
        let request = ProvisionSubscriptionRequest {
            operation_id: id.0.to_string(),
            organization_id: operation.organization_id.0.to_string(),
            organization_name: operation.organization_name.as_str().to_owned(),
            admin_email: terms.admin_email.as_str().to_owned(),
            deployment_type: wire::deployment_type(Some(terms.deployment_type)).into(),
            plan_type: wire::plan_type(Some(terms.plan_type)).into(),
            trial_days: terms.trial_days.as_i32(),
            adopt_customer_id: terms
                .adopt_customer_id
                .as_ref()
                .map_or_else(String::new, |id| id.0.clone()),
        };
        match self.calls.clone().provision_subscription(request).await {
            Ok(response) => match response.into_inner().outcome {
                Some(Outcome::Provisioned(provisioned)) => provisioned_attempt(provisioned),
                Some(Outcome::Refusal(refusal)) => Attempt::Refused(refusal.into()),
                None => not_understood("it tells no outcome"),
            },
            Err(status) => no_answer(status),
        }
    }

    /// Has a subscription changed, once, in what differs from how its organization stands: what an
    /// admin did not ask for is not touched.
    pub(crate) async fn update(
        &self,
        operation: &LinkOperation,
        update: &Update,
        organization: &Organization,
    ) -> Attempt {
        let terms = &update.terms;
        let new_price = terms.change_price_of(organization);
        let admin_email = if terms.change_address_of(organization) {
            terms.admin_email.as_str()
        } else {
            ""
        };
        let request = UpdateSubscriptionRequest {
            operation_id: operation.id.0.to_string(),
            organization_id: operation.organization_id.0.to_string(),
            stripe_customer_id: update.subject.stripe_customer_id.0.clone(),
            stripe_subscription_id: update.subject.stripe_subscription_id.0.clone(),
            admin_email: admin_email.to_owned(),
            deployment_type: wire::deployment_type(new_price.then_some(terms.deployment_type))
                .into(),
            plan_type: wire::plan_type(new_price.then_some(terms.plan_type)).into(),
        };
        match self.calls.clone().update_subscription(request).await {
            Ok(response) => match response.into_inner().outcome {
                Some(UpdateOutcome::Subscription(state)) => changed_attempt(state),
                Some(UpdateOutcome::Refusal(refusal)) => Attempt::Refused(refusal.into()),
                None => not_understood("it tells no outcome"),
            },
            Err(status) => no_answer(status),
        }
    }

    /// Has a subscription ended, once.
    pub(crate) async fn cancel(&self, operation: &LinkOperation, cancel: &Cancel) -> Attempt {
        let request = CancelSubscriptionRequest {
            operation_id: operation.id.0.to_string(),
            organization_id: operation.organization_id.0.to_string(),
            stripe_subscription_id: cancel.subject.stripe_subscription_id.0.clone(),
            mode: wire::cancel_mode(Some(cancel.mode)).into(),
        };
        match self.calls.clone().cancel_subscription(request).await {
            Ok(response) => match response.into_inner().outcome {
                Some(CancelOutcome::Subscription(state)) => changed_attempt(state),
                Some(CancelOutcome::Refusal(refusal)) => Attempt::Refused(refusal.into()),
                None => not_understood("it tells no outcome"),
            },
            Err(status) => no_answer(status),
        }
    }
}

/// What is known where there is no answer. stripe-svc stores and sends nothing of a request that it
/// finds invalid, and would find it so again: that is a refusal. Anything else may have been done.
fn no_answer(status: Status) -> Attempt {
    let fault = Fault::from_status(status);
    let reason = fault.reason.as_str_name();
    let code = reason.trim_start_matches("ERROR_REASON_").to_lowercase();
    fault.log();
    if fault.reason == ErrorReason::InvalidArgument {
        let told = fault.violations.iter();
        let told = told.map(|at| format!(" {}: {}", at.field, at.message));
        return Attempt::Refused(Refusal {
            code,
            message: std::iter::once(fault.message.clone()).chain(told).collect(),
            param: None,
            stripe_request_id: None,
        });
    }
    Attempt::Unknown(Setback {
        code,
        message: fault.message,
    })
}

/// The open feed.
#[derive(Debug)]
pub(crate) struct SubscriptionFeed(Streaming<WatchSubscriptionsResponse>);

impl SubscriptionFeed {
    /// The next states, and the cursor to go on from once they are stored; `None` at the feed's end.
    pub(crate) async fn next(&mut self) -> Result<Option<(Vec<SubscriptionState>, i64)>, Fault> {
        let Some(message) = self.0.message().await.map_err(Fault::from_status)? else {
            return Ok(None);
        };
        let WatchSubscriptionsResponse { states, cursor } = message;
        let states = states.into_iter().map(subscription_state);
        Ok(Some((states.collect::<Result<_, _>>()?, cursor)))
    }
}

/// A state that cannot be read is not skipped: the feed stands still, loudly, until it can be.
fn subscription_state(state: proto::SubscriptionState) -> Result<SubscriptionState, Fault> {
    let proto::SubscriptionState {
        stripe_subscription_id,
        stripe_customer_id,
        organization_id,
        subscription_status,
        trial_end_time,
        start_time: _,
        current_period_start_time,
        current_period_end_time,
        cancel_time,
        end_time,
        customer_deleted,
        observe_time: _,
        version,
        invoiced_until_time,
        collection_pause,
    } = state;
    let status = wire::subscription_status_from(subscription_status)
        .filter(|status| *status != SubscriptionStatus::Pending)
        .ok_or_else(|| Fault::internal("a subscription came without a known status"))?;
    let time =
        |time: Option<prost_types::Timestamp>| time.as_ref().and_then(proto_time::from_proto);
    Ok(SubscriptionState {
        stripe_subscription_id: StripeSubscriptionId(stripe_subscription_id),
        stripe_customer_id: StripeCustomerId(stripe_customer_id),
        organization_id: OrganizationId::parse(&organization_id).ok(),
        subscription_status: status,
        trial_end: time(trial_end_time),
        current_period_start_at: time(current_period_start_time),
        current_period_end_at: time(current_period_end_time),
        cancel_at: time(cancel_time.or(end_time)),
        ended_at: time(end_time),
        invoiced_until: time(invoiced_until_time),
        customer_deleted,
        collection_pause: collection_pause.map(pause).transpose()?,
        version,
    })
}

fn pause(pause: billing_proto::common::v1::CollectionPause) -> Result<CollectionPause, Fault> {
    let behavior = wire::pause_behavior_from(pause.behavior);
    let since = pause
        .first_seen_time
        .as_ref()
        .and_then(proto_time::from_proto);
    let known = behavior.zip(since);
    let (behavior, since) = known.ok_or_else(|| {
        Fault::internal("a pause of collection came without what it is, or since")
    })?;
    Ok(CollectionPause {
        behavior,
        since,
        resumes_at: pause.resume_time.as_ref().and_then(proto_time::from_proto),
    })
}

/// An answer that cannot be acted on is no answer.
fn not_understood(what: &str) -> Attempt {
    tracing::error!("stripe-svc's answer cannot be used: {what}");
    Attempt::Unknown(Setback {
        code: "internal".to_owned(),
        message: format!("stripe-svc's answer cannot be used: {what}."),
    })
}

fn changed_attempt(state: proto::SubscriptionState) -> Attempt {
    match subscription_state(state) {
        Ok(state) => Attempt::Changed(state),
        Err(fault) => {
            fault.log();
            not_understood("the subscription cannot be read")
        }
    }
}

fn provisioned_attempt(provisioned: ProvisionedSubscription) -> Attempt {
    let ProvisionedSubscription {
        stripe_customer_id,
        stripe_subscription_id,
        subscription_status,
        trial_end_time,
        start_time,
    } = provisioned;
    if stripe_customer_id.is_empty() || stripe_subscription_id.is_empty() {
        return not_understood("an id is empty");
    }
    let status = wire::subscription_status_from(subscription_status)
        .filter(|status| *status != SubscriptionStatus::Pending);
    let Some(subscription_status) = status else {
        return not_understood("the subscription has no status");
    };
    let Some(start_at) = start_time.as_ref().and_then(proto_time::from_proto) else {
        return not_understood("the subscription has no start");
    };
    Attempt::Provisioned(Provisioned {
        stripe_customer_id: StripeCustomerId(stripe_customer_id),
        stripe_subscription_id: StripeSubscriptionId(stripe_subscription_id),
        subscription_status,
        trial_end: trial_end_time.as_ref().and_then(proto_time::from_proto),
        start_at,
    })
}

impl From<StripeRefusal> for Refusal {
    fn from(refusal: StripeRefusal) -> Self {
        let StripeRefusal {
            code,
            message,
            param,
            stripe_request_id,
        } = refusal;
        let told = |text: String| (!text.is_empty()).then_some(text);
        Self {
            code: told(code).unwrap_or_else(|| "unknown".to_owned()),
            message: told(message)
                .unwrap_or_else(|| "Stripe refused without a message.".to_owned()),
            param: told(param),
            stripe_request_id: told(stripe_request_id),
        }
    }
}
