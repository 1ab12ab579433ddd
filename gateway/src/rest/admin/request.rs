//! Reads path, query and body into a method's request message.

use axum::extract::RawPathParams;
use billing_kit::{Fault, Violation, proto_time};
use chrono::{DateTime, Utc};
use prost_reflect::{DynamicMessage, EnumDescriptor, MessageDescriptor, Value};
use uuid::Uuid;

use crate::{
    contract::{self, Field, Method, PAGE_SIZE, Shape},
    domain::{
        fields::{self, Fields},
        organization_filter::{parse_flag, parse_limit},
    },
    rest::query::Query,
};

const UUID: &str = "uuid";

/// Reads the `{id}` of the path.
///
/// # Errors
/// INVALID_ARGUMENT where it must be a UUID and is none.
pub(super) fn read_path(
    method: &Method,
    params: &RawPathParams,
    message: &mut DynamicMessage,
) -> Result<(), Fault> {
    let Some(field) = method.id_field() else {
        return Ok(());
    };
    let id = params.iter().next().map_or("", |(_, id)| id);
    if field.json.format == UUID && Uuid::try_parse(id).is_err() {
        let violation = Violation::new(&field.name, "It must be a UUID.");
        return Err(Fault::invalid(vec![violation]));
    }
    message.set_field(&field.descriptor, Value::String(id.to_owned()));
    Ok(())
}

/// Reads the query. What is left out or empty is not set.
///
/// # Errors
/// INVALID_ARGUMENT with every parameter at fault.
pub(super) fn read_query(
    method: &Method,
    query: Option<&str>,
    message: &mut DynamicMessage,
) -> Result<(), Fault> {
    let query = Query::read(query);
    let mut violations = Vec::new();
    for field in method.input_fields() {
        if let Some(value) = parameter(field, query.get(&field.name), &mut violations) {
            message.set_field(&field.descriptor, value);
        }
    }
    if violations.is_empty() {
        Ok(())
    } else {
        Err(Fault::invalid(violations))
    }
}

fn parameter(field: &Field, text: Option<&str>, violations: &mut Vec<Violation>) -> Option<Value> {
    if field.descriptor.name() == PAGE_SIZE {
        return Some(Value::I32(parse_limit(text, violations)));
    }
    let text = text.filter(|text| !text.is_empty())?;
    match &field.shape {
        Shape::Flag => Some(Value::Bool(parse_flag(Some(text), &field.name, violations))),
        Shape::Word(words) => {
            let value = parse_word(words, text);
            if value.is_none() {
                let words = contract::words(words).join(", ");
                let problem = format!("It must be one of: {words}.");
                violations.push(Violation::new(&field.name, problem));
            }
            value
        }
        // A plus that nobody escaped is a blank by now.
        Shape::Time(kind) => match DateTime::parse_from_rfc3339(&text.replace(' ', "+")) {
            Ok(time) => time_value(kind, time.to_utc()),
            Err(_) => {
                violations.push(Violation::new(&field.name, fields::NO_TIME));
                None
            }
        },
        Shape::Text => Some(Value::String(text.to_owned())),
        // No request has such a query parameter.
        Shape::Int32 | Shape::Int64 | Shape::Age | Shape::Message(_) => None,
    }
}

/// Reads the body.
///
/// # Errors
/// MALFORMED_BODY; INVALID_ARGUMENT with every field that is missing or of another kind.
pub(super) fn read_body(
    method: &Method,
    body: &[u8],
    message: &mut DynamicMessage,
) -> Result<(), Fault> {
    let body = fields::object(body)?;
    let mut fields = Fields::of(&body);
    for field in method.input_fields() {
        let value = if field.json.nullable {
            fields.if_present(&field.name, |fields| body_value(field, fields))
        } else {
            body_value(field, &mut fields)
        };
        if let Some(value) = value {
            message.set_field(&field.descriptor, value);
        }
    }
    let violations = fields.finish();
    if violations.is_empty() {
        Ok(())
    } else {
        Err(Fault::invalid(violations))
    }
}

fn body_value(field: &Field, fields: &mut Fields<'_>) -> Option<Value> {
    let name = field.name.as_str();
    match &field.shape {
        Shape::Text if field.descriptor.is_list() => {
            let texts = fields.texts(name)?.into_iter();
            Some(Value::List(texts.map(Value::String).collect()))
        }
        Shape::Text => fields.text(name).map(|it| Value::String(it.to_owned())),
        Shape::Flag => fields.boolean(name).map(Value::Bool),
        Shape::Int32 => {
            let number = fields.integer(name)?;
            let number = within(field, number, fields)?;
            i32::try_from(number).ok().map(Value::I32)
        }
        Shape::Word(words) => {
            let known = contract::words(words).join(", ");
            fields.word(name, |word| parse_word(words, word), &known)
        }
        Shape::Time(kind) => time_value(kind, fields.time(name)?),
        // No request body has such a field.
        Shape::Int64 | Shape::Age | Shape::Message(_) => None,
    }
}

/// A number within the limits that the contract gives.
fn within(field: &Field, number: i64, fields: &mut Fields<'_>) -> Option<i64> {
    let minimum = field.json.minimum.unwrap_or(i32::MIN.into());
    let maximum = field.json.maximum.unwrap_or(i32::MAX.into());
    if (minimum..=maximum).contains(&number) {
        return Some(number);
    }
    fields.violation(&field.name, &format!("It must be {minimum} to {maximum}."));
    None
}

fn parse_word(words: &EnumDescriptor, text: &str) -> Option<Value> {
    let mut numbers = words.values().map(|value| value.number());
    numbers
        .find(|number| contract::word(words, *number).as_deref() == Some(text))
        .map(Value::EnumNumber)
}

fn time_value(kind: &MessageDescriptor, time: DateTime<Utc>) -> Option<Value> {
    let mut message = DynamicMessage::new(kind.clone());
    message.transcode_from(&proto_time::to_proto(time)).ok()?;
    Some(Value::Message(message))
}
