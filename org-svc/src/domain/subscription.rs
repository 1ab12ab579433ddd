//! What becomes of an organization when its subscription changes in Stripe.
//!
//! Nothing is guessed and no step is expected: whatever Stripe says last is so. What is last is told
//! by the state's version, not by the order in which states arrive.

use chrono::{DateTime, Utc};

use super::organization::{
    CollectionPause, Drain, Organization, OrganizationId, StripeCustomerId, StripeSubscriptionId,
    SubscriptionStatus,
};

/// What an admin reads of an organization whose customer is gone.
pub(crate) const CUSTOMER_DELETED: &str = "the customer was deleted in Stripe";

/// A subscription as stripe-svc last fetched it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubscriptionState {
    pub(crate) stripe_subscription_id: StripeSubscriptionId,
    pub(crate) stripe_customer_id: StripeCustomerId,
    /// Whom it was made for, as its metadata says; somebody may have made it by hand.
    pub(crate) organization_id: Option<OrganizationId>,
    pub(crate) subscription_status: SubscriptionStatus,
    pub(crate) trial_end: Option<DateTime<Utc>>,
    pub(crate) current_period_start_at: Option<DateTime<Utc>>,
    pub(crate) current_period_end_at: Option<DateTime<Utc>>,
    /// When it is going to end, or ended.
    pub(crate) cancel_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub(crate) ended_at: Option<DateTime<Utc>>,
    /// Up to where it was invoiced for good.
    pub(crate) invoiced_until: Option<DateTime<Utc>>,
    pub(crate) customer_deleted: bool,
    pub(crate) collection_pause: Option<CollectionPause>,
    /// The greater one is the newer.
    pub(crate) version: i64,
}

/// The organization once it knows this state; `None` where it knows a newer one, or this one.
pub(crate) fn after(
    organization: &Organization,
    state: &SubscriptionState,
) -> Option<Organization> {
    let SubscriptionState {
        stripe_subscription_id: _,
        stripe_customer_id: _,
        organization_id: _,
        subscription_status,
        trial_end,
        current_period_start_at,
        current_period_end_at,
        cancel_at,
        ended_at,
        invoiced_until,
        customer_deleted,
        collection_pause,
        version,
    } = state;
    if *version <= organization.subscription_version {
        return None;
    }
    let (subscription_status, billing_problem) = if *customer_deleted {
        let problem = Some(CUSTOMER_DELETED.to_owned());
        (SubscriptionStatus::Canceled, problem)
    } else {
        (*subscription_status, organization.billing_problem.clone())
    };
    Some(Organization {
        // What has ended needs no end.
        drain: if subscription_status.has_ended() {
            Drain::None
        } else {
            organization.drain
        },
        subscription_status,
        trial_end: *trial_end,
        current_period_start_at: *current_period_start_at,
        current_period_end_at: *current_period_end_at,
        cancel_at: *cancel_at,
        billing_end_at: ended_at.map(|ended_at| billing_end(organization, state, ended_at)),
        invoiced_until: *invoiced_until,
        // Nothing more is collected of what has ended.
        collection_pause: collection_pause.filter(|_| !subscription_status.has_ended()),
        billing_problem,
        subscription_version: *version,
        ..organization.clone()
    })
}

/// From when on nothing is billed. Stripe invoices nothing of a pause, which begins where a trial
/// ends without a means of payment; so a subscription that ended in one ended for us where the pause
/// began. Whether it went on in between is told by its period: that begins anew when it does.
fn billing_end(
    organization: &Organization,
    state: &SubscriptionState,
    ended_at: DateTime<Utc>,
) -> DateTime<Utc> {
    if let Some(known) = organization.billing_end_at {
        return known;
    }
    let was_paused = organization.subscription_status == SubscriptionStatus::Paused
        && organization.current_period_start_at == state.current_period_start_at;
    match state.trial_end.filter(|_| was_paused) {
        Some(pause_start) => pause_start.min(ended_at),
        None => ended_at,
    }
}

