//! Writes a method's response as JSON. All naming rules of REST answers are here and in `contract`.
//!
//! Fields are in the order of their numbers. Integers are numbers, times are RFC 3339, enum values are
//! words. An absent value is null. `error_code` with `error_message` is one object `error`.

use std::time::Duration;

use axum::response::Response;
use billing_kit::{Fault, proto_time};
use billing_proto::{admin::v1 as admin, common::v1::LinkOperationState};
use http::StatusCode;
use prost_reflect::{DynamicMessage, EnumDescriptor, MessageDescriptor, ReflectMessage, Value};
use serde::{
    Serialize, Serializer,
    ser::{Error, SerializeMap},
};
use serde_json::value::RawValue;

use crate::{
    contract::{self, Field, Method, Shape},
    domain::time_text,
    rest::{
        answer::json,
        json::{LinkOperationJson, OrganizationJson},
    },
};

/// The response field with an operation that may continue in the background.
pub(super) const OPERATION: &str = "operation";
/// The two fields that are one `error` in REST.
pub(super) const ERROR_CODE: &str = "error_code";
pub(super) const ERROR_MESSAGE: &str = "error_message";
pub(super) const ERROR: &str = "error";
/// Messages with handwritten JSON.
pub(super) const ORGANIZATION: &str = "billing.admin.v1.Organization";
pub(super) const LINK_OPERATION: &str = "billing.admin.v1.LinkOperation";

/// The answer of a method.
///
/// # Errors
/// The response lacks what the contract promises.
pub(super) fn response(method: &Method, message: &DynamicMessage) -> Result<Response, Fault> {
    let is_running = !method.rest.running_message.is_empty() && is_running(message);
    let status = if is_running {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    let answer = Answer {
        method,
        message,
        is_running,
    };
    // Written before the response is built, so that a missing field becomes a named fault.
    let text = serde_json::value::to_raw_value(&answer).map_err(Fault::internal)?;
    Ok(json(status, &text))
}

fn is_running(message: &DynamicMessage) -> bool {
    let operation = message.get_field_by_name(OPERATION);
    let operation = operation.as_ref().and_then(|value| value.as_message());
    let operation: Option<admin::LinkOperation> = operation.and_then(|it| it.transcode_to().ok());
    operation.is_some_and(|it| it.state() == LinkOperationState::Running)
}

/// A response with `success` and `message` before its fields.
struct Answer<'a> {
    method: &'a Method,
    message: &'a DynamicMessage,
    is_running: bool,
}

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rest = &self.method.rest;
        let mut map = serializer.serialize_map(None)?;
        if rest.success {
            map.serialize_entry("success", &true)?;
        }
        let message = if self.is_running {
            &rest.running_message
        } else {
            &rest.message
        };
        if !message.is_empty() {
            map.serialize_entry("message", message)?;
        }
        let whole = self.message.get_field_by_name(&rest.answer_field);
        let whole = whole.as_ref().and_then(|value| value.as_message());
        write_fields(&mut map, whole.unwrap_or(self.message), |field| {
            // A method that starts an operation answers either the running operation or the outcome.
            rest.running_message.is_empty()
                || (field.descriptor.name() == OPERATION) == self.is_running
        })?;
        map.end()
    }
}

/// A message as an object.
struct Object<'a>(&'a DynamicMessage);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        write_fields(&mut map, self.0, |_| true)?;
        map.end()
    }
}

fn write_fields<M: SerializeMap>(
    map: &mut M,
    message: &DynamicMessage,
    is_shown: impl Fn(&Field) -> bool,
) -> Result<(), M::Error> {
    let has_error = has_error(&message.descriptor());
    let fields = contract::fields(&message.descriptor()).iter();
    for field in fields.filter(|field| is_shown(field)) {
        match field.descriptor.name() {
            ERROR_CODE if has_error => map.serialize_entry(ERROR, &error(message, field))?,
            ERROR_MESSAGE if has_error => {}
            _ => map.serialize_entry(&field.name, &FieldValue { message, field })?,
        }
    }
    Ok(())
}

/// Whether a message says what went wrong by a code and a sentence.
pub(super) fn has_error(message: &MessageDescriptor) -> bool {
    let has = |name| message.get_field_by_name(name).is_some();
    has(ERROR_CODE) && has(ERROR_MESSAGE)
}

#[derive(Serialize)]
struct Trouble {
    code: String,
    message: String,
}

/// What went wrong; `None` where nothing did.
fn error(message: &DynamicMessage, code: &Field) -> Option<Trouble> {
    let text = |name| {
        let value = message.get_field_by_name(name)?;
        value.as_str().map(str::to_owned)
    };
    let trouble = Trouble {
        code: text(ERROR_CODE)?,
        message: text(ERROR_MESSAGE)?,
    };
    let is_there = !trouble.code.is_empty() || !trouble.message.is_empty();
    (is_there || !code.json.nullable).then_some(trouble)
}

