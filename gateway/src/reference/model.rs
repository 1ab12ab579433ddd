//! The document as what a page shows: operations by who calls them, and the schemas they name.
//!
//! It reads the document as anybody's program would: as JSON.

use serde_json::{Map, Value};

/// How deep schemas within schemas are described in one line.
const DEPTH_MAX: usize = 4;

/// The whole page.
pub(super) struct Reference {
    pub(super) title: String,
    pub(super) version: String,
    pub(super) description: String,
    pub(super) schemes: Vec<Named>,
    pub(super) groups: Vec<Group>,
    pub(super) schemas: Vec<SchemaView>,
}

/// A name and what it means.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) description: String,
}

/// The operations of one kind of caller.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) operations: Vec<OperationView>,
}

/// A method of a path.
pub(super) struct OperationView {
    pub(super) id: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) summary: String,
    pub(super) description: String,
    pub(super) security: Vec<String>,
    pub(super) parameters: Vec<Field>,
    pub(super) bodies: Vec<BodyView>,
    pub(super) answers: Vec<AnswerView>,
    pub(super) curl: String,
}

/// A parameter, or a field of a schema.
pub(super) struct Field {
    pub(super) name: String,
    /// Where a parameter stands; empty for a field.
    pub(super) place: String,
    pub(super) kind: String,
    pub(super) is_required: bool,
    pub(super) description: String,
}

/// A body, in one content type.
pub(super) struct BodyView {
    pub(super) content_type: String,
    /// The schema's name, where it has one.
    pub(super) schema: Option<String>,
    pub(super) kind: String,
    pub(super) example: Option<String>,
}

/// An answer.
pub(super) struct AnswerView {
    pub(super) status: String,
    pub(super) description: String,
    pub(super) headers: Vec<Named>,
    pub(super) bodies: Vec<BodyView>,
}

/// A schema that has a name.
pub(super) struct SchemaView {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) kind: String,
    pub(super) fields: Vec<Field>,
}

impl Reference {
    pub(super) fn of(document: &Value) -> Self {
        let components = at(document, "/components");
        let groups = items(at(document, "/tags")).map(|tag| Group {
            name: text(at(tag, "/name")),
            description: text(at(tag, "/description")),
            operations: operations(document, at(tag, "/name")),
        });
        Self {
            title: text(at(document, "/info/title")),
            version: text(at(document, "/info/version")),
            description: text(at(document, "/info/description")),
            schemes: entries(at(components, "/securitySchemes"))
                .map(|(name, scheme)| named(name, scheme))
                .collect(),
            groups: groups.collect(),
            schemas: entries(at(components, "/schemas"))
                .map(|(name, schema)| SchemaView {
                    name: name.clone(),
                    description: text(at(schema, "/description")),
                    kind: kind(schema, DEPTH_MAX),
                    fields: fields(schema),
                })
                .collect(),
        }
    }
}

fn operations(document: &Value, tag: &Value) -> Vec<OperationView> {
    let all = entries(at(document, "/paths")).flat_map(|(path, item)| {
        entries(item).map(move |(method, operation)| (path, method, operation))
    });
    let of_tag =
        all.filter(|(_, _, operation)| items(at(operation, "/tags")).any(|own| own == tag));
    let views = of_tag.map(|(path, method, operation)| OperationView {
        id: text(at(operation, "/operationId")),
        method: method.to_uppercase(),
        path: path.clone(),
        summary: text(at(operation, "/summary")),
        description: text(at(operation, "/description")),
        security: items(at(operation, "/security"))
            .flat_map(|one| entries(one).map(|(name, _)| name.clone()))
            .collect(),
        parameters: items(at(operation, "/parameters")).map(parameter).collect(),
        bodies: bodies(at(operation, "/requestBody/content")),
        answers: entries(at(operation, "/responses"))
            .map(|(status, answer)| answer_view(document, status, answer))
            .collect(),
        curl: curl(path, method, operation),
    });
    views.collect()
}

fn parameter(parameter: &Value) -> Field {
    Field {
        name: text(at(parameter, "/name")),
        place: text(at(parameter, "/in")),
        kind: kind(at(parameter, "/schema"), DEPTH_MAX),
        is_required: at(parameter, "/required") == true,
        description: text(at(parameter, "/description")),
    }
}

