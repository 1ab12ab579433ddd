//! Stripe's rate limits, where a test wants them: so many calls in a second, the rest get 429.

use crate::config::RateLimits;
use crate::routes::Route;

/// The calls of the current second.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    second: i64,
    calls: u32,
    meter_events: u32,
}

impl Limiter {
    /// Whether the call is within its limit. Meter events have one of their own.
    pub(crate) fn admits(&mut self, limits: &RateLimits, route: &Route, now: i64) -> bool {
        if self.second != now {
            *self = Self {
                second: now,
                calls: 0,
                meter_events: 0,
            };
        }
        let is_meter_event = route.name() == "POST /v1/billing/meter_events";
        let (count, limit) = match limits.meter_events_per_second {
            Some(limit) if is_meter_event => (&mut self.meter_events, Some(limit)),
            Some(_) | None => (&mut self.calls, limits.calls_per_second),
        };
        let admitted = limit.is_none_or(|limit| *count < limit);
        *count += u32::from(admitted);
        admitted
    }
}
