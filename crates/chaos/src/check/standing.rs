//! How organizations stand: what is stored against what Stripe says.

use crate::records::{Ledger, LedgerSubscription, StoredOrganization};

/// Where a linked organization stands otherwise than its subscription does in Stripe.
pub(crate) fn differences(ledger: &Ledger, organizations: &[StoredOrganization]) -> Vec<String> {
    let mut found = Vec::new();
    for organization in organizations {
        let Some(id) = &organization.stripe_subscription_id else {
            continue;
        };
        let subscription = ledger.subscriptions.iter().find(|it| it.id == *id);
        // That there is none, another checker finds.
        if let Some(subscription) = subscription
            && Standing::stored(organization) != Standing::in_stripe(subscription)
        {
            found.push(format!(
                "stored is {:?}, in Stripe it is {:?}: {organization:?}",
                Standing::stored(organization),
                Standing::in_stripe(subscription)
            ));
        }
    }
    found
}

/// What both sides tell of a subscription.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    status: String,
    /// Of a subscription that goes on; the times of one that ended tell nobody anything.
    times: Option<Times>,
    /// The lookup key of the price that goes with plan and deployment type.
    price: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Times {
    trial_end: Option<i64>,
    cancel_at: Option<i64>,
    current_period_end: Option<i64>,
}

impl Standing {
    fn stored(organization: &StoredOrganization) -> Self {
        let plan = organization.plan_type.as_deref();
        let deployment = organization.deployment_type.as_deref();
        let price = plan
            .zip(deployment)
            .map(|(plan, deployment)| format!("vaultai_{plan}_on_{deployment}").replace('-', "_"));
        Self {
            status: organization.subscription_status.clone(),
            times: (organization.subscription_status != "canceled").then_some(Times {
                trial_end: organization.trial_end,
                cancel_at: organization.cancel_at,
                current_period_end: organization.current_period_end,
            }),
            price,
        }
    }

    fn in_stripe(subscription: &LedgerSubscription) -> Self {
        let status = match subscription.status.as_str() {
            "trialing" => "trial",
            other => other,
        };
        let item = subscription.items.data.first();
        Self {
            status: status.to_owned(),
            times: (status != "canceled").then_some(Times {
                trial_end: subscription.trial_end,
                cancel_at: subscription.cancel_at,
                current_period_end: item.map(|item| item.current_period_end),
            }),
            price: item.and_then(|item| item.price.lookup_key.clone()),
        }
    }
}
