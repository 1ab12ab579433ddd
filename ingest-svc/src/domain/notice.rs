//! What the operator's own channel is told of by this service. org-svc has the channel; docs/OPERATIONS.md
//! has the facts of each kind.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    hold::{BASELINE, Hold, Low},
    report::Report,
    source::network_of,
};

/// How long after the end of its period an invoice becomes final: what Stripe gives it as a draft.
pub(crate) const DRAFT_TIME: TimeDelta = TimeDelta::hours(1);
/// How long before that an admin is told of reports that are still held.
pub(crate) const HOLD_NOTICE: TimeDelta = TimeDelta::hours(24);
/// How many of the instances that went silent a notice names: an outage of ours silences them all, and
/// the operator needs to be told of that once, not a million times.
const SILENT_NAMED_MAX: usize = 10;

/// What a notice of one organization tells of. Findings are told by the statements that find them, and
/// silence is gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoticeKind {
    ReportHeld,
    ReportConflict,
    HoldEnding,
    DeliveryRefused,
    CountLow,
}

impl NoticeKind {
    /// The word on the wire and in the table.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ReportHeld => "report.held",
            Self::ReportConflict => "report.conflict",
            Self::HoldEnding => "hold.ending",
            Self::DeliveryRefused => "delivery.refused",
            Self::CountLow => "count.low",
        }
    }
}

/// A notice.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewNotice {
    pub(crate) kind: NoticeKind,
    pub(crate) organization_id: Uuid,
    /// What tells it from others of its kind and organization. Of several that are the same one is
    /// told: a storm of refusals is no storm of notices.
    pub(crate) about: String,
    pub(crate) facts: Value,
}

impl NewNotice {
    /// A report is held: one a day is told of an organization.
    pub(crate) fn held(report_id: Uuid, report: &Report, hold: &Hold, now: DateTime<Utc>) -> Self {
        Self {
            kind: NoticeKind::ReportHeld,
            organization_id: report.organization_id,
            about: utc_day(now),
            facts: json!({
                "report_id": report_id,
                "reported_at": time_text(report.reported_at),
                "user_count": report.content.user_count,
                "instance_url": report.content.instance_url,
                "reason": hold.reason.as_str(),
                "message": hold.message,
                "compared_with": hold.compared_with,
            }),
        }
    }

    /// The counts of an organization begin to be low: told once until they are not.
    pub(crate) fn low(report_id: Uuid, report: &Report, low: Low) -> Self {
        Self {
            kind: NoticeKind::CountLow,
            organization_id: report.organization_id,
            about: time_text(report.reported_at),
            facts: json!({
                "report_id": report_id,
                "reported_at": time_text(report.reported_at),
                "user_count": report.content.user_count,
                BASELINE: low.baseline,
            }),
        }
    }

    /// A report was refused because another count is recorded for its time: one a day is told of an
    /// organization.
    pub(crate) fn conflict(report: &Report, recorded_count: i32, now: DateTime<Utc>) -> Self {
        Self {
            kind: NoticeKind::ReportConflict,
            organization_id: report.organization_id,
            about: utc_day(now),
            facts: json!({
                "reported_at": time_text(report.reported_at),
                "user_count": report.content.user_count,
                "recorded_user_count": recorded_count,
                "source_network": report.source.map(|it| network_of(it).to_string()),
            }),
        }
    }

    /// Stripe refused a report: one a day is told of an organization.
    pub(crate) fn refused(organization_id: Uuid, refused: Refused<'_>, now: DateTime<Utc>) -> Self {
        let Refused {
            report_id,
            reported_at,
            user_count,
            code,
            message,
        } = refused;
        Self {
            kind: NoticeKind::DeliveryRefused,
            organization_id,
            about: utc_day(now),
            facts: json!({
                "report_id": report_id,
                "reported_at": time_text(reported_at),
                "user_count": user_count,
                "code": code,
                "message": message,
            }),
        }
    }

    /// Reports are held, and their invoice is soon final: one is told of each invoice.
    pub(crate) fn hold_ending(
        organization_id: Uuid,
        held_count: i64,
        deadline: DateTime<Utc>,
    ) -> Self {
        Self {
            kind: NoticeKind::HoldEnding,
            organization_id,
            about: time_text(deadline),
            facts: json!({
                "held_report_count": held_count,
                "hold_deadline": time_text(deadline),
            }),
        }
    }

    /// What org-svc knows it by.
    pub(crate) fn key(&self) -> String {
        let kind = self.kind.as_str();
        format!("{kind}/{}/{}", self.organization_id, self.about)
    }
}

