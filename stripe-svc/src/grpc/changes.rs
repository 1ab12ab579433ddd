//! The messages of a subscription's changes.

use billing_kit::Violation;
use billing_proto::{
    common::v1 as common,
    stripe::v1::{
        CancelSubscriptionRequest, UpdateSubscriptionRequest, cancel_subscription_response,
        update_subscription_response,
    },
};
use uuid::Uuid;

use super::subscription_service::{read_deployment, read_plan};
use crate::domain::{
    change::{Cancel, CancelMode, ChangeOutcome, PriceTerms, Target, Update},
    ids::{CustomerId, OperationId, OrganizationId, SubscriptionId},
    provision::EMAIL_CHARS_MAX,
};

/// Stripe's longest id, in characters.
const STRIPE_ID_CHARS_MAX: usize = 255;

pub(super) fn update(request: UpdateSubscriptionRequest) -> Result<Update, Vec<Violation>> {
    let UpdateSubscriptionRequest {
        operation_id,
        organization_id,
        stripe_customer_id,
        stripe_subscription_id,
        admin_email,
        deployment_type,
        plan_type,
    } = request;
    let mut violations = Vec::new();
    let target = target(
        &operation_id,
        &organization_id,
        &stripe_subscription_id,
        &mut violations,
    );
    let customer_id = stripe_id("stripe_customer_id", &stripe_customer_id, &mut violations);
    if admin_email.chars().count() > EMAIL_CHARS_MAX {
        let message = format!("It has more than {EMAIL_CHARS_MAX} characters.");
        violations.push(Violation::new("admin_email", message));
    }
    let admin_email = (!admin_email.trim().is_empty()).then_some(admin_email);
    let price = price_terms(deployment_type, plan_type, &mut violations);
    if violations.is_empty() && admin_email.is_none() && price.is_none() {
        let message = "The request changes nothing.";
        let fields = ["admin_email", "deployment_type", "plan_type"];
        violations.extend(fields.map(|field| Violation::new(field, message)));
    }
    match (target, customer_id) {
        (Some(target), Some(customer_id)) if violations.is_empty() => Ok(Update {
            target,
            customer_id: CustomerId::new(customer_id),
            admin_email,
            price,
        }),
        _ => Err(violations),
    }
}

/// What picks the new price; `None` where it stays. Half of it picks nothing.
fn price_terms(
    deployment_type: i32,
    plan_type: i32,
    violations: &mut Vec<Violation>,
) -> Option<PriceTerms> {
    let unspecified = (
        common::DeploymentType::Unspecified.into(),
        common::PlanType::Unspecified.into(),
    );
    if (deployment_type, plan_type) == unspecified {
        return None;
    }
    let deployment = read_deployment(deployment_type);
    if deployment.is_none() {
        violations.push(Violation::new("deployment_type", "It is not known."));
    }
    let plan = read_plan(plan_type);
    if plan.is_none() {
        violations.push(Violation::new("plan_type", "It is not known."));
    }
    Some(PriceTerms {
        deployment_type: deployment?,
        plan_type: plan?,
    })
}

pub(super) fn cancel(request: CancelSubscriptionRequest) -> Result<Cancel, Vec<Violation>> {
    let CancelSubscriptionRequest {
        operation_id,
        organization_id,
        stripe_subscription_id,
        mode,
    } = request;
    let mut violations = Vec::new();
    let target = target(
        &operation_id,
        &organization_id,
        &stripe_subscription_id,
        &mut violations,
    );
    let mode = match common::CancelMode::try_from(mode) {
        Ok(common::CancelMode::AtPeriodEnd) => Some(CancelMode::AtPeriodEnd),
        Ok(common::CancelMode::Now) => Some(CancelMode::Now),
        Ok(common::CancelMode::Unspecified) | Err(_) => {
            violations.push(Violation::new("mode", "It is not known."));
            None
        }
    };
    match (target, mode) {
        (Some(target), Some(mode)) if violations.is_empty() => Ok(Cancel { target, mode }),
        _ => Err(violations),
    }
}

fn target(
    operation_id: &str,
    organization_id: &str,
    subscription_id: &str,
    violations: &mut Vec<Violation>,
) -> Option<Target> {
    let mut uuid = |field: &str, text: &str| {
        let id = Uuid::try_parse(text).ok();
        if id.is_none() {
            violations.push(Violation::new(field, "It is no UUID."));
        }
        id
    };
    let operation_id = uuid("operation_id", operation_id);
    let organization_id = uuid("organization_id", organization_id);
    let subscription_id = stripe_id("stripe_subscription_id", subscription_id, violations);
    Some(Target {
        operation_id: OperationId(operation_id?),
        organization_id: OrganizationId(organization_id?),
        subscription_id: SubscriptionId::new(subscription_id?),
    })
}

/// An id of Stripe's goes into a path: nothing but what Stripe makes ids of gets through.
fn stripe_id<'a>(field: &str, text: &'a str, violations: &mut Vec<Violation>) -> Option<&'a str> {
    let is_good = (1..=STRIPE_ID_CHARS_MAX).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_good {
        Some(text)
    } else {
        violations.push(Violation::new(field, "It is not a Stripe id."));
        None
    }
}

impl From<ChangeOutcome> for update_subscription_response::Outcome {
    fn from(outcome: ChangeOutcome) -> Self {
        match outcome {
            ChangeOutcome::Changed(state) => Self::Subscription((*state).into()),
            ChangeOutcome::Refused(refusal) => Self::Refusal(refusal.into()),
        }
    }
}

impl From<ChangeOutcome> for cancel_subscription_response::Outcome {
    fn from(outcome: ChangeOutcome) -> Self {
        match outcome {
            ChangeOutcome::Changed(state) => Self::Subscription((*state).into()),
            ChangeOutcome::Refused(refusal) => Self::Refusal(refusal.into()),
        }
    }
}
