//! What an admin changes of a subscription that is there.

use billing_kit::Violation;
use billing_proto::common::v1::{DeploymentType, PlanType};
use serde_json::{Map, Value};

use super::{
    fields::Fields,
    link_terms::{ADMIN_EMAIL, DEPLOYMENT_TYPE, PLAN_TYPE, is_address},
    words,
};

/// The field of a cancellation.
pub(crate) const MODE: &str = "mode";

/// Other terms for a subscription: at least one. What is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubscriptionUpdate {
    admin_email: Option<String>,
    deployment_type: Option<DeploymentType>,
    plan_type: Option<PlanType>,
}

impl SubscriptionUpdate {
    /// Reads the body of an update. A field that is null stays as it is, like one that is not there.
    ///
    /// # Errors
    /// Every field at fault; all of them where none is there.
    pub(crate) fn read(object: &Map<String, Value>) -> Result<Self, Vec<Violation>> {
        let mut fields = Fields::of(object);
        let admin_email = fields.if_present(ADMIN_EMAIL, |fields| fields.text(ADMIN_EMAIL));
        let deployment_type = fields.if_present(DEPLOYMENT_TYPE, |fields| {
            let parse = words::parse_deployment_type;
            fields.word(DEPLOYMENT_TYPE, parse, words::DEPLOYMENT_TYPES)
        });
        let plan_type = fields.if_present(PLAN_TYPE, |fields| {
            fields.word(PLAN_TYPE, words::parse_plan_type, words::PLAN_TYPES)
        });
        Self::check(fields, admin_email, deployment_type, plan_type)
    }

    /// The update of a typed message; a word that is not known is `Some(Unspecified)`.
    ///
    /// # Errors
    /// Every field at fault; all of them where none is there.
    pub(crate) fn new(
        admin_email: Option<&str>,
        deployment_type: Option<DeploymentType>,
        plan_type: Option<PlanType>,
    ) -> Result<Self, Vec<Violation>> {
        let nothing = Map::new();
        let mut fields = Fields::of(&nothing);
        if deployment_type == Some(DeploymentType::Unspecified) {
            let words = format!("It must be one of: {}.", words::DEPLOYMENT_TYPES);
            fields.violation(DEPLOYMENT_TYPE, &words);
        }
        if plan_type == Some(PlanType::Unspecified) {
            let words = format!("It must be one of: {}.", words::PLAN_TYPES);
            fields.violation(PLAN_TYPE, &words);
        }
        Self::check(fields, admin_email, deployment_type, plan_type)
    }

    fn check(
        mut fields: Fields<'_>,
        admin_email: Option<&str>,
        deployment_type: Option<DeploymentType>,
        plan_type: Option<PlanType>,
    ) -> Result<Self, Vec<Violation>> {
        let admin_email = admin_email.map(str::trim);
        if admin_email.is_some_and(|email| !is_address(email)) {
            fields.violation(
                ADMIN_EMAIL,
                "It must be an e-mail address of at most 254 characters.",
            );
        }
        let update = Self {
            admin_email: admin_email.map(str::to_owned),
            deployment_type,
            plan_type,
        };
        let mut violations = fields.finish();
        if violations.is_empty() && update.is_empty() {
            let missing =
                "At least one of admin_email, deployment_type and plan_type must be given.";
            let all = [ADMIN_EMAIL, DEPLOYMENT_TYPE, PLAN_TYPE];
            violations.extend(all.map(|field| Violation::new(field, missing)));
        }
        if violations.is_empty() {
            Ok(update)
        } else {
            Err(violations)
        }
    }

    fn is_empty(&self) -> bool {
        let Self {
            admin_email,
            deployment_type,
            plan_type,
        } = self;
        admin_email.is_none() && deployment_type.is_none() && plan_type.is_none()
    }

    /// The address that invoices go to.
    pub(crate) fn admin_email(&self) -> Option<&str> {
        self.admin_email.as_deref()
    }

    /// Where the instance is deployed; never unspecified.
    pub(crate) fn deployment_type(&self) -> Option<DeploymentType> {
        self.deployment_type
    }

    /// What the organization pays for; never unspecified.
    pub(crate) fn plan_type(&self) -> Option<PlanType> {
        self.plan_type
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(object) = value else {
            panic!("an object")
        };
        object
    }

    fn read(value: Value) -> Result<SubscriptionUpdate, Vec<String>> {
        SubscriptionUpdate::read(&object(value))
            .map_err(|violations| violations.into_iter().map(|v| v.field).collect())
    }

    #[test]
    fn each_field_alone_is_an_update_and_the_rest_stays() {
        let email = read(json!({"admin_email": " new@acme.com ", "plan_type": null})).unwrap();
        assert_eq!(email.admin_email(), Some("new@acme.com"));
        assert_eq!((email.deployment_type(), email.plan_type()), (None, None));
        let deployment = read(json!({"deployment_type": "managed-cloud", "other": 1})).unwrap();
        assert_eq!(
            deployment.deployment_type(),
            Some(DeploymentType::ManagedCloud)
        );
        assert_eq!(
            Ok(deployment),
            SubscriptionUpdate::new(None, Some(DeploymentType::ManagedCloud), None)
        );
        let plan = read(json!({"plan_type": "self-hosted"})).unwrap();
        assert_eq!(plan.plan_type(), Some(PlanType::SelfHosted));
    }

    #[test]
    fn what_is_at_fault_is_named_at_once_and_nothing_is_no_update() {
        let all = ["admin_email", "deployment_type", "plan_type"];
        let mut named = read(json!({"admin_email": "nope", "deployment_type": "moon",
            "plan_type": 7}))
        .unwrap_err();
        named.sort();
        assert_eq!(named, all);
        assert_eq!(read(json!({})).unwrap_err(), all);
        assert_eq!(read(json!({"trial_days": 9})).unwrap_err(), all);
        assert_eq!(
            read(json!({"admin_email": 7})).unwrap_err(),
            ["admin_email"]
        );
        let unknown = Some(DeploymentType::Unspecified);
        let named = SubscriptionUpdate::new(None, unknown, None).unwrap_err();
        assert_eq!(named[0].field, "deployment_type");
    }
}