/// An instance that went silent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Silent {
    pub(crate) organization_id: Uuid,
    /// Its last report, or its link where there was none since.
    pub(crate) since: DateTime<Utc>,
    pub(crate) last_reported_at: Option<DateTime<Utc>>,
    pub(crate) user_count: Option<i32>,
}

/// What a notice says of instances: of the first few of them all that is known.
pub(crate) fn silent_facts(silent: &[Silent]) -> Value {
    let named = silent.iter().take(SILENT_NAMED_MAX).map(|it| {
        let Silent {
            organization_id,
            since,
            last_reported_at,
            user_count,
        } = it;
        json!({
            "organization_id": organization_id,
            "silent_since": time_text(*since),
            "last_reported_at": last_reported_at.map(time_text),
            "user_count": user_count,
        })
    });
    json!({"instance_count": silent.len(), "instances": named.collect::<Value>()})
}

/// What two notices say together.
pub(crate) fn join_silent(facts: &Value, more: &Value) -> Value {
    let count = |facts: &Value| {
        facts
            .get("instance_count")
            .and_then(Value::as_u64)
            .unwrap_or(0)
    };
    let named = [facts, more]
        .into_iter()
        .filter_map(|facts| facts.get("instances")?.as_array())
        .flatten()
        .take(SILENT_NAMED_MAX);
    json!({
        "instance_count": count(facts).saturating_add(count(more)),
        "instances": named.cloned().collect::<Value>(),
    })
}

/// A report that Stripe refused, and why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused<'a> {
    pub(crate) report_id: Uuid,
    pub(crate) reported_at: DateTime<Utc>,
    pub(crate) user_count: i32,
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
}

fn utc_day(now: DateTime<Utc>) -> String {
    now.date_naive().to_string()
}

fn time_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The times of an organization's held reports: the first's and the last's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeldSpan {
    pub(crate) first: DateTime<Utc>,
    pub(crate) last: DateTime<Utc>,
}

/// A subscription's present period, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Period {
    pub(crate) start: Option<DateTime<Utc>>,
    pub(crate) end: Option<DateTime<Utc>>,
}

/// When the invoice of held reports becomes final, where that is near: a report of an earlier period
/// belongs on the invoice that ended where the present one began.
pub(crate) fn near_deadline(
    held: HeldSpan,
    period: Period,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let earlier = period.start.filter(|start| held.first < *start);
    let present = period
        .end
        .filter(|_| period.start.is_none_or(|start| held.last >= start));
    [earlier, present]
        .into_iter()
        .flatten()
        .map(|end| end + DRAFT_TIME)
        .filter(|deadline| *deadline > now && *deadline <= now + HOLD_NOTICE)
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_near_for_a_day_and_each_period_has_its_own() {
        let now: DateTime<Utc> = "2026-03-31T12:00:00Z".parse().unwrap();
        let hours = |hours| now + TimeDelta::hours(hours);
        for (first, last, start, end, expected) in [
            // Of the present period.
            (-5, -4, Some(-100), Some(23), Some(24)),
            (-5, -4, Some(-100), Some(24), None),
            (-5, -4, Some(-100), Some(0), Some(1)),
            (-5, -4, Some(-100), Some(-1), None),
            (-5, -4, None, Some(10), Some(11)),
            (-5, -4, Some(-100), None, None),
            // Of the period before, whose invoice is still a draft, or is not.
            (-5, -4, Some(0), Some(700), Some(1)),
            (-5, -4, Some(-1), Some(700), None),
            // Of both: one that was missed hides no other.
            (-500, -4, Some(-100), Some(10), Some(11)),
            (-500, 0, Some(0), Some(10), Some(1)),
            (-500, -400, Some(-100), Some(10), None),
        ] {
            let held = HeldSpan {
                first: hours(first),
                last: hours(last),
            };
            let period = Period {
                start: start.map(hours),
                end: end.map(hours),
            };
            let found = near_deadline(held, period, now);
            assert_eq!(found, expected.map(hours), "{held:?} {period:?}");
        }
    }

    #[test]
    fn of_a_day_one_key_and_of_the_next_another() {
        let id = Uuid::from_u128(1);
        let key = |at: &str| {
            let refused = Refused {
                report_id: Uuid::max(),
                reported_at: DateTime::UNIX_EPOCH,
                user_count: 5,
                code: "customer_gone",
                message: "It is gone.",
            };
            NewNotice::refused(id, refused, at.parse().unwrap()).key()
        };
        let expected = format!("delivery.refused/{id}/2026-03-31");
        assert_eq!(key("2026-03-31T00:00:00Z"), expected);
        assert_eq!(key("2026-03-31T23:59:59.999Z"), expected);
        assert_ne!(key("2026-04-01T00:00:00Z"), expected);
    }
}