fn answer_view(document: &Value, status: &str, answer: &Value) -> AnswerView {
    let answer = match referred(answer) {
        Some(name) => at(document, &format!("/components/responses/{name}")),
        None => answer,
    };
    AnswerView {
        status: status.to_owned(),
        description: text(at(answer, "/description")),
        headers: entries(at(answer, "/headers"))
            .map(|(name, header)| named(name, header))
            .collect(),
        bodies: bodies(at(answer, "/content")),
    }
}

fn bodies(content: &Value) -> Vec<BodyView> {
    let bodies = entries(content).map(|(content_type, body)| BodyView {
        content_type: content_type.clone(),
        schema: referred(at(body, "/schema")).map(str::to_owned),
        kind: kind(at(body, "/schema"), DEPTH_MAX),
        example: body.get("example").map(|example| format!("{example:#}")),
    });
    bodies.collect()
}

/// The fields of an object, its parts' included.
fn fields(schema: &Value) -> Vec<Field> {
    let parts = items(at(schema, "/allOf")).flat_map(fields);
    let required = at(schema, "/required");
    let own = entries(at(schema, "/properties")).map(|(name, field)| Field {
        name: name.clone(),
        place: String::new(),
        kind: kind(field, DEPTH_MAX),
        is_required: items(required).any(|wanted| wanted == name),
        description: text(at(field, "/description")),
    });
    own.chain(parts).collect()
}

/// What a schema takes, in words.
fn kind(schema: &Value, depth: usize) -> String {
    let Some(deeper) = depth.checked_sub(1) else {
        return "…".to_owned();
    };
    if let Some(name) = referred(schema) {
        return name.to_owned();
    }
    let variants = ["anyOf", "oneOf"].map(|word| items(at(schema, &format!("/{word}"))));
    let variants: Vec<_> = variants
        .into_iter()
        .flatten()
        .map(|variant| kind(variant, deeper))
        .collect();
    if !variants.is_empty() {
        return variants.join(" or ");
    }
    let words: Vec<_> = items(at(schema, "/enum")).map(plain).collect();
    if !words.is_empty() {
        return format!("one of {}", words.join(", "));
    }
    let types: Vec<_> = match at(schema, "/type") {
        Value::Array(types) => types.iter().map(plain).collect(),
        Value::Null => vec!["object".to_owned()],
        one @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            vec![plain(one)]
        }
    };
    if types.iter().any(|kind| kind == "array") {
        return format!("list of {}", kind(at(schema, "/items"), deeper));
    }
    let limits = ["format", "minimum", "maximum", "minLength", "maxLength"];
    let limits = limits.iter().filter_map(|limit| {
        let value = schema.get(limit)?;
        Some(match *limit {
            "format" => plain(value),
            limit => format!("{limit} {value}"),
        })
    });
    let limits: Vec<_> = limits.collect();
    let types = types.join(" or ");
    if limits.is_empty() {
        types
    } else {
        format!("{types} ({})", limits.join(", "))
    }
}

/// The call as a person would type it.
fn curl(path: &str, method: &str, operation: &Value) -> String {
    let path = path.replace('{', "$").replace('}', "");
    let mut lines = vec![format!(
        "curl -X {} \"$BILLING_URL{path}\"",
        method.to_uppercase()
    )];
    if items(at(operation, "/security")).next().is_some() {
        lines.push("-H \"Authorization: Bearer $TOKEN\"".to_owned());
    }
    let body = at(operation, "/requestBody/content/application~1json");
    if let Some(example) = body.get("example") {
        lines.push("-H \"Content-Type: application/json\"".to_owned());
        lines.push(format!("-d '{example}'"));
    }
    lines.join(" \\\n  ")
}

/// What stands at a JSON pointer; null where nothing does.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// The name that a `$ref` ends with.
fn referred(value: &Value) -> Option<&str> {
    value.get("$ref")?.as_str()?.rsplit('/').next()
}

fn named(name: &str, value: &Value) -> Named {
    Named {
        name: name.to_owned(),
        description: text(at(value, "/description")),
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A text as it is, and everything else as JSON.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
