//! One meter event at a time per customer: Stripe answers a second one with 429.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

use crate::domain::ids::CustomerId;

type Gate = Arc<tokio::sync::Mutex<()>>;

/// A gate for each customer that an event is on its way for, in this process. Between processes it
/// is ingest-svc's lease of the organization that keeps them apart, and Stripe's 429 after that.
#[derive(Debug, Default)]
pub(super) struct CustomerGates(Mutex<BTreeMap<CustomerId, Gate>>);

impl CustomerGates {
    /// Waits until nothing else is on its way for this customer.
    pub(super) async fn pass(&self, customer: &CustomerId) -> Pass<'_> {
        let gate = {
            let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(gates.entry(customer.clone()).or_default())
        };
        // Made before the wait, so that whoever gives up waiting leaves nothing behind either.
        let mut pass = Pass {
            guard: None,
            customer: customer.clone(),
            gates: self,
        };
        pass.guard = Some(gate.lock_owned().await);
        pass
    }
}

/// The right to send one event for a customer.
#[derive(Debug)]
pub(super) struct Pass<'g> {
    guard: Option<OwnedMutexGuard<()>>,
    customer: CustomerId,
    gates: &'g CustomerGates,
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        drop(self.guard.take());
        let mut gates = self.gates.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody else holds it or waits for it: the map has the only one.
        if gates
            .get(&self.customer)
            .is_some_and(|gate| Arc::strong_count(gate) == 1)
        {
            gates.remove(&self.customer);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_per_customer_and_nothing_is_left_behind() {
        let gates = CustomerGates::default();
        let (a, b) = (CustomerId::new("cus_a"), CustomerId::new("cus_b"));
        let first = gates.pass(&a).await;
        let mut second = pin!(gates.pass(&a));
        assert!(poll!(&mut second).is_pending());
        drop(gates.pass(&b).await);
        {
            let mut third = pin!(gates.pass(&a));
            assert!(poll!(&mut third).is_pending());
        }
        drop(first);
        drop(second.await);
        assert!(gates.0.lock().unwrap().is_empty());
    }
}