/// The value of a field.
struct FieldValue<'a> {
    message: &'a DynamicMessage,
    field: &'a Field,
}

impl Serialize for FieldValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { message, field } = self;
        let is_set = message.has_field(&field.descriptor);
        if !is_set && field.json.nullable {
            return serializer.serialize_none();
        }
        if !is_set && field.descriptor.supports_presence() {
            let name = field.descriptor.full_name();
            return Err(Error::custom(format!("an answer lacks {name}")));
        }
        let value = message.get_field(&field.descriptor);
        match value.as_list() {
            Some(items) => {
                serializer.collect_seq(items.iter().map(|value| Single { field, value }))
            }
            None => Single {
                field,
                value: &value,
            }
            .serialize(serializer),
        }
    }
}

/// A value that is not a list.
struct Single<'a> {
    field: &'a Field,
    value: &'a Value,
}

impl Serialize for Single<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { field, value } = self;
        match (&field.shape, value) {
            (Shape::Flag, Value::Bool(flag)) => serializer.serialize_bool(*flag),
            (Shape::Int32, Value::I32(number)) => serializer.serialize_i32(*number),
            (Shape::Int64, Value::I64(number)) => serializer.serialize_i64(*number),
            (Shape::Text, Value::String(text)) if field.json.format == "object" => {
                let object = RawValue::from_string(text.clone());
                object.map_err(Error::custom)?.serialize(serializer)
            }
            (Shape::Text, Value::String(text)) => serializer.serialize_str(text),
            (Shape::Word(words), Value::EnumNumber(number)) => {
                word(field, words, *number).serialize(serializer)
            }
            (Shape::Time(_), Value::Message(time)) => {
                let time = time_text(&field.json.format, time);
                serializer.serialize_str(&time.map_err(Error::custom)?)
            }
            (Shape::Age, Value::Message(age)) => {
                let seconds = seconds(age).map_err(Error::custom)?;
                serializer.serialize_u64(seconds)
            }
            (Shape::Message(_), Value::Message(message)) => write_message(message, serializer),
            (shape, _) => Err(Error::custom(format!("{shape:?} holds something else"))),
        }
    }
}

/// The word of an enum's value.
fn word(field: &Field, words: &EnumDescriptor, number: i32) -> Option<String> {
    let known = contract::word(words, number);
    match (known, field.json.unspecified.as_str()) {
        (None, "") if field.json.nullable => None,
        (None, "") => Some("unknown".to_owned()),
        (None, unspecified) => Some(unspecified.to_owned()),
        (known, _) => known,
    }
}

fn time_text(format: &str, time: &DynamicMessage) -> Result<String, Fault> {
    let time = proto_time::from_proto(&typed(time)?);
    let time = time.ok_or_else(|| Fault::internal("an answer has a time out of range"))?;
    Ok(match format {
        "date" => time_text::day(time),
        "micros" => time_text::exact(time),
        _ => time_text::short(time),
    })
}

fn seconds(age: &DynamicMessage) -> Result<u64, Fault> {
    let age = proto_time::duration_from_proto(&typed(age)?).to_std();
    Ok(age.as_ref().map_or(0, Duration::as_secs))
}

fn write_message<S: Serializer>(
    message: &DynamicMessage,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match message.descriptor().full_name() {
        ORGANIZATION => {
            let organization: admin::Organization = typed(message).map_err(Error::custom)?;
            let organization = OrganizationJson::try_from(organization);
            organization.map_err(Error::custom)?.serialize(serializer)
        }
        LINK_OPERATION => {
            let operation: admin::LinkOperation = typed(message).map_err(Error::custom)?;
            let operation = LinkOperationJson::try_from(operation);
            operation.map_err(Error::custom)?.serialize(serializer)
        }
        _ => Object(message).serialize(serializer),
    }
}

fn typed<T: prost::Message + Default>(message: &DynamicMessage) -> Result<T, Fault> {
    message.transcode_to().map_err(Fault::internal)
}

#[cfg(test)]
mod tests {
    use billing_proto::{admin::v1 as admin, common::v1 as common};
    use prost_types::Timestamp;
    use serde_json::{Value as Json, json};

    use super::*;

