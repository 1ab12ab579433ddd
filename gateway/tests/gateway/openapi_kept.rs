//! The document of REST promises what it promised before it was made from the contract.
//!
//! `openapi_before.json` holds each operation as it was when its route was written by hand. Names of
//! schemas and texts for people may differ; a parameter, a body, an answer may not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::world::{Answer, World};

const BEFORE: &str = include_str!("openapi_before.json");
/// What is only for people, or for nobody.
const TEXTS: [&str; 4] = ["description", "example", "examples", "title"];
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
/// What differs, each with its reason.
const CHANGED: [(&str, &str); 4] = [
    (
        "POST /api/admin/held-groups/decide > body > application/json > properties > decision > enum",
        "its two words stood in the description alone",
    ),
    (
        "GET /api/admin/meter-errors > answers > 200 > application/json > properties > errors > items > properties > validation_start",
        "it is new, and may be null",
    ),
    (
        "GET /api/admin/meter-errors > answers > 200 > application/json > properties > errors > items > properties > validation_end",
        "it is new, and may be null",
    ),
    (
        "POST /api/admin/organizations/restore > body > application/json > properties > until",
        "it was described with the body of `ignore`, and never looked at",
    ),
];

/// A document, reduced to what a program relies on.
struct Document<'a>(&'a Value);

impl Document<'_> {
    fn operations(&self) -> BTreeMap<String, Value> {
        let mut operations = BTreeMap::new();
        for (path, item) in self.0["paths"].as_object().unwrap() {
            for method in METHODS {
                let operation = &item[method];
                if !operation.is_null() {
                    let name = format!("{} {path}", method.to_uppercase());
                    operations.insert(name, self.operation(operation));
                }
            }
        }
        operations
    }

    fn operation(&self, operation: &Value) -> Value {
        let parameters = operation["parameters"].as_array();
        let parameters = parameters.into_iter().flatten().map(|parameter| {
            let name = format!("{} {}", text(&parameter["in"]), text(&parameter["name"]));
            let kept = json!({
                "required": parameter["required"],
                "schema": self.schema(&parameter["schema"]),
            });
            (name, kept)
        });
        let answers = operation["responses"].as_object().unwrap().iter();
        let answers = answers.map(|(status, answer)| (status.clone(), self.content(answer)));
        json!({
            "id": operation["operationId"],
            "tags": operation["tags"],
            "security": operation["security"],
            "parameters": parameters.collect::<Map<_, _>>(),
            "body": self.content(&operation["requestBody"]),
            "body_required": operation["requestBody"]["required"],
            "answers": answers.collect::<Map<_, _>>(),
        })
    }

    /// What a body or an answer holds, by its content type.
    fn content(&self, holder: &Value) -> Value {
        let holder = self.resolved(holder);
        let Some(content) = holder["content"].as_object() else {
            return Value::Null;
        };
        let kept = content.iter();
        let kept = kept.map(|(kind, media)| (kind.clone(), self.schema(&media["schema"])));
        Value::Object(kept.collect())
    }

    fn resolved<'v>(&'v self, value: &'v Value) -> &'v Value {
        match value["$ref"].as_str() {
            Some(reference) => self.0.pointer(&reference[1..]).unwrap(),
            None => value,
        }
    }

    /// A schema with everything that it refers to in its place, but for the errors: they are alike.
    fn schema(&self, schema: &Value) -> Value {
        if let Some(name @ ("ErrorAnswer" | "AuthErrorAnswer")) = schema["$ref"]
            .as_str()
            .and_then(|reference| reference.rsplit('/').next())
        {
            return name.into();
        }
        match self.resolved(schema) {
            Value::Array(items) => items.iter().map(|item| self.schema(item)).collect(),
            Value::Object(fields) => {
                let kept = fields.iter().filter(|(name, value)| {
                    // A field may be called as a text is; then it is an object.
                    !TEXTS.contains(&name.as_str()) || (name != &"example" && value.is_object())
                });
                kept.map(|(name, value)| (name.clone(), self.part(name, value)))
                    .collect()
            }
            plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                plain.clone()
            }
        }
    }

    /// The order of names that are required, of types and of words says nothing.
    fn part(&self, name: &str, value: &Value) -> Value {
        let mut part = self.schema(value);
        if let ("required" | "type" | "enum" | "oneOf" | "anyOf", Value::Array(items)) =
            (name, &mut part)
        {
            items.sort_by_key(Value::to_string);
        }
        part
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test]
async fn every_operation_takes_and_answers_what_it_did() {
    let world = World::new().await;
    let document: Value = Answer::of(world.get("/api/openapi.json")).await.json();
    let now = Document(&document).operations();
    let before: BTreeMap<String, Value> = serde_json::from_str(BEFORE).unwrap();
    let mut differences = Vec::new();
    for (name, before) in &before {
        compare(
            name,
            before,
            now.get(name).unwrap_or(&Value::Null),
            &mut differences,
        );
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Finds the innermost values that differ.
fn compare(at: &str, before: &Value, now: &Value, differences: &mut Vec<String>) {
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => {
            let names: BTreeSet<_> = before.keys().chain(now.keys()).collect();
            for name in names {
                let [before, now] = [before, now].map(|fields| fields.get(name));
                let [before, now] = [before, now].map(|value| value.unwrap_or(&Value::Null));
                compare(&format!("{at} > {name}"), before, now, differences);
            }
        }
        _ if before == now || CHANGED.iter().any(|(changed, _)| *changed == at) => {}
        _ => differences.push(format!("{at}\n  before: {before}\n  now:    {now}")),
    }
}
