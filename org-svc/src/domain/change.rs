//! Changes of a subscription that is there: what an admin may ask for, and what a request leads to.

use super::{
    email::EmailAddress,
    link::{LinkOperation, LinkOperationId, Work},
    organization::{
        DeploymentType, Organization, PlanType, StripeCustomerId, StripeSubscriptionId,
    },
};

/// What a change is about, as it was when it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) stripe_customer_id: StripeCustomerId,
    pub(crate) stripe_subscription_id: StripeSubscriptionId,
}

/// What a subscription is billed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubscriptionTerms {
    pub(crate) admin_email: EmailAddress,
    pub(crate) deployment_type: DeploymentType,
    pub(crate) plan_type: PlanType,
}

impl SubscriptionTerms {
    /// Whether an organization is billed on these terms. Its terms change by operations alone, of
    /// which one runs at a time: so while one runs, what it differs in stays the same.
    pub(crate) fn hold_for(&self, organization: &Organization) -> bool {
        !self.change_address_of(organization) && !self.change_price_of(organization)
    }

    /// Whether the address is another one.
    pub(crate) fn change_address_of(&self, organization: &Organization) -> bool {
        organization.admin_email.as_deref() != Some(self.admin_email.as_str())
    }

    /// Whether the price is another one.
    pub(crate) fn change_price_of(&self, organization: &Organization) -> bool {
        organization.deployment_type != Some(self.deployment_type)
            || organization.plan_type != Some(self.plan_type)
    }
}

/// Other terms for a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) subject: Subject,
    pub(crate) terms: SubscriptionTerms,
}

/// What an admin asked to change: what is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AskedTerms {
    pub(crate) admin_email: Option<EmailAddress>,
    pub(crate) deployment_type: Option<DeploymentType>,
    pub(crate) plan_type: Option<PlanType>,
}

impl AskedTerms {
    /// The whole terms; or the fields that nobody knows, because an older system made the link.
    fn with_those_of(
        &self,
        organization: &Organization,
    ) -> Result<SubscriptionTerms, Vec<&'static str>> {
        let known = organization.admin_email.clone().map(EmailAddress::stored);
        let admin_email = self.admin_email.clone().or(known);
        let deployment_type = self.deployment_type.or(organization.deployment_type);
        let plan_type = self.plan_type.or(organization.plan_type);
        let unknown = [
            ("admin_email", admin_email.is_none()),
            ("deployment_type", deployment_type.is_none()),
            ("plan_type", plan_type.is_none()),
        ];
        match (admin_email, deployment_type, plan_type) {
            (Some(admin_email), Some(deployment_type), Some(plan_type)) => Ok(SubscriptionTerms {
                admin_email,
                deployment_type,
                plan_type,
            }),
            _ => Err(unknown
                .into_iter()
                .filter_map(|(field, is_unknown)| is_unknown.then_some(field))
                .collect()),
        }
    }
}

/// When a subscription is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CancelMode {
    /// With the period that is under way.
    AtPeriodEnd,
    /// At once, once what was reported is delivered.
    Now,
}

impl CancelMode {
    const ALL: [Self; 2] = [Self::AtPeriodEnd, Self::Now];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::AtPeriodEnd => "at_period_end",
            Self::Now => "now",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }
}

/// The end of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cancel {
    pub(crate) subject: Subject,
    pub(crate) mode: CancelMode,
    /// Whether everything is delivered; only ever so where it ends at once.
    pub(crate) is_drained: bool,
}

impl Cancel {
    /// Whether Stripe must not be asked yet.
    pub(crate) fn drains(&self) -> bool {
        match self.mode {
            CancelMode::AtPeriodEnd => false,
            CancelMode::Now => !self.is_drained,
        }
    }
}

/// What a request for a change leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision<T> {
    /// A new operation.
    Start(T),
    /// Waiting for the operation that is under way for the same, or its end where it has ended.
    Join(LinkOperationId),
    /// Nothing: what was asked for holds already.
    Unchanged,
    /// A refusal: these fields are not known and must be given.
    Incomplete(Vec<&'static str>),
    /// A refusal, and the sentence for the admin.
    Conflict(&'static str),
}

const UNDER_WAY: &str = "Another change of the organization's link is in progress.";
const NOT_LINKED: &str = "The organization is not linked to a Stripe subscription.";
const ENDED: &str = "The organization's subscription has ended.";

/// The subscription of an organization, where there is one to be changed.
fn subject(organization: &Organization) -> Result<Subject, &'static str> {
    let customer = organization.stripe_customer_id.clone();
    let subscription = organization.stripe_subscription_id.clone();
    let (Some(stripe_customer_id), Some(stripe_subscription_id)) = (customer, subscription) else {
        return Err(NOT_LINKED);
    };
    if organization.subscription_status.has_ended() {
        return Err(ENDED);
    }
    Ok(Subject {
        stripe_customer_id,
        stripe_subscription_id,
    })
}

