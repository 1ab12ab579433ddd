//! Describes a method as an operation of the OpenAPI document. The texts are the comments of the proto
//! files.

use prost_reflect::MessageDescriptor;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, HttpMethod, KnownFormat, Object, Paths, Ref, RefOr, Required, Response,
        ResponseBuilder, Schema, SchemaFormat, Type,
        path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem},
        request_body::{RequestBody, RequestBodyBuilder},
        schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, SchemaType},
    },
};

use super::answer::{
    ERROR, ERROR_CODE, ERROR_MESSAGE, LINK_OPERATION, OPERATION, ORGANIZATION, has_error,
};
use crate::{
    contract::{self, Field, Method, PAGE_SIZE, Shape},
    domain::organization_filter::PAGE_SIZE_MAX,
    rest::{
        json::{LinkOperationJson, OrganizationJson, TroubleJson},
        openapi::{ADMINS, ErrorAnswer},
    },
};

const JSON: &str = "application/json";

/// The schemas that operations name.
type Schemas = Vec<(String, RefOr<Schema>)>;

/// The operation of a method that has a path, with the schemas that it names.
pub(in crate::rest) fn operation(method: &Method) -> Option<(Schemas, Paths)> {
    let (http_method, path) = method.route()?;
    let http_method = match http_method {
        http::Method::GET => HttpMethod::Get,
        http::Method::POST => HttpMethod::Post,
        _ => HttpMethod::Patch,
    };
    let mut schemas = Schemas::new();
    let described = describe(method, &mut schemas);
    let mut paths = Paths::new();
    let item = PathItem::new(http_method, described);
    paths.paths.insert(path.to_owned(), item);
    Some((schemas, paths))
}

fn describe(method: &Method, schemas: &mut Schemas) -> Operation {
    let comment = method.comment();
    let (summary, description) = comment.split_once(". ").unwrap_or((&comment, ""));
    let is_get = matches!(method.route(), Some((http::Method::GET, _)));
    let (in_query, in_body) = if is_get {
        (method.input_fields(), &[][..])
    } else {
        (&[][..], method.input_fields())
    };
    let mut operation = OperationBuilder::new()
        .tag(ADMINS)
        .operation_id(Some(operation_id(method.name())))
        .summary(Some(format!("{}.", summary.trim_end_matches('.'))))
        .description(Some(description).filter(|text| !text.is_empty()));
    if let Some(field) = method.id_field() {
        operation = operation.parameter(parameter(field, "id", ParameterIn::Path));
    }
    for field in in_query {
        operation = operation.parameter(parameter(field, &field.name, ParameterIn::Query));
    }
    if !in_body.is_empty() {
        operation = operation.request_body(Some(body(method, in_body, schemas)));
    }
    operation = operation.response("200", done(method, schemas));
    if !method.rest.running_message.is_empty() {
        operation = operation.response("202", running(method, schemas));
    }
    for error in &method.rest.errors {
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(ErrorAnswer::name())))
            .build();
        let response = ResponseBuilder::new()
            .description(&error.description)
            .content(JSON, content);
        operation = operation.response(error.status.to_string(), response.build());
    }
    operation.build()
}

/// The name of a method as JavaScript writes it.
fn operation_id(name: &str) -> String {
    let (first, rest) = name.split_at_checked(1).unwrap_or(("", name));
    first.to_ascii_lowercase() + rest
}

fn parameter(field: &Field, name: &str, place: ParameterIn) -> Parameter {
    let required = match place {
        ParameterIn::Path => Required::True,
        ParameterIn::Query
        | ParameterIn::QueryString
        | ParameterIn::Header
        | ParameterIn::Cookie => Required::False,
    };
    let schema = match &field.shape {
        // A plain text, because an empty value is allowed. The description lists the words.
        Shape::Word(_) => Object::with_type(Type::String),
        Shape::Int32 if field.descriptor.name() == PAGE_SIZE => {
            ObjectBuilder::from(scalar(field, false))
                .minimum(Some(1))
                .maximum(Some(PAGE_SIZE_MAX))
                .build()
        }
        Shape::Flag
        | Shape::Int32
        | Shape::Int64
        | Shape::Text
        | Shape::Time(_)
        | Shape::Age
        | Shape::Message(_) => scalar(field, false),
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(parameter_comment(field)))
        .schema(Some(schema))
        .build()
}

