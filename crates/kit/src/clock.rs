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
        #[expect(
            clippy::disallowed_methods,
            reason = "this is where the time comes from"
        )]
        Self(Arc::new(Utc::now))
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

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
