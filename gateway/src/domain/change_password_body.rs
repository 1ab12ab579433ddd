//! The body of a change of password, and what Better Auth says of one that is wrong.

use std::fmt;

use secrecy::SecretString;
use serde_json::Value;

use super::sign_in_body::{AuthProblem, expected, optional, text};

/// A change of password that is worth a look at the passwords.
pub(crate) struct ChangePasswordBody {
    /// The password as it is.
    pub current: SecretString,
    /// The password as it shall be.
    pub new: SecretString,
    /// Whether the user's other sessions end.
    pub revoke_other_sessions: bool,
}

impl fmt::Debug for ChangePasswordBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChangePasswordBody")
    }
}

impl ChangePasswordBody {
    /// Reads a body; `None` is no body at all. What the passwords are is for org-svc to judge.
    ///
    /// # Errors
    /// What Better Auth says of it.
    pub(crate) fn read(body: Option<&Value>) -> Result<Self, AuthProblem> {
        let Some(Value::Object(object)) = body else {
            let problem = expected("[body]", "object", body);
            return Err(AuthProblem::new(problem, "VALIDATION_ERROR"));
        };
        let mut problems = Vec::new();
        let new = text(object, "newPassword", &mut problems);
        let current = text(object, "currentPassword", &mut problems);
        let revoke = optional(
            object,
            "revokeOtherSessions",
            "boolean",
            Value::as_bool,
            &mut problems,
        );
        if !problems.is_empty() {
            return Err(AuthProblem::new(problems.join("; "), "VALIDATION_ERROR"));
        }
        Ok(Self {
            current: current.into(),
            new: new.into(),
            revoke_other_sessions: revoke.unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_field_at_fault_is_named_in_better_auths_order() {
        let body = json!({"currentPassword": 7, "newPassword": null, "revokeOtherSessions": "x"});
        let problem = ChangePasswordBody::read(Some(&body)).unwrap_err();
        assert_eq!(
            problem,
            AuthProblem::new(
                "[body.newPassword] Invalid input: expected string, received null; [body.currentPassword] Invalid input: expected string, received number; [body.revokeOtherSessions] Invalid input: expected boolean, received string",
                "VALIDATION_ERROR"
            )
        );
    }

    #[test]
    fn other_sessions_go_on_unless_they_are_to_end() {
        let read = |body| ChangePasswordBody::read(Some(&body)).unwrap();
        let plain = json!({"currentPassword": "", "newPassword": ""});
        assert!(!read(plain).revoke_other_sessions);
        let revoke = json!({"currentPassword": "", "newPassword": "", "revokeOtherSessions": true});
        assert!(read(revoke).revoke_other_sessions);
    }
}
