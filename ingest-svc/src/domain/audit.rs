//! What admins decide here, as the audit trail of org-svc is told of it.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{
    delivery::DeliveryState,
    finding::{DismissReason, Finding},
    hold::Decision,
    signing::{Fingerprint, KeyRule, Pinning, PublicKey},
};

/// So many of the reports of a decision are named: `hold_decisions` has them all, by the request's id.
const REPORTS_NAMED_MAX: usize = 100;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    HeldReportsReleased,
    HeldReportsDiscarded,
    ReportRetried,
    ReportReplaced,
    FindingDismissed,
    SigningKeyConfirmed,
    SigningKeyPinned,
    SigningKeyReplaced,
    SigningKeyReset,
}

impl Action {
    /// The word on the wire and in the table.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::HeldReportsReleased => "held_reports.released",
            Self::HeldReportsDiscarded => "held_reports.discarded",
            Self::ReportRetried => "report.retried",
            Self::ReportReplaced => "report.replaced",
            Self::FindingDismissed => "finding.dismissed",
            Self::SigningKeyConfirmed => "signing_key.confirmed",
            Self::SigningKeyPinned => "signing_key.pinned",
            Self::SigningKeyReplaced => "signing_key.replaced",
            Self::SigningKeyReset => "signing_key.reset",
        }
    }
}

/// A report that was put in the place of a recorded one: the id, count and state of each.
#[derive(Debug)]
pub(crate) struct Replaced {
    pub(crate) organization_id: Uuid,
    pub(crate) reported_at: DateTime<Utc>,
    pub(crate) recorded: (Uuid, Option<i32>, DeliveryState),
    pub(crate) replacement: (Uuid, i32, DeliveryState),
    pub(crate) conflict_id: Uuid,
}

/// What changed, as it was and as it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) action: Action,
    pub(crate) organization_id: Uuid,
    pub(crate) before: Option<Json>,
    pub(crate) after: Json,
}

impl Change {
    /// A decision on these held reports of an organization, of which so many are still held.
    pub(crate) fn decided(
        organization_id: Uuid,
        decision: Decision,
        report_ids: &[Uuid],
        held_count: i64,
    ) -> Self {
        let count = i64::try_from(report_ids.len()).unwrap_or(i64::MAX);
        let named: Vec<_> = report_ids.iter().take(REPORTS_NAMED_MAX).collect();
        Self {
            action: match decision {
                Decision::Released => Action::HeldReportsReleased,
                Decision::Discarded => Action::HeldReportsDiscarded,
            },
            organization_id,
            before: Some(json!({"held_report_count": held_count.saturating_add(count)})),
            after: json!({
                "held_report_count": held_count,
                "report_count": count,
                "report_ids": named,
            }),
        }
    }

    /// A refused report that is sent again, or that came to another end.
    pub(crate) fn retried(
        organization_id: Uuid,
        report_id: Uuid,
        reported_at: DateTime<Utc>,
        error: Option<(&str, &str)>,
        state: DeliveryState,
    ) -> Self {
        let (code, message) = error.unzip();
        Self {
            action: Action::ReportRetried,
            organization_id,
            before: Some(json!({
                "delivery_state": DeliveryState::Refused.as_str(),
                "error_code": code,
                "error_message": message,
            })),
            after: json!({
                "report_id": report_id,
                "reported_at": time_text(reported_at),
                "delivery_state": state.as_str(),
            }),
        }
    }

    /// A refused report that took the place of the recorded one.
    pub(crate) fn replaced(replaced: &Replaced) -> Self {
        let (recorded_id, recorded_count, recorded_state) = replaced.recorded;
        let (id, count, state) = replaced.replacement;
        Self {
            action: Action::ReportReplaced,
            organization_id: replaced.organization_id,
            before: Some(json!({
                "report_id": recorded_id,
                "user_count": recorded_count,
                "delivery_state": recorded_state.as_str(),
            })),
            after: json!({
                "report_id": id,
                "user_count": count,
                "delivery_state": state.as_str(),
                "reported_at": time_text(replaced.reported_at),
                "conflict_id": replaced.conflict_id,
            }),
        }
    }

    /// A finding that is left as it is.
    pub(crate) fn dismissed(finding: &Finding, reason: &DismissReason) -> Self {
        Self {
            action: Action::FindingDismissed,
            organization_id: finding.organization_id,
            before: None,
            after: json!({
                "finding_id": finding.id,
                "finding": finding.kind.as_str(),
                "day": finding.day,
                "stripe_invoice_id": finding.stripe_invoice_id,
                "expected": finding.expected,
                "found": finding.found,
                "reason": reason.as_str(),
            }),
        }
    }
}

impl Change {
    /// An admin's word on which key an organization's reports must be signed with.
    pub(crate) fn key_rule(organization_id: Uuid, before: &KeyRule, after: &KeyRule) -> Self {
        let confirms = after.pinned.is_some() || after.awaited.is_some();
        Self {
            action: if confirms {
                Action::SigningKeyConfirmed
            } else {
                Action::SigningKeyReset
            },
            organization_id,
            before: Some(key_facts(before)),
            after: key_facts(after),
        }
    }

    /// A report that pinned a key: an admin had confirmed it, or the key before signed it.
    pub(crate) fn key_pinned_by_report(
        organization_id: Uuid,
        after: &KeyRule,
        pinning: Pinning,
    ) -> Self {
        let (action, before) = match pinning {
            Pinning::Awaited => (Action::SigningKeyPinned, None),
            Pinning::Replaced(old) => {
                let before = KeyRule {
                    pinned: Some(old),
                    awaited: None,
                };
                (Action::SigningKeyReplaced, Some(key_facts(&before)))
            }
        };
        Self {
            action,
            organization_id,
            before,
            after: key_facts(after),
        }
    }
}

fn key_facts(rule: &KeyRule) -> Json {
    json!({
        "pinned_key": rule.pinned.as_ref().map(PublicKey::fingerprint).as_ref().map(Fingerprint::to_string),
        "awaited_key": rule.awaited.as_ref().map(Fingerprint::to_string),
    })
}

fn time_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_on_very_many_names_some_and_counts_all() {
        let ids: Vec<_> = (0..1_000).map(Uuid::from_u128).collect();
        let change = Change::decided(Uuid::max(), Decision::Released, &ids, 7);
        assert_eq!(change.action.as_str(), "held_reports.released");
        assert_eq!(change.before, Some(json!({"held_report_count": 1_007})));
        let named = change.after.get("report_ids").and_then(Json::as_array);
        assert_eq!(named.map(Vec::len), Some(REPORTS_NAMED_MAX));
        assert_eq!(change.after.get("report_count"), Some(&json!(1_000)));
        // org-svc takes objects of at most 16 KiB.
        assert!(change.after.to_string().len() < 8 * 1_024);
    }
}
