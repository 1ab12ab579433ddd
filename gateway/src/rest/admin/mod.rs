//! REST for admins, made from the contract: each method of `billing.admin.v1` that has a path is a route.
//!
//! A request becomes the method's message (`request`), the handler that gRPC runs answers it, and the
//! answer becomes JSON (`answer`). `document` describes the same in OpenAPI.
//!
//! Architecture invariant: nothing here knows a method by its name. Two messages have a form of their own
//! in JSON, which the specification gave: see `answer`.

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

/// What a request to a route of the contract has.
#[derive(FromRequest)]
#[from_request(state(Web))]
pub(super) struct Call {
    pub web: State<Web>,
    pub params: RawPathParams,
    pub query: RawQuery,
    pub headers: HeaderMap,
    pub body: Body,
}

/// Every route that is made from the contract, each with what the document says of it.
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

/// Lets an admin in, before anything is read.
pub(super) async fn admit(method: &Method, web: &Web, headers: &HeaderMap) -> Result<Admin, Fault> {
    let admin = match method.route() {
        Some((http::Method::GET, _)) => web.admin(headers).await?,
        _ => web.admin_from_ours(headers).await?,
    };
    admin.check_may_call(method.role())?;
    Ok(admin)
}

/// The method's message, out of the path, the query and the body.
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

/// What the method answered, with the fields by the names that REST has for them.
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
