//! Reads the fields of a JSON object one by one, so that every field at fault is told at once and
//! not only the first that a decoder trips over.

use billing_kit::{Fault, Violation};
use billing_proto::common::v1::ErrorReason;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

const HALF_A_CHARACTER: &str =
    "It has an escape that is half of a character (a lone surrogate, as in \\ud83d).";
/// What is wrong with a text that is no time.
pub(crate) const NO_TIME: &str =
    "It must be a time with its offset, for example 2024-11-03T03:00:00Z.";
/// Stands in a text for an escape that is half of a character: Unicode sets it apart for nothing but a
/// program's own use.
const LONE_SURROGATE: char = '\u{fdd0}';

/// The object that a body must be. A byte order mark before it is ignored. Where a text has an escape
/// that is half of a character, the field is found at fault when it is read.
///
/// # Errors
/// The body is no JSON, or JSON of another kind, or not in UTF-8.
pub(crate) fn object(body: &[u8]) -> Result<Map<String, Value>, Fault> {
    let malformed = |message: &str| Fault::new(ErrorReason::MalformedBody, message);
    let text = utf8_text(body).map_err(|message| malformed(&message))?;
    let value = serde_json::from_str(text).or_else(|error| match mark_lone_surrogates(text) {
        Some(marked) => serde_json::from_str(&marked),
        None => Err(error),
    });
    match value {
        Ok(Value::Object(object)) => Ok(object),
        Ok(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_),
        ) => Err(malformed("The body is JSON, but not an object.")),
        Err(error) => {
            let message = if error.to_string().starts_with("number out of range") {
                "The body has a number that no machine can hold.".to_owned()
            } else {
                let (line, column) = (error.line(), error.column());
                format!("The body is no JSON: see line {line}, column {column}.")
            };
            Err(malformed(&message).caused_by(error))
        }
    }
}

/// The body as a text, or a sentence that says what it is instead.
fn utf8_text(body: &[u8]) -> Result<&str, String> {
    const UTF8_MARK: &[u8] = &[0xef, 0xbb, 0xbf];
    const UTF16_MARKS: [&[u8]; 2] = [&[0xfe, 0xff], &[0xff, 0xfe]];
    const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
    let body = body.strip_prefix(UTF8_MARK).unwrap_or(body);
    if body.starts_with(GZIP_MAGIC) {
        return Err("The body is compressed with gzip and does not say so. \
            Send `Content-Encoding: gzip`, or JSON as it is."
            .to_owned());
    }
    if UTF16_MARKS.iter().any(|mark| body.starts_with(mark)) || body.contains(&0) {
        return Err("The body is in UTF-16 or UTF-32. Send JSON in UTF-8.".to_owned());
    }
    std::str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        format!(
            "The body is not in UTF-8: the byte at offset {at} is none of it, as in ISO-8859-1 \
             or Windows-1252. Send JSON in UTF-8."
        )
    })
}

/// The text with a mark for each escape that is half of a character; `None` where there is none.
fn mark_lone_surrogates(text: &str) -> Option<String> {
    const ESCAPE_LEN: usize = 6;
    let unit = |escape: &str| {
        let digits = escape.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut marked = String::with_capacity(text.len());
    let mut rest = text;
    let mut is_found = false;
    while let Some((before, escape)) = rest.find('\\').map(|at| rest.split_at(at)) {
        marked.push_str(before);
        let following = escape.get(ESCAPE_LEN..).and_then(unit);
        let len = match (unit(escape), following) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 2 * ESCAPE_LEN,
            (Some(0xd800..=0xdfff), _) => {
                is_found = true;
                marked.push(LONE_SURROGATE);
                rest = escape.get(ESCAPE_LEN..).unwrap_or_default();
                continue;
            }
            (Some(_), _) => ESCAPE_LEN,
            // A backslash and what it escapes, which may be another one.
            (None, _) => escape.chars().take(2).map(char::len_utf8).sum(),
        };
        let (kept, after) = escape.split_at_checked(len).unwrap_or((escape, ""));
        marked.push_str(kept);
        rest = after;
    }
    marked.push_str(rest);
    is_found.then_some(marked)
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
        let text = self.or_violation(name, value.as_str(), "It must be a text.")?;
        let well_formed = Some(text).filter(|text| !text.contains(LONE_SURROGATE));
        self.or_violation(name, well_formed, HALF_A_CHARACTER)
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
        let texts: Vec<String> = self.or_violation(name, texts, "It must be a list of texts.")?;
        let well_formed = |texts: &Vec<String>| !texts.iter().any(|it| it.contains(LONE_SURROGATE));
        self.or_violation(name, Some(texts).filter(well_formed), HALF_A_CHARACTER)
    }

    /// A moment in the form of RFC 3339, with its offset.
    pub(crate) fn time(&mut self, name: &str) -> Option<DateTime<Utc>> {
        let text = self.text(name)?;
        let time = DateTime::parse_from_rfc3339(text).ok();
        self.or_violation(name, time.map(|time| time.to_utc()), NO_TIME)
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

    /// One character that a program had cut in half lost the whole report, with a sentence about numbers.
    #[test]
    fn fm28_an_escape_that_is_half_of_a_character_names_its_field() {
        for (text, good) in [
            (r"Acme \ud83d", false),
            (r"\ude00 Acme", false),
            (r"\ud83d\ud83d\ude00", false),
            (r"\uD83D\u0041", false),
            (r"\ud83d\ude00", true),
            (r"Acme \\ud83d", true),
            (r"\u00e9\n\t", true),
        ] {
            let body = format!(r#"{{"name":"{text}","other":"b","n":4}}"#);
            let object = object(body.as_bytes()).unwrap();
            let mut fields = Fields::of(&object);
            assert_eq!(fields.text("name").is_some(), good, "{text}");
            assert_eq!(fields.text("other"), Some("b"));
            assert_eq!(fields.integer("n"), Some(4));
            let at_fault = fields.finish();
            assert_eq!(at_fault.is_empty(), good, "{text}");
            assert!(
                at_fault
                    .iter()
                    .all(|it| it.field == "name" && it.message.contains("half"))
            );
        }
        // Where nobody reads it, it does no harm.
        assert!(object(br#"{"unknown":["\ud83d"]}"#).is_ok());
    }

    #[test]
    fn what_the_body_is_instead_of_json_is_said() {
        assert!(object(b"\xef\xbb\xbf{}").is_ok(), "a byte order mark");
        for (body, part) in [
            (&b"{\"a\":\"\xe9\"}"[..], "ISO-8859-1"),
            (b"\xff\xfe{\0}\0", "UTF-16"),
            (b"{\0}\0", "UTF-16"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"{\"a\":1e999}", "number"),
            (b"{\"a\" 1}", "line 1, column"),
        ] {
            let fault = object(body).unwrap_err();
            assert!(fault.message.contains(part), "{}", fault.message);
        }
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
