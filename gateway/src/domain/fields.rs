//! Reads the fields of a JSON object one by one, so that every field at fault is told at once and
//! not only the first that a decoder trips over.

use billing_kit::{Fault, Violation};
use billing_proto::common::v1::ErrorReason;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

/// The object that a body must be.
///
/// # Errors
/// The body is no JSON, or JSON of another kind.
pub(crate) fn object(body: &[u8]) -> Result<Map<String, Value>, Fault> {
    let malformed = |message: &str| Fault::new(ErrorReason::MalformedBody, message);
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_),
        ) => Err(malformed("The body is JSON, but not an object.")),
        Err(error) => {
            let message = "The body is no JSON, or has a number that no machine can hold.";
            Err(malformed(message).caused_by(error))
        }
    }
}

/// The fields of an object while they are read, and what was found wrong with them so far.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    object: &'a Map<String, Value>,
    violations: Vec<Violation>,
}

impl<'a> Fields<'a> {
    /// Begins to read. Fields that nobody asks for are ignored.
    pub(crate) fn of(object: &'a Map<String, Value>) -> Self {
        Self {
            object,
            violations: Vec::new(),
        }
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &str) -> Option<&'a str> {
        let value = self.present(name)?;
        let text = value.as_str();
        self.or_violation(name, text, "It must be a text.")
    }

    /// An integer: a number that is written with a fraction or an exponent is none.
    pub(crate) fn integer(&mut self, name: &str) -> Option<i64> {
        let value = self.present(name)?;
        let integer = value.as_i64();
        let problem = if value.is_number() {
            "It must be an integer, without a fraction or an exponent, of at most 63 bits."
        } else {
            "It must be a number."
        };
        self.or_violation(name, integer, problem)
    }

    /// True or false.
    pub(crate) fn boolean(&mut self, name: &str) -> Option<bool> {
        let value = self.present(name)?;
        self.or_violation(name, value.as_bool(), "It must be true or false.")
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let value = self.present(name)?;
        let texts = value.as_array().and_then(|items| {
            let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
            texts.collect()
        });
        self.or_violation(name, texts, "It must be a list of texts.")
    }

    /// A moment in the form of RFC 3339, with its offset.
    pub(crate) fn time(&mut self, name: &str) -> Option<DateTime<Utc>> {
        let text = self.text(name)?;
        let time = DateTime::parse_from_rfc3339(text).ok();
        self.or_violation(
            name,
            time.map(|time| time.to_utc()),
            "It must be a time with its offset, for example 2024-11-03T03:00:00Z.",
        )
    }

    /// One of a few words.
    pub(crate) fn word<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
        words: &str,
    ) -> Option<T> {
        let text = self.text(name)?;
        self.or_violation(name, parse(text), &format!("It must be one of: {words}."))
    }

    /// Reads a field where it is there; one that is null is not.
    pub(crate) fn if_present<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        match self.object.get(name) {
            None | Some(Value::Null) => None,
            Some(
                Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_),
            ) => read(self),
        }
    }

    /// Records what is wrong with a field.
    pub(crate) fn violation(&mut self, name: &str, problem: &str) {
        self.violations.push(Violation::new(name, problem));
    }

    /// Ends the reading: what is wrong, in the order in which it was asked for.
    pub(crate) fn finish(self) -> Vec<Violation> {
        self.violations
    }

    fn present(&mut self, name: &str) -> Option<&'a Value> {
        let value = self.object.get(name).filter(|value| !value.is_null());
        self.or_violation(name, value, "It is missing.")
    }

    fn or_violation<T>(&mut self, name: &str, value: Option<T>, problem: &str) -> Option<T> {
        if value.is_none() {
            self.violation(name, problem);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> (Option<i64>, Option<DateTime<Utc>>, Vec<String>) {
        let Value::Object(object) = value else {
            panic!("an object")
        };
        let mut fields = Fields::of(&object);
        let read = (fields.integer("n"), fields.time("t"));
        let at_fault = fields.finish().into_iter().map(|v| v.field).collect();
        (read.0, read.1, at_fault)
    }

    #[test]
    fn only_integers_are_integers() {
        for (n, good) in [
            (serde_json::json!(45), true),
            (serde_json::json!(-1), true),
            (serde_json::json!(45.0), false),
            (serde_json::json!(u64::MAX), false),
            (serde_json::json!("45"), false),
            (serde_json::json!(true), false),
            (Value::Null, false),
        ] {
            let (integer, _, at_fault) =
                read(serde_json::json!({"n": n, "t": "2024-11-03T03:00:00Z"}));
            assert_eq!(integer.is_some(), good, "{n}");
            assert_eq!(at_fault.is_empty(), good, "{n}");
        }
    }

    #[test]
    fn a_time_needs_its_offset() {
        for (t, good) in [
            ("2024-11-03T03:00:00Z", true),
            ("2024-11-03T05:00:00.123456+02:00", true),
            ("2024-11-03T03:00:00", false),
            ("2024-11-03", false),
            ("yesterday", false),
        ] {
            let (_, time, _) = read(serde_json::json!({"n": 1, "t": t}));
            assert_eq!(time.is_some(), good, "{t}");
        }
        let (_, time, _) = read(serde_json::json!({"n": 1, "t": "2024-11-03T05:00:00+02:00"}));
        assert_eq!(time.unwrap().to_rfc3339(), "2024-11-03T03:00:00+00:00");
    }

    #[test]
    fn every_field_at_fault_is_told() {
        assert_eq!(read(serde_json::json!({})).2, ["n", "t"]);
    }

    #[test]
    fn a_body_is_an_object() {
        for bad in [
            "",
            "{",
            "[]",
            "7",
            "null",
            "\"x\"",
            "{\"a\":1}x",
            "{\"a\":1e999}",
        ] {
            let fault = object(bad.as_bytes()).unwrap_err();
            assert_eq!(fault.reason, ErrorReason::MalformedBody, "{bad}");
        }
        assert!(object(b"{\"a\":\"\xff\"}").is_err(), "not UTF-8");
        assert!(object(b" {} ").is_ok());
    }
}
