//! The services' logs, read for errors that no fault of ours explains.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// Errors that the faults bring about, by a part of their message.
const EXPECTED: [&str; 2] = [
    // Clocks that are further apart than an assertion's leeway keep admins out until they agree.
    "The admin assertion has expired.",
    // sqlx's own word when PostgreSQL goes between a connection and its SET ROLE; the pool goes on.
    "error returned from after_connect",
];

/// Lines of level ERROR that nobody expects, and panics.
pub(crate) fn unexpected(logs: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(logs)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let text = fs::read(&path)?;
        for line in String::from_utf8_lossy(&text).lines() {
            if is_unexpected(line) {
                found.push(format!("{name}: {line}"));
            }
        }
    }
    Ok(found)
}

fn is_unexpected(line: &str) -> bool {
    let json: Option<Value> = serde_json::from_str(line).ok();
    let is_error = match &json {
        Some(line) => line.get("level").and_then(Value::as_str) == Some("ERROR"),
        None => line.contains("panicked at"),
    };
    is_error && !EXPECTED.iter().any(|part| line.contains(part))
}
