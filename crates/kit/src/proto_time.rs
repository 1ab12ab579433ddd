//! Times between the wire and the inside.

use chrono::{DateTime, TimeDelta, Utc};
use prost_types::{Duration, Timestamp};

/// The wire's form of a time.
pub fn to_proto(time: DateTime<Utc>) -> Timestamp {
    Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0),
    }
}

/// A time from the wire; `None` where it is outside of what a calendar can say.
pub fn from_proto(time: &Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?)
}

/// The wire's form of a span of time.
pub fn duration_to_proto(span: std::time::Duration) -> Duration {
    Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or(0),
    }
}

/// A span of time from the wire; a negative one is none at all.
pub fn duration_from_proto(span: &Duration) -> TimeDelta {
    TimeDelta::seconds(span.seconds.max(0)) + TimeDelta::nanoseconds(i64::from(span.nanos.max(0)))
}
