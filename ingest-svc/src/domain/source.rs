//! Where a report comes from, and which reports are held for it.
//!
//! All instances share a token. A stranger who has it sends from another network than the instance, and
//! gains nothing by repeating its count: so a further report of a day is held where it raises the day's
//! count and comes from a network that is not known. An instance may move: the first report of a day is
//! taken from anywhere, and makes its network a known one.
//!
//! An instance reports a day once, so a report that raises the count of a day that is long over is held,
//! from wherever it comes. Else a stranger could raise every past day of an open invoice at once. A day
//! without a report may be filled.

use std::net::IpAddr;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use ipnet::IpNet;
use serde_json::json;
use uuid::Uuid;

use super::{
    hold::{BASELINE, Hold, HoldReason, LIMIT},
    report::Report,
};

/// What a site or a customer of a provider is given.
const IPV4_BITS: u8 = 24;
const IPV6_BITS: u8 = 48;

/// The network of an address.
pub(crate) fn network_of(address: IpAddr) -> IpNet {
    let address = address.to_canonical();
    let bits = match address {
        IpAddr::V4(_) => IPV4_BITS,
        IpAddr::V6(_) => IPV6_BITS,
    };
    // No address has fewer bits than these.
    IpNet::new(address, bits).map_or_else(|_| address.into(), |network| network.trunc())
}

/// An organization's UTC day.
pub(crate) type Day = (Uuid, NaiveDate);

/// The day that a report is of.
pub(crate) fn day_of(report: &Report) -> Day {
    (report.organization_id, report.reported_at.date_naive())
}

/// The report that counts for a day as yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DayCount {
    /// Number of users (seats).
    pub(crate) user_count: i32,
    pub(crate) reported_at: DateTime<Utc>,
}

/// Whether a report came more than a day after its UTC day ended.
pub(crate) fn is_late(reported_at: DateTime<Utc>, received_at: DateTime<Utc>) -> bool {
    let over = reported_at.date_naive().checked_add_days(Days::new(2));
    over.is_some_and(|day| received_at >= day.and_time(NaiveTime::MIN).and_utc())
}

/// Whether a report raises its day's count. An earlier one does not count for the day.
fn is_raise(report: &Report, day: DayCount) -> bool {
    report.reported_at > day.reported_at && report.content.user_count > day.user_count
}

/// Holds a late report that raises the count of its day.
pub(crate) fn judge_late(
    report: &Report,
    day: DayCount,
    received_at: DateTime<Utc>,
) -> Option<Hold> {
    let (before, now) = (day.user_count, report.content.user_count);
    (is_late(report.reported_at, received_at) && is_raise(report, day)).then(|| Hold {
        reason: HoldReason::CountJump,
        message: format!("It raises the count of a day that is over from {before} to {now} users."),
        compared_with: json!({ BASELINE: before, LIMIT: before }),
        cause: "late".to_owned(),
    })
}

/// Holds a further report of a day, from a network that is not known, where it raises the day's count.
pub(crate) fn judge(report: &Report, day: DayCount, network: IpNet) -> Option<Hold> {
    let (before, now) = (day.user_count, report.content.user_count);
    is_raise(report, day).then(|| Hold {
        reason: HoldReason::NewNetwork,
        message: format!(
            "It raises the day's count from {before} to {now} and comes from {network}, from where no \
             report of this organization counted."
        ),
        compared_with: json!({ "source_network": network.to_string() }),
        cause: network.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::report::Content;

    #[test]
    fn a_network_is_a_24_or_a_48() {
        for (address, network) in [
            ("203.0.113.77", "203.0.113.0/24"),
            ("::ffff:203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ] {
            assert_eq!(network_of(address.parse().unwrap()).to_string(), network);
        }
    }

    #[test]
    fn a_report_is_late_once_the_next_day_is_over_too() {
        let at = |text: &str| -> DateTime<Utc> { text.parse().unwrap() };
        let received = at("2026-03-31T23:59:59Z");
        assert!(!is_late(at("2026-03-30T00:00:00Z"), received));
        assert!(is_late(at("2026-03-29T23:59:59Z"), received));
    }

    #[test]
    fn only_what_raises_the_days_count_is_held() {
        let at = |text: &str| -> DateTime<Utc> { text.parse().unwrap() };
        let day = DayCount {
            user_count: 45,
            reported_at: at("2026-03-31T03:00:00Z"),
        };
        let network = network_of("203.0.113.77".parse().unwrap());
        for (user_count, time, is_held) in [
            (46, "2026-03-31T12:00:00Z", true),
            (45, "2026-03-31T12:00:00Z", false),
            (44, "2026-03-31T12:00:00Z", false),
            (46, "2026-03-31T02:00:00Z", false),
        ] {
            let report = Report {
                organization_id: Uuid::nil(),
                content: Content {
                    organization_name: "Acme".to_owned(),
                    instance_url: "acme.example".to_owned(),
                    user_count,
                },
                reported_at: at(time),
                source: None,
                signature: None,
            };
            let late = judge_late(&report, day, at("2026-04-02T00:00:00Z"));
            assert_eq!(late.is_some(), is_held, "late: {user_count} {time}");
            let in_time = judge_late(&report, day, at("2026-04-01T23:59:59Z"));
            assert_eq!(in_time, None);
            let held = judge(&report, day, network);
            assert_eq!(held.is_some(), is_held, "{user_count} {time}");
            assert!(held.is_none_or(|it| it.reason == HoldReason::NewNetwork));
        }
    }
}
