//! Times as text.

use billing_kit::proto_time;
use chrono::{DateTime, SecondsFormat, Utc};
use prost_types::Timestamp;

/// A time of the contract; `None` where it is absent.
pub(crate) fn known(time: Option<Timestamp>) -> Option<DateTime<Utc>> {
    time.as_ref().and_then(proto_time::from_proto)
}

/// RFC 3339 with `Z`, to the second; to the millisecond where the time has any.
pub(crate) fn short(time: DateTime<Utc>) -> String {
    let format = if time.timestamp_subsec_millis() == 0 {
        SecondsFormat::Secs
    } else {
        SecondsFormat::Millis
    };
    time.to_rfc3339_opts(format, true)
}

/// RFC 3339 with `Z`, as exact as the database keeps it.
pub(crate) fn exact(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// RFC 3339 with `Z`, always to the millisecond, as JavaScript writes it.
pub(crate) fn javascript(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The day, for a table that people read.
pub(crate) fn day(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_only_where_there_are_any() {
        let time = |ms| DateTime::from_timestamp_millis(ms).unwrap();
        assert_eq!(short(time(1_700_000_000_000)), "2023-11-14T22:13:20Z");
        assert_eq!(short(time(1_700_000_000_120)), "2023-11-14T22:13:20.120Z");
        assert_eq!(
            javascript(time(1_700_000_000_000)),
            "2023-11-14T22:13:20.000Z"
        );
    }
}