    fn method(name: &str) -> &'static Method {
        let mut methods = contract::methods().iter();
        methods.find(|method| method.name() == name).unwrap()
    }

    fn answer(name: &str, message: &impl prost::Message) -> Result<Json, serde_json::Error> {
        let method = method(name);
        let mut dynamic = DynamicMessage::new(method.output());
        dynamic.transcode_from(message).unwrap();
        let is_running = is_running(&dynamic);
        serde_json::to_value(Answer {
            method,
            message: &dynamic,
            is_running,
        })
    }

    fn at(seconds: i64, nanos: i32) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos })
    }

    #[test]
    fn names_words_and_times_are_those_of_rest() {
        let key = common::ApiKey {
            id: "1".to_owned(),
            access: common::ApiKeyAccess::ReadOnly.into(),
            create_time: at(0, 0),
            expire_time: at(1, 120_000_000),
            ..common::ApiKey::default()
        };
        let made = common::CreateApiKeyResponse {
            api_key: Some(key),
            secret: "vbk_1".to_owned(),
        };
        assert_eq!(
            answer("CreateApiKey", &made).unwrap(),
            json!({"success": true, "secret": "vbk_1", "api_key": {
                "id": "1", "name": "", "secret_prefix": "", "access": "read_only",
                "admin_user_id": "", "created_at": "1970-01-01T00:00:00Z",
                "expires_at": "1970-01-01T00:00:01.120Z", "last_used_at": null, "revoked_at": null,
            }})
        );
    }

    #[test]
    fn a_code_and_a_sentence_are_one_error() {
        let event = |code: &str| common::WebhookEvent {
            receive_time: at(0, 0),
            state: common::WebhookEventState::Dead.into(),
            error_code: code.to_owned(),
            error_message: code.to_owned(),
            ..common::WebhookEvent::default()
        };
        let listed = common::ListWebhookEventsResponse {
            events: vec![event(""), event("gone")],
            next_page_token: String::new(),
        };
        let listed = answer("ListWebhookEvents", &listed).unwrap();
        assert_eq!(listed["next_cursor"], Json::Null);
        assert_eq!(listed["events"][0]["error"], Json::Null);
        let error = json!({"code": "gone", "message": "gone"});
        assert_eq!(listed["events"][1]["error"], error);
    }

    #[test]
    fn numbers_are_numbers_and_what_is_absent_is_null() {
        let summary = common::GetReportingSummaryResponse {
            user_count: i64::MAX,
            days: vec![common::UsageDay {
                day_start_time: at(86_400, 0),
                user_count: 1,
                organization_count: 1,
            }],
            oldest_queued_age: Some(prost_types::Duration {
                seconds: 61,
                nanos: 999_999_999,
            }),
            ..common::GetReportingSummaryResponse::default()
        };
        let summary = answer("GetReportingSummary", &summary).unwrap();
        assert_eq!(summary["user_count"], i64::MAX);
        assert_eq!(summary["counted_at"], Json::Null);
        assert_eq!(summary["days"][0]["day"], "1970-01-02");
        assert_eq!(summary["oldest_queued_age_s"], 61);
    }

    #[test]
    fn texts_that_are_objects_are_objects_and_others_are_our_fault() {
        let notice = |data: &str| common::ListNoticesResponse {
            notices: vec![common::Notice {
                occur_time: at(0, 0),
                data_json: data.to_owned(),
                ..common::Notice::default()
            }],
            next_page_token: "2".to_owned(),
        };
        let listed = answer("ListNotices", &notice(r#"{"users":7}"#)).unwrap();
        assert_eq!(listed["notices"][0]["data"]["users"], 7);
        assert_eq!(listed["notices"][0]["state"], "unknown");
        assert_eq!(listed["next_cursor"], "2");
        assert!(answer("ListNotices", &notice("{")).is_err());
    }

    #[test]
    fn an_operation_is_the_answer_while_it_is_running_and_never_after() {
        let organization = admin::Organization {
            create_time: at(0, 0),
            ..admin::Organization::default()
        };
        let operation = |state: common::LinkOperationState| admin::CancelSubscriptionResponse {
            organization: Some(organization.clone()),
            operation: Some(admin::LinkOperation {
                create_time: at(0, 0),
                state: state.into(),
                kind: common::LinkOperationKind::Cancel.into(),
                cancel_mode: common::CancelMode::Now.into(),
                ..admin::LinkOperation::default()
            }),
        };
        let running = operation(common::LinkOperationState::Running);
        let running = answer("CancelSubscription", &running).unwrap();
        assert_eq!(
            running["message"],
            "The cancellation goes on in the background"
        );
        assert_eq!(running["operation"]["cancel_mode"], "now");
        assert_eq!(running["organization"], Json::Null);
        let done = operation(common::LinkOperationState::Succeeded);
        let done = answer("CancelSubscription", &done).unwrap();
        assert_eq!(done["message"], "Subscription canceled");
        assert!(done["operation"].is_null() && done["organization"].is_object());
    }

    #[test]
    fn what_the_contract_promises_must_be_there() {
        let lacking = admin::GetOrganizationResponse::default();
        let error = answer("GetOrganization", &lacking).unwrap_err();
        assert!(error.to_string().contains("organization"), "{error}");
    }
}
