//! The terms of a link, as an admin gives them.

use billing_kit::Violation;
use billing_proto::common::v1::{DeploymentType, PlanType};
use serde_json::{Map, Value};

use super::{fields::Fields, words};

/// The longest trial, in days.
pub(crate) const TRIAL_DAYS_MAX: i32 = 730;
/// The longest address, in bytes: SMTP carries none that is longer.
const ADMIN_EMAIL_LEN_MAX: usize = 254;
/// The longest id of Stripe's, in characters.
const CUSTOMER_ID_CHARS_MAX: usize = 255;

/// The fields, by the names that the specification gives them.
pub(crate) const ADMIN_EMAIL: &str = "admin_email";
/// See [`ADMIN_EMAIL`].
pub(crate) const DEPLOYMENT_TYPE: &str = "deployment_type";
/// See [`ADMIN_EMAIL`].
pub(crate) const PLAN_TYPE: &str = "plan_type";
/// See [`ADMIN_EMAIL`].
pub(crate) const TRIAL_DAYS: &str = "trial_days";
/// See [`ADMIN_EMAIL`].
pub(crate) const ADOPT_CUSTOMER_ID: &str = "adopt_customer_id";

/// Terms that are complete and in range.
///
/// They are checked here in full, unlike reports: a term that could not be read must never be left
/// out of the message to org-svc, where its absence could mean something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkTerms {
    admin_email: String,
    deployment_type: DeploymentType,
    plan_type: PlanType,
    trial_days: i32,
    adopt_customer_id: Option<String>,
}

impl LinkTerms {
    /// Reads the body of a link request.
    ///
    /// # Errors
    /// Every field at fault.
    pub(crate) fn read(object: &Map<String, Value>) -> Result<Self, Vec<Violation>> {
        let mut fields = Fields::of(object);
        let admin_email = fields.text(ADMIN_EMAIL);
        let deployment_type = fields.word(
            DEPLOYMENT_TYPE,
            words::parse_deployment_type,
            words::DEPLOYMENT_TYPES,
        );
        let plan_type = fields.word(PLAN_TYPE, words::parse_plan_type, words::PLAN_TYPES);
        let trial_days = fields.integer(TRIAL_DAYS);
        let adopt_customer_id =
            fields.if_present(ADOPT_CUSTOMER_ID, |fields| fields.text(ADOPT_CUSTOMER_ID));
        Self::check(
            fields,
            admin_email,
            deployment_type,
            plan_type,
            trial_days,
            adopt_customer_id,
        )
    }

    /// The terms of a typed message, where an absent value is `None`.
    ///
    /// # Errors
    /// Every field at fault.
    pub(crate) fn new(
        admin_email: &str,
        deployment_type: Option<DeploymentType>,
        plan_type: Option<PlanType>,
        trial_days: Option<i64>,
        adopt_customer_id: Option<&str>,
    ) -> Result<Self, Vec<Violation>> {
        let nothing = Map::new();
        let mut fields = Fields::of(&nothing);
        let words = |words| format!("It must be one of: {words}.");
        if deployment_type.is_none() {
            fields.violation(DEPLOYMENT_TYPE, &words(words::DEPLOYMENT_TYPES));
        }
        if plan_type.is_none() {
            fields.violation(PLAN_TYPE, &words(words::PLAN_TYPES));
        }
        if trial_days.is_none() {
            fields.violation(TRIAL_DAYS, "It is missing.");
        }
        Self::check(
            fields,
            Some(admin_email),
            deployment_type,
            plan_type,
            trial_days,
            adopt_customer_id,
        )
    }

    fn check(
        mut fields: Fields<'_>,
        admin_email: Option<&str>,
        deployment_type: Option<DeploymentType>,
        plan_type: Option<PlanType>,
        trial_days: Option<i64>,
        adopt_customer_id: Option<&str>,
    ) -> Result<Self, Vec<Violation>> {
        let admin_email = admin_email.map(str::trim);
        if admin_email.is_some_and(|email| !is_address(email)) {
            fields.violation(
                ADMIN_EMAIL,
                "It must be an e-mail address of at most 254 characters.",
            );
        }
        let days = trial_days.and_then(|days| {
            let days = i32::try_from(days).ok();
            days.filter(|days| (0..=TRIAL_DAYS_MAX).contains(days))
        });
        if trial_days.is_some() && days.is_none() {
            fields.violation(TRIAL_DAYS, "It must be 0 (no trial) to 730 days.");
        }
        if adopt_customer_id.is_some_and(|id| !is_stripe_id(id)) {
            fields.violation(
                ADOPT_CUSTOMER_ID,
                "It must be the id of a customer in Stripe, for example cus_NEW123.",
            );
        }
        let violations = fields.finish();
        match (admin_email, deployment_type, plan_type, days) {
            (Some(admin_email), Some(deployment_type), Some(plan_type), Some(trial_days))
                if violations.is_empty() =>
            {
                Ok(Self {
                    admin_email: admin_email.to_owned(),
                    deployment_type,
                    plan_type,
                    trial_days,
                    adopt_customer_id: adopt_customer_id.map(str::to_owned),
                })
            }
            _ => Err(violations),
        }
    }

