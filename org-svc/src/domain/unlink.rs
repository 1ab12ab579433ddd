//! The end of an organization's link: when it may be taken away, and why.

use super::organization::Organization;

const REASON_CHARS_MAX: usize = 500;

/// Why an admin unlinks an organization: 1 to 500 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnlinkReason(String);

impl UnlinkReason {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.is_empty() {
            Err("It is missing or empty.")
        } else if text.chars().count() > REASON_CHARS_MAX {
            Err("It is longer than 500 characters.")
        } else if text.contains('\0') {
            Err("It has a character that cannot be stored.")
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a request to unlink an organization leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Unlink,
    /// Nothing: it was unlinked before.
    AlreadyUnlinked,
    /// A refusal, and the sentence for the admin.
    Conflict(&'static str),
}

/// Decides about a request. Only what has ended is unlinked: a subscription that goes on would be
/// invoiced with nobody looking, and a second link would bill everything twice. And only once all that
/// was reported of it is delivered, under this standing or a newer one: the next link bills nothing
/// of before its start.
pub(crate) fn decide(
    organization: &Organization,
    is_under_way: bool,
    was_unlinked: bool,
    delivered_version: Option<i64>,
) -> Decision {
    if is_under_way {
        return Decision::Conflict("A change of the organization's link is in progress.");
    }
    if !organization.is_linked() {
        return if was_unlinked {
            Decision::AlreadyUnlinked
        } else {
            Decision::Conflict("The organization is not linked.")
        };
    }
    if !organization.subscription_status.has_ended() {
        return Decision::Conflict(
            "The organization's subscription has not ended. Cancel it first.",
        );
    }
    if delivered_version.is_some_and(|version| version >= organization.standing_version) {
        Decision::Unlink
    } else {
        Decision::Conflict(
            "Reports of the subscription that ended are still to be delivered, or held: see their \
             states, and try again.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::organization::{
        SubscriptionStatus,
        tests::{linked, pending},
    };

    #[test]
    fn only_what_has_ended_is_unlinked() {
        let of_status = |subscription_status| Organization {
            subscription_status,
            ..linked()
        };
        use SubscriptionStatus::{
            Active, Canceled, Incomplete, IncompleteExpired, PastDue, Paused, Pending, Trial,
            Unpaid,
        };
        for status in [Canceled, IncompleteExpired] {
            let ended = of_status(status);
            let now = Some(ended.standing_version);
            assert_eq!(decide(&ended, false, false, now), Decision::Unlink);
            // It was linked again since.
            assert_eq!(decide(&ended, false, true, now), Decision::Unlink);
            // Something is left to deliver, or the end was not heard of yet.
            for delivered in [None, Some(ended.standing_version - 1)] {
                let decision = decide(&ended, false, false, delivered);
                assert!(matches!(decision, Decision::Conflict(_)), "{delivered:?}");
            }
        }
        for status in [Pending, Trial, Active, PastDue, Unpaid, Incomplete, Paused] {
            let decision = decide(&of_status(status), false, true, Some(i64::MAX));
            assert!(matches!(decision, Decision::Conflict(_)), "{status:?}");
        }
        assert_eq!(
            decide(&pending(), false, true, None),
            Decision::AlreadyUnlinked
        );
        for (organization, is_under_way) in
            [(pending(), false), (pending(), true), (linked(), true)]
        {
            let decision = decide(&organization, is_under_way, false, Some(i64::MAX));
            assert!(matches!(decision, Decision::Conflict(_)));
        }
    }

    #[test]
    fn a_reason_has_bounds() {
        for bad in ["", "  ", "a\0b", &"r".repeat(501)] {
            assert!(UnlinkReason::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(UnlinkReason::parse(" moved ").unwrap().as_str(), "moved");
        assert!(UnlinkReason::parse(&"é".repeat(500)).is_ok());
    }
}