fn parameter_comment(field: &Field) -> String {
    if let Shape::Word(words) = &field.shape {
        let words = contract::words(words).join("`, `");
        format!("{} One of `{words}`.", field.comment())
    } else {
        field.comment()
    }
}

fn body(method: &Method, fields: &[Field], schemas: &mut Schemas) -> RequestBody {
    let mut object = ObjectBuilder::new().schema_type(Type::Object);
    for field in fields {
        let schema = request_schema(field);
        object = object.property(&field.name, schema);
        if !field.json.nullable {
            object = object.required(&field.name);
        }
    }
    let name = method.input().name().to_owned();
    schemas.push((name.clone(), object.build().into()));
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(name)))
        .example(serde_json::from_str(&method.rest.example).ok());
    RequestBodyBuilder::new()
        .required(Some(Required::True))
        .content(JSON, content.build())
        .build()
}

fn request_schema(field: &Field) -> RefOr<Schema> {
    // An enum may be left out, but null is not one of its words.
    let nullable = field.json.nullable && !matches!(field.shape, Shape::Word(_));
    if field.descriptor.is_list() {
        let items = scalar(field, false);
        let list = ArrayBuilder::new()
            .schema_type(one_or_null(Type::Array, nullable))
            .items(items);
        return list.description(Some(field.comment())).build().into();
    }
    let mut schema = scalar(field, nullable);
    schema.description = Some(field.comment());
    schema.into()
}

fn done(method: &Method, schemas: &mut Schemas) -> Response {
    let rest = &method.rest;
    let output = method.output();
    let whole = output.get_field_by_name(&rest.answer_field);
    let whole = whole.and_then(|field| field.kind().as_message().cloned());
    let schema = if let (Some(whole), false) = (&whole, rest.success) {
        message(whole, schemas)
    } else {
        let mut object = head(method);
        for field in contract::fields(&output) {
            let is_operation = !rest.running_message.is_empty();
            if !is_operation || field.descriptor.name() != OPERATION {
                object = property(object, field, schemas);
            }
        }
        named(output.name(), object, schemas)
    };
    answer(first_comment(whole.as_ref().unwrap_or(&output)), schema)
}

fn running(method: &Method, schemas: &mut Schemas) -> Response {
    let mut object = head(method);
    for field in contract::fields(&method.output()) {
        if field.descriptor.name() == OPERATION {
            object = property(object, field, schemas);
        }
    }
    let schema = named("OperationRunning", object, schemas);
    answer("It goes on in the background.".to_owned(), schema)
}

/// The envelope of a response: `success` and `message`.
fn head(method: &Method) -> ObjectBuilder {
    let mut object = ObjectBuilder::new().schema_type(Type::Object);
    if method.rest.success {
        let flag = Object::with_type(Type::Boolean);
        object = object.property("success", flag).required("success");
    }
    if !method.rest.message.is_empty() {
        let text = Object::with_type(Type::String);
        object = object.property("message", text).required("message");
    }
    object
}

/// The comment of the first field, which says what a response holds.
fn first_comment(message: &MessageDescriptor) -> String {
    let first = contract::fields(message).first();
    first.map_or_else(|| "Done.".to_owned(), Field::comment)
}

fn answer(description: String, schema: RefOr<Schema>) -> Response {
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let answer = ResponseBuilder::new().description(description);
    answer.content(JSON, content).build()
}

fn named(name: &str, object: ObjectBuilder, schemas: &mut Schemas) -> RefOr<Schema> {
    schemas.push((name.to_owned(), object.build().into()));
    Ref::from_schema_name(name).into()
}

/// A message, by its name.
fn message(message: &MessageDescriptor, schemas: &mut Schemas) -> RefOr<Schema> {
    match message.full_name() {
        ORGANIZATION => handwritten::<OrganizationJson>(schemas),
        LINK_OPERATION => handwritten::<LinkOperationJson>(schemas),
        _ => {
            let comment = contract::comment(&message.parent_file(), message.path());
            let mut object = ObjectBuilder::new()
                .schema_type(Type::Object)
                .description(Some(comment));
            let has_error = has_error(message);
            for field in contract::fields(message) {
                object = match field.descriptor.name() {
                    ERROR_CODE if has_error => error(object, field, schemas),
                    ERROR_MESSAGE if has_error => object,
                    _ => property(object, field, schemas),
                };
            }
            named(message.name(), object, schemas)
        }
    }
}

