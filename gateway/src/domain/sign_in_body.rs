//! The body of a sign-in, and what Better Auth says of one that is wrong.

use std::fmt;

use billing_kit::email::is_sign_in_email;
use secrecy::SecretString;
use serde_json::{Map, Value};

/// The longest password that is looked at, in UTF-16 units.
const PASSWORD_LEN_MAX: usize = 128;

/// An error in Better Auth's form: its clients show the message and act on the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthProblem {
    /// The sentence.
    pub message: String,
    /// The code.
    pub code: &'static str,
}

impl AuthProblem {
    /// A sentence and its code.
    pub(crate) fn new(message: impl Into<String>, code: &'static str) -> Self {
        Self {
            message: message.into(),
            code,
        }
    }
}

/// A sign-in that is worth a look at the password.
pub(crate) struct SignInBody {
    /// The e-mail address, as written.
    pub email: String,
    /// The password.
    pub password: SecretString,
    /// Whether the session outlives the browser.
    pub remember: bool,
    /// Where to go on; trusted already or not, that is for the origin rule to say.
    pub callback_url: Option<String>,
}

impl fmt::Debug for SignInBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignInBody")
    }
}

impl SignInBody {
    /// Reads a body; `None` is no body at all.
    ///
    /// # Errors
    /// What Better Auth says of it.
    pub(crate) fn read(body: Option<&Value>) -> Result<Self, AuthProblem> {
        let Some(Value::Object(object)) = body else {
            let problem = expected("[body]", "object", body);
            return Err(AuthProblem::new(problem, "VALIDATION_ERROR"));
        };
        let mut problems = Vec::new();
        let email = text(object, "email", &mut problems);
        let password = text(object, "password", &mut problems);
        let callback_url = optional(
            object,
            "callbackURL",
            "string",
            Value::as_str,
            &mut problems,
        );
        let remember = optional(
            object,
            "rememberMe",
            "boolean",
            Value::as_bool,
            &mut problems,
        );
        if !problems.is_empty() {
            return Err(AuthProblem::new(problems.join("; "), "VALIDATION_ERROR"));
        }
        if !is_sign_in_email(&email) {
            return Err(AuthProblem::new("Invalid email", "INVALID_EMAIL"));
        }
        if password.encode_utf16().count() > PASSWORD_LEN_MAX {
            return Err(AuthProblem::new("Password too long", "PASSWORD_TOO_LONG"));
        }
        Ok(Self {
            email,
            password: password.into(),
            remember: remember.unwrap_or(true),
            callback_url: callback_url
                .filter(|url| !url.is_empty())
                .map(str::to_owned),
        })
    }
}

/// A field that must be there; one that is not is empty, with its problem noted.
pub(super) fn text(object: &Map<String, Value>, name: &str, problems: &mut Vec<String>) -> String {
    let value = object.get(name);
    let text = value.and_then(Value::as_str);
    if text.is_none() {
        problems.push(expected(&format!("[body.{name}]"), "string", value));
    }
    text.unwrap_or_default().to_owned()
}

/// A field that may be left out.
pub(super) fn optional<'a, T>(
    object: &'a Map<String, Value>,
    name: &str,
    kind: &str,
    read: impl Fn(&'a Value) -> Option<T>,
    problems: &mut Vec<String>,
) -> Option<T> {
    let value = object.get(name)?;
    let read = read(value);
    if read.is_none() {
        problems.push(expected(&format!("[body.{name}]"), kind, Some(value)));
    }
    read
}

/// What Better Auth says of a value of the wrong type.
pub(super) fn expected(place: &str, kind: &str, value: Option<&Value>) -> String {
    let received = match value {
        None => "undefined",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "boolean",
        Some(Value::Number(_)) => "number",
        Some(Value::String(_)) => "string",
        Some(Value::Array(_)) => "array",
        Some(Value::Object(_)) => "object",
    };
    format!("{place} Invalid input: expected {kind}, received {received}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wrong_is_said_in_better_auths_words() {
        let long = "x".repeat(129);
        for (body, message, code) in [
            (
                None,
                "[body] Invalid input: expected object, received undefined",
                "VALIDATION_ERROR",
            ),
            (
                Some(json!([])),
                "[body] Invalid input: expected object, received array",
                "VALIDATION_ERROR",
            ),
            (
                Some(json!({"email": "a@b.de"})),
                "[body.password] Invalid input: expected string, received undefined",
                "VALIDATION_ERROR",
            ),
            (
                Some(json!({"password": 7})),
                "[body.email] Invalid input: expected string, received undefined; [body.password] Invalid input: expected string, received number",
                "VALIDATION_ERROR",
            ),
            (
                Some(json!({"email": "a@b.de", "password": "x", "rememberMe": "true"})),
                "[body.rememberMe] Invalid input: expected boolean, received string",
                "VALIDATION_ERROR",
            ),
            (
                Some(json!({"email": "nope", "password": "x"})),
                "Invalid email",
                "INVALID_EMAIL",
            ),
            (
                Some(json!({"email": "a@b.de", "password": long})),
                "Password too long",
                "PASSWORD_TOO_LONG",
            ),
        ] {
            let problem = SignInBody::read(body.as_ref()).unwrap_err();
            assert_eq!(problem, AuthProblem::new(message, code));
        }
    }

    #[test]
    fn a_session_is_remembered_unless_it_is_not_to_be() {
        let read = |body| SignInBody::read(Some(&body)).unwrap().remember;
        assert!(read(json!({"email": "a@b.de", "password": ""})));
        assert!(!read(
            json!({"email": "a@b.de", "password": "", "rememberMe": false})
        ));
    }
}
