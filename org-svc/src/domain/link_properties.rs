//! Goal: whatever admins ask for and however attempts end, an organization never has two operations
//! under way, and is never linked a second time.
//! Method: proptest's lives of an organization, each decided by [`decide`]; the life itself is a
//! model of what `app` does with a decision.

use chrono::DateTime;
use proptest::{
    prelude::*,
    test_runner::{Config, FileFailurePersistence},
};
use uuid::Uuid;

use super::{
    account::UserId,
    email::EmailAddress,
    link::{
        Conflict, Decision, LinkOperation, LinkOperationId, LinkTerms, OperationState, Refusal,
        TrialDays, Work, decide,
    },
    organization::{
        DeploymentType, Organization, PlanType, StripeCustomerId,
        tests::{linked, pending},
    },
};

const CASES: u32 = 512;
const FAILURES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../target/proptest/org-svc.txt"
);

fn config() -> Config {
    Config {
        cases: CASES,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(FAILURES))),
        ..Config::default()
    }
}

/// What happens to an organization.
#[derive(Debug, Clone)]
enum Event {
    /// An admin asks for a link on these terms.
    Asked(LinkTerms),
    /// An attempt at the running operation brought no answer.
    Unknown,
    Refused,
    Provisioned,
}

fn terms() -> impl Strategy<Value = LinkTerms> {
    let email = prop::sample::select(vec!["one@acme.example", "two@acme.example"]);
    let deployment = prop::sample::select(vec![
        DeploymentType::OnPremise,
        DeploymentType::ManagedCloud,
    ]);
    let plan = prop::sample::select(vec![PlanType::ManagedCloud, PlanType::SelfHosted]);
    let days = prop::sample::select(vec![0, 14, 730]);
    let adopted = prop::option::of(Just(StripeCustomerId("cus_chosen".to_owned())));
    (email, deployment, plan, days, adopted).prop_map(
        |(email, deployment_type, plan_type, days, adopt_customer_id)| LinkTerms {
            admin_email: EmailAddress::parse(email).unwrap(),
            deployment_type,
            plan_type,
            trial_days: TrialDays::parse(days).unwrap(),
            adopt_customer_id,
        },
    )
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    // Few terms, so that the same ones are asked for again.
    let asked = prop::collection::vec(terms(), 1..4);
    asked.prop_flat_map(|terms| {
        let event = prop_oneof![
            4 => prop::sample::select(terms).prop_map(Event::Asked),
            2 => Just(Event::Unknown),
            1 => Just(Event::Refused),
            1 => Just(Event::Provisioned),
        ];
        prop::collection::vec(event, 1..20)
    })
}

/// An organization and its operations, as the database would hold them.
struct Life {
    organization: Organization,
    operations: Vec<LinkOperation>,
}

impl Life {
    fn find(&self, is_it: impl Fn(&OperationState) -> bool) -> Option<&LinkOperation> {
        self.operations.iter().rev().find(|it| is_it(&it.state))
    }

    fn running(&self) -> Option<&LinkOperation> {
        self.find(|state| matches!(state, OperationState::Running(_)))
    }

    fn succeeded(&self) -> Option<&LinkOperation> {
        self.find(|state| *state == OperationState::Succeeded)
    }

    fn ask(&self, terms: &LinkTerms) -> Decision {
        decide(&self.organization, self.running(), self.succeeded(), terms)
    }

    fn start(&mut self, terms: &LinkTerms) {
        let number = u128::try_from(self.operations.len()).unwrap();
        self.operations.push(LinkOperation {
            id: LinkOperationId(Uuid::from_u128(number)),
            organization_id: self.organization.id,
            organization_name: self.organization.name.clone(),
            state: OperationState::Running(None),
            work: Work::Link(terms.clone()),
            admin_user_id: UserId("admin".to_owned()),
            attempt_count: 0,
            created_at: DateTime::UNIX_EPOCH,
        });
    }