/// Decides about a request for other terms, given the organization's running operation.
pub(crate) fn decide_update(
    organization: &Organization,
    running: Option<&LinkOperation>,
    asked: &AskedTerms,
) -> Decision<Update> {
    let terms = asked.with_those_of(organization);
    if let Some(running) = running {
        return match (&running.work, terms) {
            (Work::Update(update), Ok(terms)) if update.terms == terms => {
                Decision::Join(running.id)
            }
            (Work::Link(_) | Work::Update(_) | Work::Cancel(_), _) => Decision::Conflict(UNDER_WAY),
        };
    }
    let subject = match subject(organization) {
        Ok(subject) => subject,
        Err(conflict) => return Decision::Conflict(conflict),
    };
    match terms {
        Err(unknown) => Decision::Incomplete(unknown),
        Ok(terms) if terms.hold_for(organization) => Decision::Unchanged,
        Ok(terms) => Decision::Start(Update { subject, terms }),
    }
}

/// Decides about a request for the end, given the organization's running operation and the latest
/// that succeeded.
pub(crate) fn decide_cancel(
    organization: &Organization,
    running: Option<&LinkOperation>,
    succeeded: Option<&LinkOperation>,
    mode: CancelMode,
) -> Decision<Cancel> {
    if let Some(running) = running {
        return match &running.work {
            Work::Cancel(cancel) if cancel.mode == mode => Decision::Join(running.id),
            Work::Link(_) | Work::Update(_) | Work::Cancel(_) => Decision::Conflict(UNDER_WAY),
        };
    }
    if let Some(done) = succeeded.filter(|done| has_canceled(organization, done, mode)) {
        return Decision::Join(done.id);
    }
    match subject(organization) {
        Ok(subject) => Decision::Start(Cancel {
            subject,
            mode,
            is_drained: false,
        }),
        Err(conflict) => Decision::Conflict(conflict),
    }
}

