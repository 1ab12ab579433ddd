//! `GET /api/openapi.json`: the document of REST, made of the routes themselves.
//!
//! A handler says what is its own: parameters, bodies, its answers. What all of a kind share (who is
//! let in, what is answered to who is not, what is wrong on our side) is added here, once.

pub(crate) mod words;

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::header;
use utoipa::{
    ToSchema,
    openapi::{
        ComponentsBuilder, ContentBuilder, HeaderBuilder, InfoBuilder, Object, OpenApi,
        OpenApiBuilder, PathItem, Ref, RefOr, ResponseBuilder, Schema, Type,
        path::Operation,
        schema::ObjectBuilder,
        security::{
            ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
        },
        tag::TagBuilder,
    },
};

use super::{answer, auth};

/// What instances call.
pub(super) const INSTANCES: &str = "instances";
/// What Stripe calls.
pub(super) const STRIPE: &str = "stripe";
/// What signs people in and out.
pub(super) const BETTER_AUTH: &str = "better-auth";
/// What admins call.
pub(super) const ADMINS: &str = "admins";
/// What anybody may read.
pub(super) const DOCUMENTS: &str = "documents";

/// An error of ours, for the answers of handlers.
pub(super) type ErrorAnswer = answer::Body<'static>;
/// An error of Better Auth's, for the same.
pub(super) type AuthErrorAnswer = auth::ErrorBody<'static>;

const INSTANCE_TOKEN: &str = "instance_token";
/// A session's token, in a header.
const ADMIN_TOKEN: &str = "admin_token";
const SESSION_COOKIE: &str = "session_cookie";
const JSON: &str = "application/json";
const RETRY_AFTER: &str = "Retry-After";
const REQUEST_ID: &str = "X-Request-Id";

static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(|| complete(super::table().into_openapi()));

/// The document, whole.
pub(crate) fn document() -> &'static OpenApi {
    &DOCUMENT
}

/// This document, as OpenAPI 3.1.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    operation_id = "getDocument",
    tag = DOCUMENTS,
    responses((status = 200, description = "The document.", body = Object)),
)]
pub(super) async fn serve() -> Response {
    static TEXT: LazyLock<Result<String, serde_json::Error>> =
        LazyLock::new(|| serde_json::to_string(document()));
    match &*TEXT {
        Ok(text) => ([(header::CONTENT_TYPE, JSON)], text.as_str()).into_response(),
        Err(error) => {
            answer::ApiError::from(billing_kit::Fault::internal(error.to_string())).into_response()
        }
    }
}

/// What stands before the paths: title, tags, how callers are known, and the answers that many share.
pub(super) fn head() -> OpenApi {
    let tag = |name: &str, text: &str| TagBuilder::new().name(name).description(Some(text)).build();
    let info = InfoBuilder::new()
        .title("VaultAI Billing")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Usage reports of instances, and the admins' side of them. Times are RFC 3339 in UTC. \
             Lists are pages: a cursor is opaque, and belongs to the list and filters that it came with.",
        ))
        .build();
    let mut components = ComponentsBuilder::new()
        .security_scheme(
            INSTANCE_TOKEN,
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .description(Some("The token that instances report with."))
                    .build(),
            ),
        )
        .security_scheme(
            SESSION_COOKIE,
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
                "better-auth.session_token",
                "An admin's session, as `/api/auth/sign-in/email` sets it; where the site is https, \
                 its name begins with `__Secure-`. A change needs an Origin of the site too.",
            ))),
        )
        .security_scheme(
            ADMIN_TOKEN,
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .description(Some(
                        "An admin's session, by the `token` that `/api/auth/sign-in/email` answers with; or an \
                         API key (`vbk_…`), as `/api/admin/api-keys` makes them.",
                    ))
                    .build(),
            ),
        )
        .schema_from::<ErrorAnswer>()
        .schema_from::<AuthErrorAnswer>();
    for shared in Shared::ALL {
        components = components
            .response(shared.name(false), shared.response::<ErrorAnswer>())
            .response(shared.name(true), shared.response::<AuthErrorAnswer>());
    }
    OpenApiBuilder::new()
        .info(info)
        .tags(Some([
            tag(INSTANCES, "What instances call."),
            tag(ADMINS, "What admins call."),
            tag(
                BETTER_AUTH,
                "Sign-in and sign-out, in Better Auth's formats.",
            ),
            tag(STRIPE, "What Stripe calls."),
            tag(DOCUMENTS, "What anybody may read."),
        ]))
        .components(Some(components.build()))
        .build()
}

