//! Links: what admins were told against what is stored and what Stripe has.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Court, Harm, Life, linked, standing};
use crate::journal::{Change, ChangeAnswer, LinkAnswer, Told, UnlinkAnswer};
use crate::records::{Records, StoredOrganization, organization_in};

impl Court {
    /// One customer for each organization that was ever linked, and never two subscriptions at once;
    /// the one that goes on is stored, and none for the others.
    pub(super) fn links(&mut self, records: &Records) {
        let lives = Life::of_all(records);
        let customers = self.customers(records);
        let told = linked(records);
        for organization in &records.organizations {
            let id = organization.id;
            let life = lives.get(&id).cloned().unwrap_or_default();
            let customers = customers.get(&id).map_or(&[][..], Vec::as_slice);
            let is_linked = organization.stripe_subscription_id.is_some();
            match customers.len() {
                0 if is_linked => self.find(Harm::Lost, format!("linked {id} has no customer")),
                0 | 1 => {}
                count => self.find(
                    Harm::Doubled,
                    format!("{id} has {count} customers in Stripe"),
                ),
            }
            if life.overlaps() {
                self.find(
                    Harm::Doubled,
                    format!("{id} has more than one subscription at once: {life:?}"),
                );
            }
            if let (false, Some(living)) = (is_linked, life.living) {
                self.wrong(format!("{organization:?} is billed as {living:?}"));
            }
            if is_linked == (organization.subscription_status == "pending") {
                self.wrong(format!("the status contradicts the link: {organization:?}"));
            }
            self.stored_link(organization, &life);
            for pair in told.get(&id).into_iter().flatten() {
                let is_in_stripe = life
                    .subscriptions
                    .iter()
                    .any(|it| (it.customer.as_str(), it.id.as_str()) == *pair);
                if !is_in_stripe {
                    self.find(
                        Harm::Lost,
                        format!("told {pair:?}, and in Stripe is {life:?}: {organization:?}"),
                    );
                }
            }
        }
        self.answers(records, &lives);
    }

    /// The customers in Stripe by the organization that they name.
    fn customers<'r>(&mut self, records: &'r Records) -> BTreeMap<Uuid, Vec<&'r str>> {
        let mut customers: BTreeMap<Uuid, Vec<&str>> = BTreeMap::new();
        for customer in &records.ledger.customers {
            match organization_in(&customer.metadata) {
                Some(id) => customers.entry(id).or_default().push(&customer.id),
                None => self.wrong(format!("{customer:?} names no organization")),
            }
        }
        for subscription in &records.ledger.subscriptions {
            if subscription.organization().is_none() {
                self.wrong(format!("{subscription:?} names no organization"));
            }
        }
        customers
    }

    /// What is stored is the last subscription that Stripe has of the organization.
    fn stored_link(&mut self, organization: &StoredOrganization, life: &Life<'_>) {
        let StoredOrganization {
            stripe_customer_id: Some(customer),
            stripe_subscription_id: Some(subscription),
            ..
        } = organization
        else {
            return;
        };
        let last = life.subscriptions.last();
        match last {
            None => self.find(
                Harm::Lost,
                format!("linked {} has no subscription", organization.id),
            ),
            Some(last) if (&last.customer, &last.id) != (customer, subscription) => {
                self.wrong(format!("{organization:?} is {last:?} in Stripe"));
            }
            Some(_) => {}
        }
    }

    /// No good request is refused, and nothing is unlinked that goes on.
    fn answers(&mut self, records: &Records, lives: &BTreeMap<Uuid, Life<'_>>) {
        for told in &records.told {
            match told {
                Told::Link {
                    answer: LinkAnswer::Refused { .. },
                    ..
                }
                | Told::Unlink {
                    answer: UnlinkAnswer::Refused { .. },
                    ..
                } => self.wrong(format!("a good request: {told:?}")),
                Told::Unlink {
                    organization,
                    answer: UnlinkAnswer::Unlinked,
                } if !lives.get(organization).is_some_and(Life::has_ended) => {
                    self.wrong(format!(
                        "{organization} was unlinked, and nothing had ended"
                    ));
                }
                Told::Change {
                    change: Change::CancelNow,
                    answer: ChangeAnswer::Done { subscription },
                    ..
                } if is_living(records, subscription) => {
                    self.wrong(format!("{subscription} was canceled, and goes on"));
                }
                // Stripe may refuse a change of what just ended there.
                Told::Link { .. }
                | Told::Unlink { .. }
                | Told::AskedToEnd { .. }
                | Told::Change { .. }
                | Told::Report { .. }
                | Told::Forged { .. }
                | Told::Fault { .. } => {}
            }
        }
    }

    /// Every linked organization stands as its subscription does in Stripe.
    pub(super) fn standings(&mut self, records: &Records) {
        for difference in standing::differences(&records.ledger, &records.organizations) {
            self.wrong(difference);
        }
    }
}

fn is_living(records: &Records, subscription: &str) -> bool {
    let mut of = records.ledger.subscriptions.iter();
    of.any(|it| it.id == subscription && it.is_living())
}
