//! The link of an organization to Stripe: its terms, the operation that makes, changes or ends it, and
//! what a request for one leads to.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    account::UserId,
    change::{Cancel, SubscriptionTerms, Update},
    email::EmailAddress,
    organization::{
        DeploymentType, Organization, OrganizationId, OrganizationName, PlanType, StripeCustomerId,
        StripeSubscriptionId, SubscriptionStatus,
    },
    subscription::SubscriptionState,
};

const TRIAL_DAYS_MAX: u16 = 730;

/// Length of a trial in days, 0 (none) to 730.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TrialDays(u16);

impl TrialDays {
    pub(crate) fn parse(days: i32) -> Result<Self, &'static str> {
        u16::try_from(days)
            .ok()
            .filter(|days| *days <= TRIAL_DAYS_MAX)
            .map(Self)
            .ok_or("It is not between 0 and 730.")
    }

    pub(crate) fn as_i32(self) -> i32 {
        self.0.into()
    }
}

/// What an organization is linked on: an admin's choice, unknown to the instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkTerms {
    pub(crate) admin_email: EmailAddress,
    pub(crate) deployment_type: DeploymentType,
    pub(crate) plan_type: PlanType,
    pub(crate) trial_days: TrialDays,
    /// The customer in Stripe to use in place of a new one.
    pub(crate) adopt_customer_id: Option<StripeCustomerId>,
}

/// What an operation does to an organization's link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// Makes it.
    Link(LinkTerms),
    /// Changes its terms.
    Update(Update),
    /// Ends its subscription.
    Cancel(Cancel),
}

/// The id of a link operation. stripe-svc derives the identity of its calls from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LinkOperationId(pub(crate) Uuid);

/// Stripe's own no, that of the catalog, or ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) message: String,
    /// The parameter at fault as Stripe names it.
    pub(crate) param: Option<String>,
    pub(crate) stripe_request_id: Option<String>,
}

/// Why a running operation has not ended yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setback {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// Where an operation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OperationState {
    /// It goes on; the setback is that of the last attempt.
    Running(Option<Setback>),
    Succeeded,
    Refused(Refusal),
}

/// What an admin asked for of an organization's link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkOperation {
    pub(crate) id: LinkOperationId,
    pub(crate) organization_id: OrganizationId,
    /// The name when it was asked for: what Stripe is told, on every attempt the same.
    pub(crate) organization_name: OrganizationName,
    pub(crate) state: OperationState,
    pub(crate) work: Work,
    pub(crate) admin_user_id: UserId,
    pub(crate) attempt_count: u32,
    pub(crate) created_at: DateTime<Utc>,
}

/// What Stripe holds for an organization once it is linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Provisioned {
    pub(crate) stripe_customer_id: StripeCustomerId,
    pub(crate) stripe_subscription_id: StripeSubscriptionId,
    pub(crate) subscription_status: SubscriptionStatus,
    pub(crate) trial_end: Option<DateTime<Utc>>,
    /// The subscription's start by Stripe's clock.
    pub(crate) start_at: DateTime<Utc>,
}

/// How one attempt at an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// Both objects exist. Final.
    Provisioned(Provisioned),
    /// The subscription was changed, or ended, and this is how it stands since. Final.
    Changed(SubscriptionState),
    /// Stripe will not have it. Final.
    Refused(Refusal),
    /// Nobody knows yet whether Stripe did it: the same call again finds out.
    Unknown(Setback),
}

/// What a request for a link leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// A new operation.
    Start,
    /// Waiting for the operation that is under way on the same terms.
    Join(LinkOperationId),
    /// Nothing: the organization is linked on these terms, by this operation.
    AlreadyLinked(LinkOperationId),
    /// A refusal.
    Conflict(Conflict),
}

/// Why a link cannot be made on these terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conflict {
    LinkedOnOtherTerms,
    BeingLinkedOnOtherTerms,
    BeingChanged,
    /// An older system linked it; on what terms we cannot know.
    LinkedByOlderSystem,
}

impl Conflict {
    /// The sentence for the admin.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::LinkedOnOtherTerms => "The organization is already linked on other terms.",
            Self::BeingLinkedOnOtherTerms => {
                "Another operation is linking the organization on other terms."
            }
            Self::BeingChanged => "Another operation is changing the organization's link.",
            Self::LinkedByOlderSystem => {
                "The organization was already linked to a Stripe customer before this system took over."
            }
        }
    }
}

/// Decides about a request, given the organization's running operation and the latest that linked it.
pub(crate) fn decide(
    organization: &Organization,
    running: Option<&LinkOperation>,
    succeeded: Option<&LinkOperation>,
    terms: &LinkTerms,
) -> Decision {
    if let Some(running) = running {
        return match &running.work {
            Work::Link(running_terms) if running_terms == terms => Decision::Join(running.id),
            Work::Link(_) => Decision::Conflict(Conflict::BeingLinkedOnOtherTerms),
            Work::Update(_) | Work::Cancel(_) => Decision::Conflict(Conflict::BeingChanged),
        };
    }
    if !organization.is_linked() {
        return Decision::Start;
    }
    match succeeded {
        Some(operation) if is_linked_on(organization, operation, terms) => {
            Decision::AlreadyLinked(operation.id)
        }
        Some(_) => Decision::Conflict(Conflict::LinkedOnOtherTerms),
        None => Decision::Conflict(Conflict::LinkedByOlderSystem),
    }
}