/// An answer that all operations of a kind share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shared {
    Invalid,
    Unauthenticated,
    Forbidden,
    NoSuchMethod,
    TooLarge,
    WrongContentType,
    TooMany,
    Ours,
    Away,
}

impl Shared {
    const ALL: [Self; 9] = [
        Self::Invalid,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NoSuchMethod,
        Self::TooLarge,
        Self::WrongContentType,
        Self::TooMany,
        Self::Ours,
        Self::Away,
    ];

    fn status(self) -> &'static str {
        match self {
            Self::Invalid => "400",
            Self::Unauthenticated => "401",
            Self::Forbidden => "403",
            Self::NoSuchMethod => "405",
            Self::TooLarge => "413",
            Self::WrongContentType => "415",
            Self::TooMany => "429",
            Self::Ours => "500",
            Self::Away => "503",
        }
    }

    /// Its name among the components.
    fn name(self, is_better_auths: bool) -> String {
        format!("{}{self:?}", if is_better_auths { "Auth" } else { "" })
    }

    fn description(self) -> &'static str {
        match self {
            Self::Invalid => "The request is not valid: each field at fault is named.",
            Self::Unauthenticated => "There are no credentials, or they are wrong or expired.",
            Self::Forbidden => {
                "The caller is no admin, a change came from another origin, or an API key may only read."
            }
            Self::NoSuchMethod => "The path has no such method.",
            Self::TooLarge => "The body is larger than is taken.",
            Self::WrongContentType => "The body is neither JSON nor a form.",
            Self::TooMany => "There are too many requests.",
            Self::Ours => "We are at fault; the request id leads to the cause.",
            Self::Away => "A part that is needed is away: the same request may be sent again.",
        }
    }

    fn response<T: ToSchema>(self) -> utoipa::openapi::Response {
        let body = ContentBuilder::new().schema(Some(Ref::from_schema_name(T::name())));
        let response = ResponseBuilder::new()
            .description(self.description())
            .header(REQUEST_ID, request_id())
            .content(JSON, body.build());
        match self {
            Self::TooMany | Self::Away => response.header(
                RETRY_AFTER,
                HeaderBuilder::new()
                    .schema(Some(Object::with_type(Type::Integer)))
                    .description(Some("Seconds until the same request may be sent again."))
                    .build(),
            ),
            Self::Unauthenticated => response.header("WWW-Authenticate", text_header("Bearer.")),
            Self::Invalid
            | Self::Forbidden
            | Self::NoSuchMethod
            | Self::TooLarge
            | Self::WrongContentType
            | Self::Ours => response,
        }
        .build()
    }
}

fn request_id() -> utoipa::openapi::Header {
    text_header("Names the request in every log line.")
}

fn text_header(description: &str) -> utoipa::openapi::Header {
    let text: RefOr<Schema> = ObjectBuilder::new().schema_type(Type::String).into();
    HeaderBuilder::new()
        .schema(Some(text))
        .description(Some(description))
        .build()
}

/// Adds to each operation what its kind shares; what it says itself stays.
fn complete(mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        let is_admins = path.starts_with("/api/admin/");
        for (changes, operation) in operations(item) {
            complete_operation(operation, changes, is_admins);
        }
    }
    document
}

