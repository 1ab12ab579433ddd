//! The caller's own key-value pairs, which nearly every object carries.

use std::collections::BTreeMap;

use crate::fields::{Fields, Patch};

pub(crate) type Metadata = BTreeMap<String, String>;

const MAX_KEYS: usize = 50;
const MAX_KEY_CHARS: usize = 40;
const MAX_VALUE_CHARS: usize = 500;

/// Reads the `metadata` parameter. `metadata=` unsets all of it.
pub(crate) fn read(fields: &mut Fields) -> Patch<Metadata> {
    if fields.is_empty_text("metadata") {
        return Patch::Clear;
    }
    let Some(pairs) = fields.map("metadata") else {
        return Patch::Keep;
    };
    if pairs.len() > MAX_KEYS {
        fields.violate(
            "metadata",
            None,
            format!("You can have at most {MAX_KEYS} metadata keys."),
        );
    }
    for (key, value) in &pairs {
        if key.chars().count() > MAX_KEY_CHARS {
            let message = format!(
                "Metadata keys can have up to {MAX_KEY_CHARS} characters, but you passed in {key}."
            );
            fields.violate("metadata", None, message);
        }
        let length = value.chars().count();
        if length > MAX_VALUE_CHARS {
            let message = format!(
                "Metadata values can have up to {MAX_VALUE_CHARS} characters, but you passed in a \
                 value that is {length} characters."
            );
            fields.violate(&format!("metadata[{key}]"), None, message);
        }
    }
    Patch::Set(pairs)
}

/// The metadata of an object that is being created.
pub(crate) fn created(patch: Patch<Metadata>) -> Metadata {
    let mut metadata = Metadata::new();
    merge(&mut metadata, patch);
    metadata
}

/// New keys are added, empty values remove their key, and the rest stays.
pub(crate) fn merge(metadata: &mut Metadata, patch: Patch<Metadata>) {
    match patch {
        Patch::Keep => {}
        Patch::Clear => metadata.clear(),
        Patch::Set(pairs) => {
            for (key, value) in pairs {
                if value.is_empty() {
                    metadata.remove(&key);
                } else {
                    metadata.insert(key, value);
                }
            }
        }
    }
}
