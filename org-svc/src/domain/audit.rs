//! The audit trail as it is read: who changed what, when, from where.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use uuid::Uuid;

use super::{account::UserId, email::EmailAddress, organization::OrganizationId};

const ACTOR_CHARS_MAX: usize = 254;
const ACTION_CHARS_MAX: usize = 100;

/// A change as it is recorded.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) id: Uuid,
    pub(crate) occurred_at: DateTime<Utc>,
    /// As it was written: a word of an older release is shown as it is.
    pub(crate) action: String,
    pub(crate) organization_id: Option<OrganizationId>,
    pub(crate) admin_user_id: Option<UserId>,
    pub(crate) api_key_id: Option<Uuid>,
    pub(crate) client_address: Option<IpAddr>,
    pub(crate) request_id: Option<String>,
    pub(crate) before: Option<Json>,
    pub(crate) after: Option<Json>,
}

/// A change that an admin made with another service, as that tells of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) id: Uuid,
    pub(crate) occurred_at: DateTime<Utc>,
    pub(crate) action: &'static str,
    pub(crate) organization_id: OrganizationId,
    /// None for what no admin did.
    pub(crate) admin_user_id: Option<UserId>,
    pub(crate) api_key_id: Option<Uuid>,
    pub(crate) client_address: Option<IpAddr>,
    pub(crate) request_id: String,
    pub(crate) before: Option<Json>,
    pub(crate) after: Json,
}

/// Also done by the configuration, where a rule is switched off.
const RELEASED: &str = "held_reports.released";

/// What another service may tell of.
const TOLD_ACTIONS: [&str; 9] = [
    RELEASED,
    "held_reports.discarded",
    "report.retried",
    "report.replaced",
    "finding.dismissed",
    "signing_key.confirmed",
    "signing_key.pinned",
    "signing_key.replaced",
    "signing_key.reset",
];
/// Those of them that may be done without an admin: by an instance, with what it reports, or by the
/// configuration.
const ACTIONS_WITHOUT_ADMIN: [&str; 3] = [RELEASED, "signing_key.pinned", "signing_key.replaced"];

/// The action of a change that another service tells of.
pub(crate) fn parse_told_action(text: &str) -> Result<&'static str, &'static str> {
    let known = TOLD_ACTIONS.into_iter().find(|known| *known == text);
    known.ok_or("It is not known.")
}

/// Whether this may be done without an admin.
pub(crate) fn may_be_nobodys(action: &str) -> bool {
    ACTIONS_WITHOUT_ADMIN.contains(&action)
}

/// Whose changes are picked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Actor {
    Id(UserId),
    Email(EmailAddress),
}

impl Actor {
    /// `None` for the empty text, which picks all.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, &'static str> {
        if text.is_empty() {
            Ok(None)
        } else if text.chars().count() > ACTOR_CHARS_MAX || text.contains('\0') {
            Err("It is neither a user id nor an e-mail address.")
        } else if text.contains('@') {
            let email = EmailAddress::parse(text).map_err(|_| "It is not an e-mail address.")?;
            Ok(Some(Self::Email(email)))
        } else {
            Ok(Some(Self::Id(UserId(text.to_owned()))))
        }
    }
}

/// An action's word, for a filter; `None` for the empty text, which picks all.
pub(crate) fn parse_action(text: &str) -> Result<Option<String>, &'static str> {
    let is_word = |c: char| c.is_ascii_lowercase() || matches!(c, '.' | '_');
    if text.chars().count() <= ACTION_CHARS_MAX && text.chars().all(is_word) {
        Ok((!text.is_empty()).then(|| text.to_owned()))
    } else {
        Err("It is not an action such as organization.linked.")
    }
}

/// Which changes a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AuditFilter {
    pub(crate) organization_id: Option<OrganizationId>,
    pub(crate) actor: Option<Actor>,
    pub(crate) action: Option<String>,
    /// From this moment on.
    pub(crate) since: Option<DateTime<Utc>>,
    /// Before this moment.
    pub(crate) until: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_an_id_or_an_address() {
        assert_eq!(Actor::parse(""), Ok(None));
        let id = Actor::Id(UserId("u1".to_owned()));
        assert_eq!(Actor::parse("u1"), Ok(Some(id)));
        assert!(matches!(
            Actor::parse("admin@example.com"),
            Ok(Some(Actor::Email(_)))
        ));
        for bad in ["@", "a\0b", &"u".repeat(255)] {
            assert!(Actor::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn another_service_tells_of_what_is_its_own() {
        assert_eq!(parse_told_action("report.retried"), Ok("report.retried"));
        assert!(parse_told_action("organization.linked").is_err());
    }

    #[test]
    fn an_action_is_a_word() {
        assert_eq!(parse_action(""), Ok(None));
        let action = "organization.link_requested";
        assert_eq!(parse_action(action), Ok(Some(action.to_owned())));
        for bad in ["Linked", "a b", "x\0", &"a".repeat(101)] {
            assert!(parse_action(bad).is_err(), "{bad}");
        }
    }
}