/// The operations of a path, each with whether it changes something.
pub(crate) fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, &mut Operation)> {
    let read = [&mut item.get].into_iter().map(|o| (false, o));
    let changes = [
        &mut item.post,
        &mut item.put,
        &mut item.patch,
        &mut item.delete,
    ];
    read.chain(changes.into_iter().map(|o| (true, o)))
        .filter_map(|(changes, operation)| Some((changes, operation.as_mut()?)))
}

fn complete_operation(operation: &mut Operation, changes: bool, is_admins: bool) {
    let has_tag = |tag: &str| {
        let tags = operation.tags.as_deref().unwrap_or_default();
        tags.iter().any(|known| known == tag)
    };
    let is_better_auths = has_tag(BETTER_AUTH);
    let is_instances = has_tag(INSTANCES);
    let has_input = operation.parameters.is_some() || operation.request_body.is_some();
    let mut shared = vec![Shared::Ours, Shared::Away];
    if has_input || changes {
        shared.push(Shared::Invalid);
    }
    if changes {
        shared.extend([Shared::TooLarge, Shared::TooMany]);
    }
    if is_admins {
        shared.extend([Shared::Unauthenticated, Shared::Forbidden]);
        operation.security = Some(vec![requirement(ADMIN_TOKEN), requirement(SESSION_COOKIE)]);
    }
    if is_instances {
        shared.push(Shared::Unauthenticated);
        operation.security = Some(vec![requirement(INSTANCE_TOKEN)]);
    }
    if is_better_auths && changes {
        shared.extend([Shared::Forbidden, Shared::WrongContentType]);
    }
    let answers = &mut operation.responses.responses;
    for answer in answers.values_mut() {
        if let RefOr::T(response) = answer {
            let headers = &mut response.headers;
            headers.insert(REQUEST_ID.to_owned(), request_id().into());
        }
    }
    for shared in shared {
        let name = shared.name(is_better_auths);
        answers
            .entry(shared.status().to_owned())
            .or_insert_with(|| Ref::from_response_name(name).into());
    }
}

fn requirement(scheme: &str) -> SecurityRequirement {
    SecurityRequirement::new(scheme, Vec::<String>::new())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The paths that a router really has, as its description for people tells them.
    fn paths_of(router: &axum::Router<crate::web::Web>) -> BTreeSet<String> {
        let text = format!("{router:?}");
        text.split('"')
            .filter(|part| part.starts_with("/api/"))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn every_route_is_in_the_document_and_the_other_way_round() {
        let (router, _) = super::super::table().split_for_parts();
        let routes = paths_of(&router);
        let documented: BTreeSet<String> = document().paths.paths.keys().cloned().collect();
        // What answers "nothing" to whatever Better Auth's own paths are not.
        let nothing = ["/api/auth", "/api/auth/", "/api/auth/{*rest}"].map(str::to_owned);
        assert!(routes.is_superset(&documented));
        let undocumented: Vec<_> = routes.difference(&documented).collect();
        assert_eq!(undocumented, nothing.iter().collect::<Vec<_>>());
    }

    #[test]
    fn every_operation_says_who_may_call_it_and_what_it_answers() {
        let mut document = document().clone();
        assert_eq!(serde_json::to_value(&document).unwrap()["openapi"], "3.1.0");
        let mut ids = BTreeSet::new();
        for (path, item) in &mut document.paths.paths {
            for (_, operation) in operations(item) {
                let id = operation.operation_id.clone().unwrap();
                assert!(ids.insert(id.clone()), "{id} is there twice");
                assert!(operation.summary.is_some(), "{path} has no summary");
                let tags = operation.tags.clone().unwrap_or_default();
                assert_eq!(tags.len(), 1, "{path} {tags:?}");
                let guarded = path.starts_with("/api/admin/") || path == "/api/usage-report";
                assert_eq!(operation.security.is_some(), guarded, "{path}");
                for status in ["500", "503"] {
                    assert!(operation.responses.responses.contains_key(status), "{path}");
                }
            }
        }
        assert!(ids.contains("reportUsage") && ids.contains("signIn"));
    }
}
