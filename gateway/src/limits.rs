//! How often instances may report: a token bucket for each source address, and one for each sender of an
//! organization's reports, so that a stranger uses up no other sender's.
//!
//! A bucket holds what one minute allows and fills up again evenly, so a backlog of a month passes at
//! once and a loop that has gone wild does not. The buckets are this process's own: of several
//! replicas each lets so many through.
//!
//! Architecture invariant: nothing is remembered here but when somebody may come again. A bucket that
//! is full again is forgotten, and the buckets have a maximum; past it everybody is let through for a
//! moment, because to lose a report is worse than to take one too many.

use std::{hash::Hash, net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use billing_kit::{Fault, accept::client_of};
use billing_proto::common::v1::ErrorReason;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::report_signature::{PublicKey, Signed};

/// The most buckets of one kind: a million instances, and as many again.
const KEYS_MAX: usize = 2_000_000;
/// How often full buckets are forgotten.
const FORGET_INTERVAL: Duration = Duration::from_secs(60);

/// How many reports a minute are taken; `None` for any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportRates {
    /// From one source address, or one /64 of IPv6.
    pub per_address: Option<NonZeroU32>,
    /// Of one organization, from one sender.
    pub per_organization: Option<NonZeroU32>,
}

/// Who sends an organization's reports, as far as can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sender {
    /// The holder of the key that signed the report.
    Key(PublicKey),
    /// An address; `None` where it is hidden by a proxy.
    Address(Option<IpAddr>),
}

impl Sender {
    /// Who sent a report, given its verified signature.
    pub(crate) fn of(signed: Option<Signed>, address: Option<IpAddr>) -> Self {
        signed.map_or_else(
            || Self::Address(address.map(client_of)),
            |signed| Self::Key(signed.key),
        )
    }
}

/// The buckets. A clone is the same.
#[derive(Debug, Clone)]
pub(crate) struct ReportLimits(Arc<Both>);

#[derive(Debug)]
struct Both {
    addresses: Option<Buckets<IpAddr>>,
    organizations: Option<Buckets<(Uuid, Sender)>>,
}

impl ReportLimits {
    /// Full buckets.
    pub(crate) fn new(rates: ReportRates) -> Self {
        let ReportRates {
            per_address,
            per_organization,
        } = rates;
        Self(Arc::new(Both {
            addresses: per_address.map(Buckets::new),
            organizations: per_organization.map(Buckets::new),
        }))
    }

    /// Takes a report of this source, or says when it may come again.
    ///
    /// # Errors
    /// RATE_LIMITED.
    pub(crate) fn admit_address(&self, address: IpAddr) -> Result<(), Fault> {
        let admitted = self.0.addresses.as_ref();
        admitted
            .map_or(Ok(()), |buckets| buckets.take(&client_of(address)))
            .map_err(|wait| too_many("This address sends too many reports.", wait))
    }

    /// Takes a report of this organization from this sender, or says when it may come again.
    ///
    /// # Errors
    /// RATE_LIMITED.
    pub(crate) fn admit_organization(
        &self,
        organization: Uuid,
        sender: Sender,
    ) -> Result<(), Fault> {
        let admitted = self.0.organizations.as_ref();
        admitted
            .map_or(Ok(()), |buckets| buckets.take(&(organization, sender)))
            .map_err(|wait| too_many("There are too many reports of this organization.", wait))
    }

    /// Forgets full buckets every so often, until `stop`.
    pub(crate) async fn forget_until(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(FORGET_INTERVAL) => {}
            }
            let both = Arc::clone(&self.0);
            // It goes over a million buckets: not on a thread that answers requests.
            let forgotten = tokio::task::spawn_blocking(move || both.forget()).await;
            if let Err(error) = forgotten {
                tracing::error!(%error, "full buckets could not be forgotten");
            }
        }
    }
}

impl Both {
    fn forget(&self) {
        if let Some(buckets) = &self.addresses {
            buckets.forget();
        }
        if let Some(buckets) = &self.organizations {
            buckets.forget();
        }
    }
}

#[derive(Debug)]
struct Buckets<K: Eq + Hash + Clone>(DefaultKeyedRateLimiter<K>);

impl<K: Eq + Hash + Clone> Buckets<K> {
    fn new(per_minute: NonZeroU32) -> Self {
        Self(RateLimiter::dashmap(Quota::per_minute(per_minute)))
    }

    /// Takes one, or says how long to wait.
    fn take(&self, key: &K) -> Result<(), Duration> {
        if self.0.len() >= KEYS_MAX {
            return Ok(());
        }
        match self.0.check_key(key) {
            Ok(()) => Ok(()),
            Err(not_until) => Err(not_until.wait_time_from(self.0.clock().now())),
        }
    }

    fn forget(&self) {
        self.0.retain_recent();
        self.0.shrink_to_fit();
    }
}

fn too_many(message: &str, wait: Duration) -> Fault {
    let mut fault = Fault::new(ErrorReason::RateLimited, message);
    fault.retry_after = Some(wait);
    fault
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(per_address: u32, per_organization: u32) -> ReportLimits {
        ReportLimits::new(ReportRates {
            per_address: NonZeroU32::new(per_address),
            per_organization: NonZeroU32::new(per_organization),
        })
    }

    /// How many of this many at once are admitted.
    fn admitted(count: usize, admit: impl Fn() -> Result<(), Fault>) -> usize {
        (0..count).filter(|_| admit().is_ok()).count()
    }

    #[test]
    fn a_minutes_worth_passes_at_once_and_the_next_is_told_to_wait() {
        let limits = limits(60, 60);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let one = address("203.0.113.9");
        assert_eq!(admitted(60, || limits.admit_address(one)), 60);
        let fault = limits.admit_address(one).unwrap_err();
        assert_eq!(fault.reason, ErrorReason::RateLimited);
        assert!(fault.retry_after.unwrap() <= Duration::from_secs(1));
        assert!(limits.admit_address(address("203.0.113.10")).is_ok());

        let organization = Uuid::from_u128(1);
        let sender = |text| Sender::of(None, Some(address(text)));
        let stranger = sender("203.0.113.9");
        let admit = |id, sender| limits.admit_organization(id, sender);
        let all = admitted(100, || admit(organization, stranger));
        // A second may have passed meanwhile, not half a minute.
        assert!((60..90).contains(&all), "{all}");
        assert!(admit(Uuid::from_u128(2), stranger).is_ok());
        // Another sender has a bucket of its own, and the holder of a key wherever it is.
        assert!(admit(organization, sender("203.0.113.10")).is_ok());
        let key = [7; 32];
        let signed = Signed {
            key,
            replaces: None,
        };
        let holder = Sender::of(Some(signed), Some(address("203.0.113.9")));
        assert!(admit(organization, holder).is_ok());
    }

    #[test]
    fn without_a_rate_everybody_comes_and_nothing_is_kept() {
        let limits = limits(0, 60);
        let one = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(admitted(1_000, || limits.admit_address(one)), 1_000);
    }

    #[test]
    fn a_full_bucket_is_forgotten() {
        let buckets = Buckets::new(NonZeroU32::MAX);
        buckets.take(&1).unwrap();
        while !buckets.0.is_empty() {
            buckets.forget();
        }
    }
}
