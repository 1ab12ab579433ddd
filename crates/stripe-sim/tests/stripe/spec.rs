//! Stripe's OpenAPI specification as a judge of answers. It is not part of this repository:
//! `STRIPE_OPENAPI_SPEC` names it, or it lies in `shared/reference` beside the workspace.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

static SPEC: LazyLock<Option<Value>> = LazyLock::new(load);
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

fn load() -> Option<Value> {
    let beside = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/reference/stripe-openapi-subset.json"
    );
    let named = std::env::var_os("STRIPE_OPENAPI_SPEC").map(PathBuf::from);
    let path = named.unwrap_or_else(|| PathBuf::from(beside));
    if !path.exists() {
        println!(
            "skipped: answers are not validated, no specification at {}",
            path.display()
        );
        return None;
    }
    let text = std::fs::read(&path).unwrap();
    let mut spec: Value = serde_json::from_slice(&text).unwrap();
    widen_nullable(&mut spec);
    Some(spec)
}

/// OpenAPI 3.0 says `nullable` where JSON Schema says "or null".
fn widen_nullable(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(widen_nullable);
            if fields.get("nullable") == Some(&Value::Bool(true)) {
                let schema: Map<String, Value> = std::mem::take(fields);
                fields.insert("anyOf".to_owned(), json!([schema, { "type": "null" }]));
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(widen_nullable),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn template<'s>(spec: &'s Value, path: &str) -> Option<(&'s String, &'s Value)> {
    let fits = |template: &str| {
        let (ours, theirs): (Vec<_>, Vec<_>) =
            (path.split('/').collect(), template.split('/').collect());
        ours.len() == theirs.len()
            && ours
                .iter()
                .zip(&theirs)
                .all(|(our, their)| our == their || their.starts_with('{'))
    };
    let mut found: Vec<_> = spec["paths"]
        .as_object()?
        .iter()
        .filter(|(template, _)| fits(template))
        .collect();
    // `/customers/search` is also a `/customers/{customer}`: the words win.
    found.sort_by_key(|(template, _)| template.matches('{').count());
    found.into_iter().next()
}

/// Panics unless the answer is one that the specification allows.
pub(crate) fn check(method: &str, path: &str, status: u16, body: &Value) {
    let Some(spec) = SPEC.as_ref() else { return };
    // What acts on an invoice is not in the subset; it answers with the invoice.
    let acts = ["/finalize", "/pay", "/void"];
    let invoice = acts.iter().find_map(|action| path.strip_suffix(action));
    let invoice = invoice.filter(|path| path.starts_with("/v1/invoices/"));
    let (method, path) = invoice.map_or((method, path), |path| ("GET", path));
    let schema = if status == 200 {
        let (template, item) = template(spec, path).unwrap();
        let pointer = format!(
            "/{}/responses/200/content/application~1json/schema",
            method.to_lowercase()
        );
        let schema = item.pointer(&pointer);
        schema
            .unwrap_or_else(|| panic!("{method} {template} is not specified"))
            .clone()
    } else {
        json!({ "$ref": "#/components/schemas/error" })
    };
    let key = schema.to_string();
    let known = VALIDATORS.lock().unwrap().get(&key).cloned();
    let validator = known.unwrap_or_else(|| {
        let root = json!({ "allOf": [schema], "components": spec["components"] });
        let built = jsonschema::options()
            .with_draft(Draft::Draft7)
            .build(&root)
            .unwrap();
        let built = Arc::new(built);
        VALIDATORS.lock().unwrap().insert(key, Arc::clone(&built));
        built
    });
    let problems: Vec<String> = validator
        .iter_errors(body)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(
        problems.is_empty(),
        "{method} {path} {status}: {problems:#?}\n{body:#}"
    );
}

#[test]
fn the_judge_can_say_no() {
    if SPEC.is_none() {
        return;
    }
    let without_a_name = json!({ "id": "prod_1", "object": "product" });
    let verdict = std::panic::catch_unwind(|| check("GET", "/v1/products/x", 200, &without_a_name));
    assert!(verdict.is_err());
}