/// Whether it was this operation that ended the organization's subscription in this way. An end that
/// a person took back in Stripe may be asked for again.
fn has_canceled(organization: &Organization, done: &LinkOperation, mode: CancelMode) -> bool {
    let Work::Cancel(cancel) = &done.work else {
        return false;
    };
    let subscription = Some(&cancel.subject.stripe_subscription_id);
    let has_ended = organization.subscription_status.has_ended();
    let stands = match mode {
        CancelMode::AtPeriodEnd => has_ended || organization.cancel_at.is_some(),
        CancelMode::Now => has_ended,
    };
    cancel.mode == mode && organization.stripe_subscription_id.as_ref() == subscription && stands
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        account::UserId,
        link::{LinkTerms, OperationState, TrialDays},
        organization::{
            SubscriptionStatus,
            tests::{linked, pending},
        },
    };

    fn asked() -> AskedTerms {
        AskedTerms {
            admin_email: None,
            deployment_type: None,
            plan_type: None,
        }
    }

    fn terms() -> SubscriptionTerms {
        asked().with_those_of(&linked()).unwrap()
    }

    fn operation(work: Work) -> LinkOperation {
        LinkOperation {
            id: LinkOperationId(Uuid::from_u128(1)),
            organization_id: linked().id,
            organization_name: linked().name,
            state: OperationState::Running(None),
            work,
            admin_user_id: UserId("admin".to_owned()),
            attempt_count: 1,
            created_at: linked().created_at,
        }
    }

    fn cancel(mode: CancelMode) -> Cancel {
        Cancel {
            subject: subject(&linked()).unwrap(),
            mode,
            is_drained: false,
        }
    }

    fn other_work() -> Vec<LinkOperation> {
        let other_email = SubscriptionTerms {
            admin_email: EmailAddress::parse("other@acme.example").unwrap(),
            ..terms()
        };
        let link = LinkTerms {
            admin_email: terms().admin_email,
            deployment_type: terms().deployment_type,
            plan_type: terms().plan_type,
            trial_days: TrialDays::parse(0).unwrap(),
            adopt_customer_id: None,
        };
        let subject = subject(&linked()).unwrap();
        let update = Update {
            subject,
            terms: other_email,
        };
        vec![operation(Work::Link(link)), operation(Work::Update(update))]
    }

    fn with_status(subscription_status: SubscriptionStatus) -> Organization {
        Organization {
            subscription_status,
            ..linked()
        }
    }

    #[test]
    fn what_is_not_asked_for_stays_as_it_is() {
        let managed = AskedTerms {
            plan_type: Some(PlanType::ManagedCloud),
            ..asked()
        };
        let Decision::Start(update) = decide_update(&linked(), None, &managed) else {
            panic!("it starts");
        };
        let expected = SubscriptionTerms {
            plan_type: PlanType::ManagedCloud,
            ..terms()
        };
        assert_eq!(update.terms, expected);
        assert!(update.terms.change_price_of(&linked()));
        assert!(!update.terms.change_address_of(&linked()));
        let email = AskedTerms {
            admin_email: Some(EmailAddress::parse("new@acme.example").unwrap()),
            ..asked()
        };
        let Decision::Start(update) = decide_update(&linked(), None, &email) else {
            panic!("it starts");
        };
        assert!(update.terms.change_address_of(&linked()));
        assert!(!update.terms.change_price_of(&linked()));
        let same = AskedTerms {
            plan_type: linked().plan_type,
            ..asked()
        };
        assert_eq!(decide_update(&linked(), None, &same), Decision::Unchanged);
    }

    #[test]
    fn the_same_again_joins_and_anything_else_is_a_conflict() {
        let update = Update {
            subject: subject(&linked()).unwrap(),
            terms: SubscriptionTerms {
                plan_type: PlanType::ManagedCloud,
                ..terms()
            },
        };
        let running = operation(Work::Update(update));
        let same = AskedTerms {
            plan_type: Some(PlanType::ManagedCloud),
            ..asked()
        };
        let join = Decision::Join(running.id);
        assert_eq!(decide_update(&linked(), Some(&running), &same), join);
        let canceling = operation(Work::Cancel(cancel(CancelMode::Now)));
        for running in other_work().iter().chain([&canceling]) {
            let decision = decide_update(&linked(), Some(running), &same);
            assert_eq!(decision, Decision::Conflict(UNDER_WAY));
        }
        let now = |running| decide_cancel(&linked(), Some(running), None, CancelMode::Now);
        assert_eq!(now(&canceling), Decision::Join(canceling.id));
        let later = operation(Work::Cancel(cancel(CancelMode::AtPeriodEnd)));
        for running in other_work().iter().chain([&later]) {
            assert_eq!(now(running), Decision::Conflict(UNDER_WAY));
        }
    }

    #[test]
    fn only_a_subscription_that_goes_on_is_changed() {
        use SubscriptionStatus::{
            Active, Canceled, Incomplete, IncompleteExpired, PastDue, Paused, Trial, Unpaid,
        };
        let other = AskedTerms {
            plan_type: Some(PlanType::ManagedCloud),
            ..asked()
        };
        for status in [Trial, Active, PastDue, Unpaid, Incomplete, Paused] {
            let organization = with_status(status);
            let update = decide_update(&organization, None, &other);
            assert!(matches!(update, Decision::Start(_)), "{status:?}");
            for mode in CancelMode::ALL {
                let expected = Decision::Start(cancel(mode));
                assert_eq!(decide_cancel(&organization, None, None, mode), expected);
            }
        }
        let without_subscription = Organization {
            stripe_subscription_id: None,
            ..linked()
        };
        for (organization, conflict) in [
            (with_status(Canceled), ENDED),
            (with_status(IncompleteExpired), ENDED),
            (pending(), NOT_LINKED),
            (without_subscription, NOT_LINKED),
        ] {
            let update = decide_update(&organization, None, &other);
            assert_eq!(update, Decision::Conflict(conflict));
            let cancel = decide_cancel(&organization, None, None, CancelMode::Now);
            assert_eq!(cancel, Decision::Conflict(conflict));
        }
    }

    #[test]
    fn what_an_older_system_did_not_keep_must_be_given() {
        let adopted = Organization {
            admin_email: None,
            plan_type: None,
            ..linked()
        };
        let other = AskedTerms {
            deployment_type: Some(DeploymentType::ManagedCloud),
            ..asked()
        };
        assert_eq!(
            decide_update(&adopted, None, &other),
            Decision::Incomplete(vec!["admin_email", "plan_type"])
        );
    }

    #[test]
    fn an_end_that_was_reached_is_not_asked_for_again_unless_it_was_taken_back() {
        let done = |mode| operation(Work::Cancel(cancel(mode)));
        let ended = with_status(SubscriptionStatus::Canceled);
        let now = done(CancelMode::Now);
        assert_eq!(
            decide_cancel(&ended, None, Some(&now), CancelMode::Now),
            Decision::Join(now.id)
        );
        let later = done(CancelMode::AtPeriodEnd);
        let ending = Organization {
            cancel_at: Some(linked().created_at),
            ..linked()
        };
        let at_end = CancelMode::AtPeriodEnd;
        let decision = decide_cancel(&ending, None, Some(&later), at_end);
        assert_eq!(decision, Decision::Join(later.id));
        let start = |mode| Decision::Start(cancel(mode));
        let sooner = decide_cancel(&ending, None, Some(&later), CancelMode::Now);
        assert_eq!(sooner, start(CancelMode::Now));
        let taken_back = decide_cancel(&linked(), None, Some(&later), at_end);
        assert_eq!(taken_back, start(at_end));
        // The end of a former subscription says nothing of this one.
        let linked_again = Organization {
            stripe_subscription_id: Some(StripeSubscriptionId("sub_2".to_owned())),
            ..ended
        };
        assert_eq!(
            decide_cancel(&linked_again, None, Some(&now), CancelMode::Now),
            Decision::Conflict(ENDED)
        );
    }

    #[test]
    fn only_an_end_at_once_drains() {
        assert!(!cancel(CancelMode::AtPeriodEnd).drains());
        let now = cancel(CancelMode::Now);
        assert!(now.drains());
        let drained = Cancel {
            is_drained: true,
            ..now
        };
        assert!(!drained.drains());
        for mode in CancelMode::ALL {
            assert_eq!(CancelMode::from_word(mode.as_str()), Some(mode));
        }
    }
}
