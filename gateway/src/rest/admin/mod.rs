//! The REST routes of `billing.admin.v1`: one for each method whose option `rest` has a path.
//!
//! `request` turns path, query and body into the method's request message. The gRPC service answers it,
//! in process. `answer` writes the response as JSON, and `document` describes the route in OpenAPI.
//!
//! Architecture invariant: no code here names a method. Two messages have handwritten JSON: see `answer`.

mod answer;
mod document;
mod request;

use axum::{
    body::Body,
    extract::{FromRequest, RawPathParams, RawQuery, State},
    response::Response,
    routing::{MethodFilter, MethodRouter, on},
};
use billing_kit::Fault;
use http::{HeaderMap, StatusCode};
use prost_reflect::DynamicMessage;
use utoipa_axum::router::UtoipaMethodRouter;

use super::answer::ApiError;
use crate::{
    app::Admin,
    contract::{self, Method},
    upstream::rename_field,
    web::{Web, read_body},
};

/// The parts of a request.
#[derive(FromRequest)]
#[from_request(state(Web))]
pub(super) struct Call {
    pub web: State<Web>,
    pub params: RawPathParams,
    pub query: RawQuery,
    pub headers: HeaderMap,
    pub body: Body,
}

/// Every generated route, with its part of the OpenAPI document.
pub(super) fn routes() -> impl Iterator<Item = (&'static Method, UtoipaMethodRouter<Web>)> {
    let served = contract::methods().iter();
    served.filter_map(|method| {
        let (schemas, paths) = document::operation(method)?;
        Some((method, (schemas, paths, handler(method)?)))
    })
}

fn handler(method: &'static Method) -> Option<MethodRouter<Web>> {
    let (http_method, _) = method.route()?;
    let filter = MethodFilter::try_from(http_method).ok()?;
    Some(on(filter, move |call: Call| serve(method, call)))
}

/// Answers a call.
pub(super) async fn serve(method: &'static Method, call: Call) -> Result<Response, ApiError> {
    let State(web) = call.web.clone();
    let admin = admit(method, &web, &call.headers).await?;
    let message = read(method, call).await?;
    let answered = web.dynamic_client().call(method, &admin, message).await;
    let answered = answered.map_err(|fault| refusal(method, fault))?;
    answer::response(method, &answered).map_err(Into::into)
}

/// Authenticates the admin, before anything is read.
pub(super) async fn admit(method: &Method, web: &Web, headers: &HeaderMap) -> Result<Admin, Fault> {
    let admin = match method.route() {
        Some((http::Method::GET, _)) => web.admin(headers).await?,
        _ => web.admin_from_ours(headers).await?,
    };
    admin.check_may_call(method.role())?;
    Ok(admin)
}

/// The method's request message.
pub(super) async fn read(method: &Method, call: Call) -> Result<DynamicMessage, ApiError> {
    let mut message = DynamicMessage::new(method.input());
    let Call {
        params,
        query: RawQuery(query),
        body,
        ..
    } = call;
    request::read_path(method, &params, &mut message)?;
    if let Some((http::Method::GET, _)) = method.route() {
        request::read_query(method, query.as_deref(), &mut message)?;
    } else if !method.input_fields().is_empty() {
        let body = read_body(body).await?;
        request::read_body(method, &body, &mut message)
            .map_err(|fault| ApiError::from(fault).with_invalid_status(invalid_status(method)))?;
    }
    Ok(message)
}

/// The method's fault, with field names as REST has them.
pub(super) fn refusal(method: &Method, fault: Fault) -> ApiError {
    let fields = contract::fields(&method.input()).iter();
    let fault = fields.fold(fault, |fault, field| {
        rename_field(fault, field.descriptor.name(), &field.name)
    });
    ApiError::from(fault).with_invalid_status(invalid_status(method))
}

fn invalid_status(method: &Method) -> Option<StatusCode> {
    let status = u16::try_from(method.rest.invalid_status).ok()?;
    StatusCode::from_u16(status).ok()
}

#[cfg(test)]
mod tests {
    use prost_reflect::{MessageDescriptor, Value};
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::{
        contract::{Field, Shape},
        rest::openapi,
    };

    /// A message with every field set, or with those alone that the contract promises.
    fn sample(message: &MessageDescriptor, is_full: bool) -> DynamicMessage {
        let mut sample = DynamicMessage::new(message.clone());
        for field in contract::fields(message) {
            let is_list = field.descriptor.is_list();
            if is_full || !(is_list || field.json.nullable) {
                let value = value(field, is_full);
                let value = if is_list {
                    Value::List(vec![value])
                } else {
                    value
                };
                sample.set_field(&field.descriptor, value);
            }
        }
        sample
    }

    fn value(field: &Field, is_full: bool) -> Value {
        let typed = |kind: &MessageDescriptor, seconds: i64| {
            let mut message = DynamicMessage::new(kind.clone());
            message.set_field_by_name("seconds", Value::I64(seconds));
            Value::Message(message)
        };
        match &field.shape {
            Shape::Flag => Value::Bool(is_full),
            Shape::Int32 => Value::I32(1),
            Shape::Int64 => Value::I64(i64::MAX),
            Shape::Text if field.json.format == "object" => Value::String("{\"a\":1}".to_owned()),
            Shape::Text => Value::String("5a0b6d8e-93f4-4a8c-8d6e-0f3c9a1b2c3d".to_owned()),
            Shape::Word(_) => Value::EnumNumber(1),
            Shape::Time(kind) => typed(kind, 1_730_602_800),
            Shape::Age => typed(field.descriptor.kind().as_message().unwrap(), 61),
            Shape::Message(kind) => Value::Message(sample(kind, is_full)),
        }
    }

    fn documented(method: &Method, status: StatusCode) -> Json {
        let document = serde_json::to_value(openapi::document()).unwrap();
        let (http_method, path) = method.route().unwrap();
        let operation = &document["paths"][path][http_method.as_str().to_lowercase()];
        let answer = &operation["responses"][status.as_str()]["content"]["application/json"];
        json!({"allOf": [answer["schema"]], "components": document["components"]})
    }

    /// One serializer writes the answers, and one generator describes them: they agree on every method.
    #[tokio::test]
    async fn every_answer_is_as_it_is_documented() {
        let served = contract::methods().iter();
        for method in served.filter(|method| method.route().is_some()) {
            for is_full in [true, false] {
                let message = sample(&method.output(), is_full);
                let response = answer::response(method, &message).unwrap();
                let schema = documented(method, response.status());
                let body = axum::body::to_bytes(response.into_body(), usize::MAX);
                let body: Json = serde_json::from_slice(&body.await.unwrap()).unwrap();
                let validator = jsonschema::validator_for(&schema).unwrap();
                let errors: Vec<_> = validator.iter_errors(&body).collect();
                assert!(errors.is_empty(), "{}: {body} {errors:?}", method.name());
            }
        }
    }
}
