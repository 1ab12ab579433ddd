//! The time, as a parameter.

use std::{fmt, sync::Arc};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use tokio::sync::watch;

/// Tells the time. Services take it as a parameter, so that tests can move it.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        let offset = injected_offset();
        #[expect(
            clippy::disallowed_methods,
            reason = "this is where the time comes from"
        )]
        Self(Arc::new(move || Utc::now() + offset))
    }

    /// A clock that stands where the sender last set it.
    pub fn manual(start: DateTime<Utc>) -> (watch::Sender<DateTime<Utc>>, Self) {
        let (sender, receiver) = watch::channel(start);
        (sender, Self(Arc::new(move || *receiver.borrow())))
    }

    /// Now, to the microsecond: as exact as the database keeps it, so that what is compared with a
    /// stored time was cut in the same place.
    pub fn now(&self) -> DateTime<Utc> {
        let now = (self.0)();
        now.duration_trunc(TimeDelta::microseconds(1))
            .unwrap_or(now)
    }
}

#[cfg(not(feature = "chaos"))]
fn injected_offset() -> TimeDelta {
    TimeDelta::zero()
}

/// How far `CLOCK_OFFSET_SECONDS` has this process's clock go wrong.
#[cfg(feature = "chaos")]
fn injected_offset() -> TimeDelta {
    #[expect(
        clippy::disallowed_methods,
        reason = "no service's configuration knows of it: it stands for a machine's clock that is wrong"
    )]
    let offset = std::env::var("CLOCK_OFFSET_SECONDS").ok();
    let seconds = offset.and_then(|text| text.parse().ok());
    seconds.and_then(TimeDelta::try_seconds).unwrap_or_default()
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