    fn end(&mut self, state: OperationState) {
        let mut operations = self.operations.iter_mut();
        if let Some(running) = operations.find(|it| matches!(it.state, OperationState::Running(_)))
        {
            if state == OperationState::Succeeded
                && let Work::Link(terms) = &running.work
            {
                self.organization = Organization {
                    admin_email: Some(terms.admin_email.as_str().to_owned()),
                    deployment_type: Some(terms.deployment_type),
                    plan_type: Some(terms.plan_type),
                    ..linked()
                };
            }
            running.state = state;
        }
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::Asked(terms) => {
                if self.ask(terms) == Decision::Start {
                    self.start(terms);
                }
            }
            Event::Unknown => self.end(OperationState::Running(None)),
            Event::Refused => self.end(OperationState::Refused(Refusal {
                code: "code".to_owned(),
                message: "message".to_owned(),
                param: None,
                stripe_request_id: None,
            })),
            Event::Provisioned => self.end(OperationState::Succeeded),
        }
    }
}

fn lived(events: &[Event]) -> Life {
    let mut life = Life {
        organization: pending(),
        operations: Vec::new(),
    };
    for event in events {
        life.take(event);
    }
    life
}

proptest! {
    #![proptest_config(config())]

    /// Double clicks, stale pages and two admins: one operation at a time, and one link in all.
    #[test]
    fn an_organization_is_linked_once_by_one_operation_at_a_time(events in events()) {
        for length in 0..=events.len() {
            let life = lived(&events[..length]);
            let count = |is_it: fn(&OperationState) -> bool| {
                life.operations.iter().filter(|it| is_it(&it.state)).count()
            };
            let running = count(|state| matches!(state, OperationState::Running(_)));
            let succeeded = count(|state| *state == OperationState::Succeeded);
            prop_assert!(running + succeeded <= 1, "{running} run, {succeeded} succeeded");
            prop_assert_eq!(succeeded == 1, life.organization.is_linked());
        }
    }

    /// To ask again changes nothing and leads to the operation that the first request led to.
    #[test]
    fn to_ask_again_is_the_same_link(events in events(), terms in terms()) {
        let mut life = lived(&events);
        life.take(&Event::Asked(terms.clone()));
        let count = life.operations.len();
        let decision = life.ask(&terms);
        life.take(&Event::Asked(terms.clone()));
        prop_assert_eq!(life.operations.len(), count);
        match decision {
            Decision::Start => prop_assert!(false, "it was started a second time"),
            Decision::Join(id) => prop_assert_eq!(Some(id), life.running().map(|it| it.id)),
            Decision::AlreadyLinked(id) => {
                prop_assert_eq!(Some(id), life.succeeded().map(|it| it.id));
            }
            Decision::Conflict(conflict) => {
                prop_assert_ne!(conflict, Conflict::LinkedByOlderSystem);
                let other = life.running().or(life.succeeded());
                prop_assert!(other.is_some_and(|it| it.work != Work::Link(terms)));
            }
        }
    }

    /// An attempt of unknown outcome moves nothing: the same operation is carried on.
    #[test]
    fn an_unknown_outcome_never_makes_room_for_another_operation(events in events(), terms in terms()) {
        let mut life = lived(&events);
        life.take(&Event::Asked(terms.clone()));
        if let Some(running) = life.running().map(|it| it.id) {
            life.take(&Event::Unknown);
            prop_assert_ne!(life.ask(&terms), Decision::Start);
            prop_assert_eq!(life.running().map(|it| it.id), Some(running));
        }
    }

    /// A refusal gives the organization back: the next request starts anew, on whatever terms.
    #[test]
    fn after_a_refusal_there_is_another_try(terms in terms(), others in terms()) {
        let life = lived(&[Event::Asked(terms), Event::Refused]);
        prop_assert_eq!(life.ask(&others), Decision::Start);
    }
}