/// Whether anything differs that an admin sees. Stripe is looked at more often than it changes.
pub(crate) fn differs(before: &Organization, after: &Organization) -> bool {
    let seen = |organization: &Organization| {
        (
            organization.subscription_status,
            organization.trial_end,
            organization.current_period_start_at,
            organization.current_period_end_at,
            organization.cancel_at,
            organization.billing_problem.clone(),
            organization.collection_pause,
        )
    };
    seen(before) != seen(after)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::organization::{PauseBehavior, tests::linked};

    fn state(version: i64, subscription_status: SubscriptionStatus) -> SubscriptionState {
        let organization = linked();
        SubscriptionState {
            stripe_subscription_id: StripeSubscriptionId("sub_1".to_owned()),
            stripe_customer_id: StripeCustomerId("cus_1".to_owned()),
            organization_id: Some(organization.id),
            subscription_status,
            trial_end: None,
            current_period_start_at: Some(organization.created_at),
            current_period_end_at: Some(organization.created_at + TimeDelta::days(30)),
            cancel_at: None,
            ended_at: None,
            invoiced_until: None,
            customer_deleted: false,
            collection_pause: None,
            version,
        }
    }

    #[test]
    fn what_ended_is_billed_to_its_end_and_what_ended_in_a_pause_to_its_beginning() {
        use SubscriptionStatus::{Active, Canceled, Paused, Trial};
        let start = linked().created_at;
        let at = |days| Some(start + TimeDelta::days(days));
        let told = |version, status, ended_at, period_start| SubscriptionState {
            trial_end: at(4),
            ended_at,
            current_period_start_at: period_start,
            ..state(version, status)
        };
        let end_of = |states: &[SubscriptionState]| {
            let told = states
                .iter()
                .try_fold(linked(), |it, state| after(&it, state));
            told.unwrap().billing_end_at
        };
        let trial = told(1, Trial, None, at(0));
        let paused = told(2, Paused, None, at(4));
        let ended = |version, period_start| told(version, Canceled, at(9), period_start);
        assert_eq!(end_of(std::slice::from_ref(&trial)), None);
        assert_eq!(end_of(&[trial.clone(), ended(2, at(4))]), at(9));
        assert_eq!(end_of(&[trial, paused.clone(), ended(3, at(4))]), at(4));
        // It went on in between, and nobody told.
        assert_eq!(end_of(&[paused.clone(), ended(3, at(7))]), at(9));
        let active = told(3, Active, None, at(7));
        assert_eq!(end_of(&[paused.clone(), active, ended(4, at(7))]), at(9));
        // What was told once stays, however often it is told that it ended.
        assert_eq!(end_of(&[paused, ended(3, at(4)), ended(4, at(4))]), at(4));
    }

    /// onetimesecret#3692: an older event that came later moved a subscription back.
    #[test]
    fn fm12_the_newest_version_counts_in_whatever_order_and_however_often() {
        use SubscriptionStatus::{Active, Canceled, PastDue};
        let states = [state(1, Active), state(2, PastDue), state(3, Canceled)];
        for order in [
            [0, 1, 2, 2],
            [2, 1, 0, 0],
            [1, 2, 0, 1],
            [0, 2, 1, 2],
            [2, 0, 1, 0],
        ] {
            let mut organization = linked();
            for at in order {
                if let Some(next) = after(&organization, &states[at]) {
                    organization = next;
                }
            }
            assert_eq!(organization.subscription_status, Canceled, "{order:?}");
            assert_eq!(organization.subscription_version, 3, "{order:?}");
        }
    }

    #[test]
    fn a_state_that_brings_nothing_new_is_no_change() {
        let first = after(&linked(), &state(1, SubscriptionStatus::Active)).unwrap();
        assert!(differs(&linked(), &first));
        let again = after(&first, &state(2, SubscriptionStatus::Active)).unwrap();
        assert!(!differs(&first, &again));
        let ending = SubscriptionState {
            cancel_at: Some(first.created_at),
            ..state(3, SubscriptionStatus::Active)
        };
        assert!(differs(&again, &after(&again, &ending).unwrap()));
    }

    /// pay-rails/pay#659: collection was paused, every invoice voided, and the status said "active".
    #[test]
    fn fm32_a_pause_of_collection_is_a_state_of_its_own_until_it_ends() {
        let pause = CollectionPause {
            behavior: PauseBehavior::Void,
            since: linked().created_at,
            resumes_at: None,
        };
        let told = |version, status, collection_pause| SubscriptionState {
            collection_pause,
            ..state(version, status)
        };
        let active = after(&linked(), &state(1, SubscriptionStatus::Active)).unwrap();
        let state = told(2, SubscriptionStatus::Active, Some(pause));
        let paused = after(&active, &state).unwrap();
        assert_eq!(paused.collection_pause, Some(pause));
        assert_eq!(paused.subscription_status, SubscriptionStatus::Active);
        assert!(differs(&active, &paused));
        // Stripe counts usage meanwhile, so it is sent.
        assert!(paused.standing().billable);
        let state = told(3, SubscriptionStatus::Active, None);
        assert_eq!(after(&paused, &state).unwrap().collection_pause, None);
        let state = told(3, SubscriptionStatus::Canceled, Some(pause));
        assert_eq!(after(&paused, &state).unwrap().collection_pause, None);
    }

    #[test]
    fn a_subscription_that_ended_drains_no_more() {
        let draining = Organization {
            drain: Drain::Draining,
            ..linked()
        };
        let active = after(&draining, &state(1, SubscriptionStatus::Active)).unwrap();
        assert_eq!(active.standing().drain, Drain::Draining);
        let ended = after(&draining, &state(1, SubscriptionStatus::Canceled)).unwrap();
        assert_eq!(ended.standing().drain, Drain::None);
    }

    #[test]
    fn who_deleted_the_customer_ended_the_subscription() {
        let deleted = SubscriptionState {
            customer_deleted: true,
            ..state(1, SubscriptionStatus::Active)
        };
        let ended = after(&linked(), &deleted).unwrap();
        assert_eq!(ended.subscription_status, SubscriptionStatus::Canceled);
        assert_eq!(ended.billing_problem.as_deref(), Some(CUSTOMER_DELETED));
        assert!(!ended.standing().billable);
    }
}
