//! The one service that this one calls: stripe-svc, which makes what a link needs and tells of each
//! subscription how it stands.
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
use billing_proto::stripe::v1::{
    self as proto, ProvisionSubscriptionRequest, ProvisionedSubscription, StripeRefusal,
    WatchSubscriptionsRequest, WatchSubscriptionsResponse,
    provision_subscription_response::Outcome,
    subscription_service_client::SubscriptionServiceClient,
};
use tonic::Streaming;
use url::Url;

use crate::{
    domain::{
        link::{Attempt, LinkOperation, Provisioned, Refusal, Setback},
        organization::{
            OrganizationId, StripeCustomerId, StripeSubscriptionId, SubscriptionStatus,
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

    /// Has the customer and the subscription of an operation made, each once, however often this is
    /// called.
    pub(crate) async fn provision(&self, operation: &LinkOperation) -> Attempt {
        let LinkOperation {
            id,
            organization_id,
            organization_name,
            state: _,
            terms,
            admin_user_id: _,
            attempt_count: _,
            created_at: _,
        } = operation;
        #[cfg(feature = "plant-link-restarts")]
        let id = &crate::plant::instead_of(id);
        let request = ProvisionSubscriptionRequest {
            operation_id: id.0.to_string(),
            organization_id: organization_id.0.to_string(),
            organization_name: organization_name.as_str().to_owned(),
            admin_email: terms.admin_email.as_str().to_owned(),
            deployment_type: wire::deployment_type(Some(terms.deployment_type)).into(),
            plan_type: wire::plan_type(Some(terms.plan_type)).into(),
            trial_days: terms.trial_days.as_i32(),
        };
        match self.calls.clone().provision_subscription(request).await {
            Ok(response) => match response.into_inner().outcome {
                Some(Outcome::Provisioned(provisioned)) => provisioned_attempt(provisioned),
                Some(Outcome::Refusal(refusal)) => Attempt::Refused(refusal.into()),
                None => not_understood("it tells no outcome"),
            },
            Err(status) => {
                let fault = Fault::from_status(status);
                let reason = fault.reason.as_str_name();
                let code = reason.trim_start_matches("ERROR_REASON_").to_lowercase();
                fault.log();
                Attempt::Unknown(Setback {
                    code,
                    message: fault.message,
                })
            }
        }
    }
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
    } = state;
    let status = wire::subscription_status_from(subscription_status)
        .filter(|status| *status != SubscriptionStatus::Pending)
        .ok_or_else(|| Fault::internal("the feed holds a subscription without a known status"))?;
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
        customer_deleted,
        version,
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
