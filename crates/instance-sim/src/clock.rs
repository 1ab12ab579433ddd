//! The one place that asks for the time. Everything else takes it as a parameter.
use chrono::{DateTime, Utc};

/// Now, in UTC.
#[must_use]
pub fn now() -> DateTime<Utc> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the simulator's own clock"
    )]
    Utc::now()
}
