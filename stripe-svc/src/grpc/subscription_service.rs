//! `billing.stripe.v1.SubscriptionService`.

use std::sync::Arc;

use billing_kit::{Fault, Violation, proto_time};
use billing_proto::{
    common::v1 as common,
    stripe::v1::{
        CancelSubscriptionRequest, CancelSubscriptionResponse, ProvisionSubscriptionRequest,
        ProvisionSubscriptionResponse, ProvisionedSubscription,
        SubscriptionState as SubscriptionStateMessage, UpdateSubscriptionRequest,
        UpdateSubscriptionResponse, WatchSubscriptionsRequest, WatchSubscriptionsResponse,
        provision_subscription_response::Outcome, subscription_service_server::SubscriptionService,
    },
};
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    app::{
        cancel_subscription::cancel_subscription,
        provision_subscription::provision_subscription,
        update_subscription::update_subscription,
        watch_subscriptions::{Changes, watch_subscriptions},
    },
    domain::{
        ids::{CustomerId, OperationId, OrganizationId},
        provision::{
            EMAIL_CHARS_MAX, NAME_CHARS_MAX, Provision, ProvisionOutcome, Provisioned,
            TRIAL_DAYS_MAX, TrialDays,
        },
        subscription::{CollectionPause, PauseBehavior, Subscription, SubscriptionState},
        terms::{DeploymentType, PlanType, SubscriptionStatus},
        webhook_event::is_name,
    },
    grpc::{StripeDoor, changes},
};

#[tonic::async_trait]
impl SubscriptionService for StripeDoor {
    async fn provision_subscription(
        &self,
        request: Request<ProvisionSubscriptionRequest>,
    ) -> Result<Response<ProvisionSubscriptionResponse>, Status> {
        let terms = parse(request.into_inner()).map_err(Fault::invalid)?;
        let outcome = provision_subscription(&self.0, terms).await?;
        Ok(Response::new(ProvisionSubscriptionResponse {
            outcome: Some(outcome.into()),
        }))
    }

    async fn update_subscription(
        &self,
        request: Request<UpdateSubscriptionRequest>,
    ) -> Result<Response<UpdateSubscriptionResponse>, Status> {
        let update = changes::update(request.into_inner()).map_err(Fault::invalid)?;
        let outcome = update_subscription(&self.0, update).await?;
        Ok(Response::new(UpdateSubscriptionResponse {
            outcome: Some(outcome.into()),
        }))
    }

    async fn cancel_subscription(
        &self,
        request: Request<CancelSubscriptionRequest>,
    ) -> Result<Response<CancelSubscriptionResponse>, Status> {
        let cancel = changes::cancel(request.into_inner()).map_err(Fault::invalid)?;
        let outcome = cancel_subscription(&self.0, cancel).await?;
        Ok(Response::new(CancelSubscriptionResponse {
            outcome: Some(outcome.into()),
        }))
    }

    type WatchSubscriptionsStream = BoxStream<'static, Result<WatchSubscriptionsResponse, Status>>;

    async fn watch_subscriptions(
        &self,
        request: Request<WatchSubscriptionsRequest>,
    ) -> Result<Response<Self::WatchSubscriptionsStream>, Status> {
        let WatchSubscriptionsRequest { cursor } = request.into_inner();
        if cursor < 0 {
            let violation = Violation::new("cursor", "It is negative.");
            return Err(Fault::invalid(vec![violation]).into());
        }
        let changes = watch_subscriptions(Arc::clone(&self.0), cursor);
        let messages = changes
            .map(|changes| changes.map(WatchSubscriptionsResponse::from))
            .map_err(Fault::into_status);
        Ok(Response::new(messages.boxed()))
    }
}

fn parse(request: ProvisionSubscriptionRequest) -> Result<Provision, Vec<Violation>> {
    let ProvisionSubscriptionRequest {
        operation_id,
        organization_id,
        organization_name,
        admin_email,
        deployment_type,
        plan_type,
        trial_days,
        adopt_customer_id,
    } = request;
    let mut violations = Vec::new();
    let mut wrong = |field: &str, message: String| violations.push(Violation::new(field, message));
    let mut uuid = |field: &str, text: &str| {
        let id = Uuid::try_parse(text).ok();
        if id.is_none() {
            wrong(field, "It is no UUID.".to_owned());
        }
        id
    };
    let operation_id = uuid("operation_id", &operation_id);
    let organization_id = uuid("organization_id", &organization_id);
    for (field, text, chars_max) in [
        ("organization_name", &organization_name, NAME_CHARS_MAX),
        ("admin_email", &admin_email, EMAIL_CHARS_MAX),
    ] {
        if text.trim().is_empty() || text.chars().count() > chars_max {
            wrong(field, format!("It must have 1 to {chars_max} characters."));
        }
    }
    let deployment = read_deployment(deployment_type);
    if deployment.is_none() {
        wrong("deployment_type", "It is not known.".to_owned());
    }
    let plan = read_plan(plan_type);
    if plan.is_none() {
        wrong("plan_type", "It is not known.".to_owned());
    }
    let trial = TrialDays::new(trial_days);
    if trial.is_none() {
        wrong(
            "trial_days",
            format!("It must be 0 to {TRIAL_DAYS_MAX} days."),
        );
    }
    let adopt = Some(adopt_customer_id).filter(|id| !id.is_empty());
    if adopt.as_deref().is_some_and(|id| !is_name(id)) {
        wrong("adopt_customer_id", "It is not a Stripe id.".to_owned());
    }
    let parsed = (operation_id, organization_id, deployment, plan, trial);
    match parsed {
        (
            Some(operation_id),
            Some(organization_id),
            Some(deployment_type),
            Some(plan_type),
            Some(trial_days),
        ) if violations.is_empty() => Ok(Provision {
            operation_id: OperationId(operation_id),
            organization_id: OrganizationId(organization_id),
            organization_name,
            admin_email,
            deployment_type,
            plan_type,
            trial_days,
            adopt: adopt.map(CustomerId::new),
        }),
        _ => Err(violations),
    }
}