    /// The address that invoices go to.
    pub(crate) fn admin_email(&self) -> &str {
        &self.admin_email
    }

    /// Where the instance is deployed; never unspecified.
    pub(crate) fn deployment_type(&self) -> DeploymentType {
        self.deployment_type
    }

    /// What the organization pays for; never unspecified.
    pub(crate) fn plan_type(&self) -> PlanType {
        self.plan_type
    }

    /// Length of the trial in days, 0 (none) to 730.
    pub(crate) fn trial_days(&self) -> i32 {
        self.trial_days
    }

    /// The customer in Stripe to use in place of a new one.
    pub(crate) fn adopt_customer_id(&self) -> Option<&str> {
        self.adopt_customer_id.as_deref()
    }
}

fn is_stripe_id(text: &str) -> bool {
    (1..=CUSTOMER_ID_CHARS_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A loose rule, because a real address that is refused here could never be invoiced; org-svc and
/// Stripe look closer.
pub(super) fn is_address(text: &str) -> bool {
    let parts = text.rsplit_once('@');
    text.len() <= ADMIN_EMAIL_LEN_MAX
        && parts.is_some_and(|(local, host)| {
            !local.is_empty() && !host.is_empty() && !local.contains('@')
        })
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Result<LinkTerms, Vec<String>> {
        let Value::Object(object) = value else {
            panic!("an object")
        };
        LinkTerms::read(&object)
            .map_err(|violations| violations.into_iter().map(|v| v.field).collect())
    }

    #[test]
    fn the_documented_terms_are_good() {
        let terms = read(serde_json::json!({"admin_email": "billing@acme.com",
            "deployment_type": "on-premise", "plan_type": "managed-cloud", "trial_days": 4}))
        .unwrap();
        assert_eq!(terms.trial_days(), 4);
        assert_eq!(terms.deployment_type(), DeploymentType::OnPremise);
        assert_eq!(
            Ok(terms),
            LinkTerms::new(
                "billing@acme.com",
                Some(DeploymentType::OnPremise),
                Some(PlanType::ManagedCloud),
                Some(4),
                None
            )
        );
    }

    #[test]
    fn a_customer_to_adopt_is_named_by_its_id_or_not_at_all() {
        for (customer, adopted) in [
            (serde_json::json!("cus_NEW123"), Ok(Some("cus_NEW123"))),
            (Value::Null, Ok(None)),
            (serde_json::json!(""), Err(())),
            (serde_json::json!("cus/../prices"), Err(())),
            (serde_json::json!(7), Err(())),
        ] {
            let terms = read(serde_json::json!({"admin_email": "billing@acme.com",
                "deployment_type": "on-premise", "plan_type": "managed-cloud", "trial_days": 4,
                "adopt_customer_id": customer}));
            match adopted {
                Ok(adopted) => assert_eq!(terms.unwrap().adopt_customer_id(), adopted),
                Err(()) => assert_eq!(terms.unwrap_err(), [ADOPT_CUSTOMER_ID], "{customer}"),
            }
        }
    }

    #[test]
    fn every_term_at_fault_is_named_at_once() {
        let all = ["deployment_type", "plan_type", "admin_email", "trial_days"];
        let named = read(
            serde_json::json!({"admin_email": "nope", "deployment_type": "moon",
            "plan_type": "gold", "trial_days": -1}),
        )
        .unwrap_err();
        assert_eq!(named, all);
        let mut missing = read(serde_json::json!({})).unwrap_err();
        missing.sort();
        let mut sorted = all.to_vec();
        sorted.sort_unstable();
        assert_eq!(missing, sorted);
        for days in [
            serde_json::json!("4"),
            serde_json::json!(4.0),
            serde_json::json!(731),
            serde_json::json!(i64::MAX),
        ] {
            let named = read(serde_json::json!({"admin_email": "a@b.de",
                "deployment_type": "on-premise", "plan_type": "self-hosted", "trial_days": days}));
            assert_eq!(named.unwrap_err(), ["trial_days"], "{days}");
        }
    }
}