fn handwritten<T: ToSchema + PartialSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    T::schemas(schemas);
    schemas.push((T::name().into_owned(), T::schema()));
    Ref::from_schema_name(T::name()).into()
}

/// The property `error`.
fn error(object: ObjectBuilder, code: &Field, schemas: &mut Schemas) -> ObjectBuilder {
    let schema = handwritten::<TroubleJson>(schemas);
    if code.json.nullable {
        object.property(ERROR, or_null(schema))
    } else {
        object.property(ERROR, schema).required(ERROR)
    }
}

fn property(object: ObjectBuilder, field: &Field, schemas: &mut Schemas) -> ObjectBuilder {
    let object = object.property(&field.name, answer_schema(field, schemas));
    if field.json.nullable {
        object
    } else {
        object.required(&field.name)
    }
}

fn answer_schema(field: &Field, schemas: &mut Schemas) -> RefOr<Schema> {
    let nullable = field.json.nullable;
    let is_list = field.descriptor.is_list();
    let schema = match &field.shape {
        Shape::Message(inner) if nullable => or_null(message(inner, schemas)),
        Shape::Message(inner) => message(inner, schemas),
        Shape::Flag
        | Shape::Int32
        | Shape::Int64
        | Shape::Text
        | Shape::Word(_)
        | Shape::Time(_)
        | Shape::Age => {
            let mut schema = scalar(field, nullable);
            schema.description = Some(field.comment()).filter(|_| !is_list);
            schema.into()
        }
    };
    if is_list {
        let list = ArrayBuilder::new().items(schema);
        return list.description(Some(field.comment())).build().into();
    }
    schema
}

fn or_null(schema: RefOr<Schema>) -> RefOr<Schema> {
    let null = Object::with_type(Type::Null);
    Schema::from(OneOfBuilder::new().item(null).item(schema).build()).into()
}

fn one_or_null(kind: Type, nullable: bool) -> SchemaType {
    if nullable {
        SchemaType::from_iter([kind, Type::Null])
    } else {
        SchemaType::new(kind)
    }
}

/// The schema of a value that is not a message of ours.
fn scalar(field: &Field, nullable: bool) -> Object {
    let json = &field.json;
    let (kind, format) = match (&field.shape, json.format.as_str()) {
        (Shape::Word(words), _) => return words_schema(field, &contract::words(words), nullable),
        (Shape::Flag, _) => (Type::Boolean, None),
        (Shape::Int32, _) => (Type::Integer, Some(KnownFormat::Int32)),
        (Shape::Int64 | Shape::Age, _) => (Type::Integer, Some(KnownFormat::Int64)),
        (Shape::Time(_), "date") => (Type::String, Some(KnownFormat::Date)),
        (Shape::Time(_), _) => (Type::String, Some(KnownFormat::DateTime)),
        (Shape::Message(_), _) | (Shape::Text, "object") => (Type::Object, None),
        (Shape::Text, "uuid") => (Type::String, Some(KnownFormat::Uuid)),
        (Shape::Text, _) => (Type::String, None),
    };
    let least = matches!(field.shape, Shape::Age).then_some(0);
    let length = |length: Option<i32>| usize::try_from(length?).ok();
    ObjectBuilder::new()
        .schema_type(one_or_null(kind, nullable))
        .format(format.map(SchemaFormat::KnownFormat))
        .minimum(json.minimum.or(least))
        .maximum(json.maximum)
        .min_length(length(json.min_length))
        .max_length(length(json.max_length))
        .pattern(Some(json.pattern.as_str()).filter(|it| !it.is_empty()))
        .build()
}

fn words_schema(field: &Field, words: &[String], nullable: bool) -> Object {
    let unspecified = Some(&field.json.unspecified).filter(|word| !word.is_empty());
    let words = words.iter().chain(unspecified);
    let words = words.map(|word| serde_json::Value::from(word.as_str()));
    let null = nullable.then_some(serde_json::Value::Null);
    ObjectBuilder::new()
        .schema_type(one_or_null(Type::String, nullable))
        .enum_values(Some(words.chain(null)))
        .build()
}