/// Whether an organization that this operation linked stands on these terms now: they may have been
/// changed since.
fn is_linked_on(organization: &Organization, linked_by: &LinkOperation, terms: &LinkTerms) -> bool {
    let LinkTerms {
        admin_email,
        deployment_type,
        plan_type,
        trial_days,
        adopt_customer_id,
    } = terms.clone();
    let terms = SubscriptionTerms {
        admin_email,
        deployment_type,
        plan_type,
    };
    // What no update changes.
    let began_the_same = match &linked_by.work {
        Work::Link(linked_on) => {
            linked_on.trial_days == trial_days && linked_on.adopt_customer_id == adopt_customer_id
        }
        Work::Update(_) | Work::Cancel(_) => false,
    };
    began_the_same && terms.hold_for(organization)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::organization::tests::{linked, pending};

    fn terms(trial_days: i32) -> LinkTerms {
        LinkTerms {
            admin_email: EmailAddress::parse("billing@acme.example").unwrap(),
            deployment_type: DeploymentType::OnPremise,
            plan_type: PlanType::SelfHosted,
            trial_days: TrialDays::parse(trial_days).unwrap(),
            adopt_customer_id: None,
        }
    }

    fn operation(id: u128, state: OperationState, trial_days: i32) -> LinkOperation {
        LinkOperation {
            id: LinkOperationId(Uuid::from_u128(id)),
            organization_id: pending().id,
            organization_name: pending().name,
            state,
            work: Work::Link(terms(trial_days)),
            admin_user_id: UserId("admin".to_owned()),
            attempt_count: 1,
            created_at: pending().created_at,
        }
    }

    #[test]
    fn each_situation_leads_to_one_decision() {
        let running = operation(1, OperationState::Running(None), 14);
        let done = operation(2, OperationState::Succeeded, 14);
        let (pending, linked) = (pending(), linked());
        let adopted = Organization {
            billing_problem: Some("needs migration".to_owned()),
            billing_start_at: None,
            ..linked.clone()
        };
        let unlinked_after_success = pending.clone();
        for (organization, running, succeeded, trial_days, decision) in [
            (&pending, None, None, 14, Decision::Start),
            (
                &pending,
                Some(&running),
                None,
                14,
                Decision::Join(running.id),
            ),
            (
                &pending,
                Some(&running),
                None,
                15,
                Decision::Conflict(Conflict::BeingLinkedOnOtherTerms),
            ),
            (
                &linked,
                None,
                Some(&done),
                14,
                Decision::AlreadyLinked(done.id),
            ),
            (
                &linked,
                None,
                Some(&done),
                0,
                Decision::Conflict(Conflict::LinkedOnOtherTerms),
            ),
            (
                &adopted,
                None,
                None,
                14,
                Decision::Conflict(Conflict::LinkedByOlderSystem),
            ),
            (
                &unlinked_after_success,
                None,
                Some(&done),
                14,
                Decision::Start,
            ),
        ] {
            assert_eq!(
                decide(organization, running, succeeded, &terms(trial_days)),
                decision
            );
        }
    }

    #[test]
    fn a_link_is_on_the_terms_that_it_was_changed_to() {
        let done = operation(2, OperationState::Succeeded, 14);
        let changed = Organization {
            plan_type: Some(PlanType::ManagedCloud),
            ..linked()
        };
        let new = LinkTerms {
            plan_type: PlanType::ManagedCloud,
            ..terms(14)
        };
        let decision = |terms| decide(&changed, None, Some(&done), terms);
        assert_eq!(decision(&new), Decision::AlreadyLinked(done.id));
        assert_eq!(
            decision(&terms(14)),
            Decision::Conflict(Conflict::LinkedOnOtherTerms)
        );
    }

    #[test]
    fn any_other_term_is_another_link() {
        let done = operation(2, OperationState::Succeeded, 14);
        let same = terms(14);
        for other in [
            LinkTerms {
                admin_email: EmailAddress::parse("other@acme.example").unwrap(),
                ..same.clone()
            },
            LinkTerms {
                deployment_type: DeploymentType::ManagedCloud,
                ..same.clone()
            },
            LinkTerms {
                plan_type: PlanType::ManagedCloud,
                ..same.clone()
            },
            terms(15),
            LinkTerms {
                adopt_customer_id: Some(StripeCustomerId("cus_chosen".to_owned())),
                ..same.clone()
            },
        ] {
            assert_eq!(
                decide(&linked(), None, Some(&done), &other),
                Decision::Conflict(Conflict::LinkedOnOtherTerms)
            );
        }
    }

    #[test]
    fn a_trial_is_at_most_two_years() {
        for (days, good) in [
            (-1, false),
            (0, true),
            (730, true),
            (731, false),
            (i32::MAX, false),
        ] {
            assert_eq!(TrialDays::parse(days).is_ok(), good, "{days}");
        }
    }
}