pub(super) fn read_deployment(word: i32) -> Option<DeploymentType> {
    match common::DeploymentType::try_from(word).ok()? {
        common::DeploymentType::Unspecified => None,
        common::DeploymentType::OnPremise => Some(DeploymentType::OnPremise),
        common::DeploymentType::ManagedCloud => Some(DeploymentType::ManagedCloud),
    }
}

pub(super) fn read_plan(word: i32) -> Option<PlanType> {
    match common::PlanType::try_from(word).ok()? {
        common::PlanType::Unspecified => None,
        common::PlanType::ManagedCloud => Some(PlanType::ManagedCloud),
        common::PlanType::SelfHosted => Some(PlanType::SelfHosted),
    }
}

impl From<ProvisionOutcome> for Outcome {
    fn from(outcome: ProvisionOutcome) -> Self {
        match outcome {
            ProvisionOutcome::Provisioned(provisioned) => Self::Provisioned(provisioned.into()),
            ProvisionOutcome::Refused(refusal) => Self::Refusal(refusal.into()),
        }
    }
}

impl From<Provisioned> for ProvisionedSubscription {
    fn from(provisioned: Provisioned) -> Self {
        let Provisioned {
            customer_id,
            subscription_id,
            status,
            trial_end,
            start,
        } = provisioned;
        Self {
            stripe_customer_id: customer_id.to_string(),
            stripe_subscription_id: subscription_id,
            subscription_status: common::SubscriptionStatus::from(status).into(),
            trial_end_time: trial_end.map(proto_time::to_proto),
            start_time: Some(proto_time::to_proto(start)),
        }
    }
}

impl From<Changes> for WatchSubscriptionsResponse {
    fn from(changes: Changes) -> Self {
        let Changes { states, cursor } = changes;
        Self {
            states: states.into_iter().map(Into::into).collect(),
            cursor,
        }
    }
}

impl From<SubscriptionState> for SubscriptionStateMessage {
    fn from(state: SubscriptionState) -> Self {
        let SubscriptionState {
            subscription,
            invoiced_until,
            collection_paused_at,
            observed_at,
            version,
        } = state;
        let Subscription {
            id,
            customer_id,
            organization_id,
            status,
            trial_end,
            start,
            current_period_start,
            current_period_end,
            cancel_at,
            ended_at,
            customer_deleted,
            collection_pause,
        } = subscription;
        let pause = collection_pause.map(|pause| pause_message(pause, collection_paused_at));
        Self {
            stripe_subscription_id: id.to_string(),
            stripe_customer_id: customer_id.to_string(),
            organization_id: organization_id.map_or_else(String::new, |id| id.to_string()),
            subscription_status: common::SubscriptionStatus::from(status).into(),
            trial_end_time: trial_end.map(proto_time::to_proto),
            start_time: Some(proto_time::to_proto(start)),
            current_period_start_time: current_period_start.map(proto_time::to_proto),
            current_period_end_time: current_period_end.map(proto_time::to_proto),
            cancel_time: cancel_at.map(proto_time::to_proto),
            end_time: ended_at.map(proto_time::to_proto),
            customer_deleted,
            observe_time: Some(proto_time::to_proto(observed_at)),
            version,
            invoiced_until_time: invoiced_until.map(proto_time::to_proto),
            collection_pause: pause,
        }
    }
}

fn pause_message(pause: CollectionPause, since: Option<DateTime<Utc>>) -> common::CollectionPause {
    use common::CollectionPauseBehavior as Behavior;
    let behavior = match pause.behavior {
        PauseBehavior::Void => Behavior::Void,
        PauseBehavior::KeepAsDraft => Behavior::KeepAsDraft,
        PauseBehavior::MarkUncollectible => Behavior::MarkUncollectible,
    };
    common::CollectionPause {
        behavior: behavior.into(),
        first_seen_time: since.map(proto_time::to_proto),
        resume_time: pause.resumes_at.map(proto_time::to_proto),
    }
}

impl From<SubscriptionStatus> for common::SubscriptionStatus {
    fn from(status: SubscriptionStatus) -> Self {
        match status {
            SubscriptionStatus::Trial => Self::Trial,
            SubscriptionStatus::Active => Self::Active,
            SubscriptionStatus::PastDue => Self::PastDue,
            SubscriptionStatus::Unpaid => Self::Unpaid,
            SubscriptionStatus::Incomplete => Self::Incomplete,
            SubscriptionStatus::IncompleteExpired => Self::IncompleteExpired,
            SubscriptionStatus::Paused => Self::Paused,
            SubscriptionStatus::Canceled => Self::Canceled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_at_fault_is_named_at_once() {
        let violations = parse(ProvisionSubscriptionRequest {
            operation_id: "x".to_owned(),
            organization_id: String::new(),
            organization_name: " ".to_owned(),
            admin_email: "e".repeat(EMAIL_CHARS_MAX + 1),
            deployment_type: 0,
            plan_type: 99,
            trial_days: 731,
            adopt_customer_id: "../prices".to_owned(),
        })
        .unwrap_err();
        let fields: Vec<_> = violations.iter().map(|it| it.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "operation_id",
                "organization_id",
                "organization_name",
                "admin_email",
                "deployment_type",
                "plan_type",
                "trial_days",
                "adopt_customer_id"
            ]
        );
    }
}
