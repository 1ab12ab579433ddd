//! Goal: an additive migration does not break the statements of running services.
//! Method: their sources list the columns of tables. PostgreSQL refuses a prepared statement whose `*`
//! came to mean more.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

/// How far from a `*` its FROM is looked for, in characters.
const NEAR: usize = 50;
const SERVICES: [&str; 3] = ["ingest-svc/src", "org-svc/src", "stripe-svc/src"];

fn sources(dir: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            found.push((path.display().to_string(), text));
        }
    }
}

/// The `*` of what a statement lists itself, in `unnest`, `VALUES` or a record, does not change.
fn is_of_a_table(text: &str, at: usize) -> bool {
    let (before, after) = text.split_at(at);
    let before = before
        .trim_end_matches('.')
        .trim_end_matches(|c: char| c.is_ascii_lowercase() || c == '_');
    let lists = ["SELECT ", "RETURNING ", ", "]
        .iter()
        .any(|word| before.ends_with(word));
    let after = after.trim_start_matches('*').trim_start();
    let is_sql = after.starts_with("FROM ") || after.starts_with(['"', ',', ')', '\n']);
    let next: String = after.chars().take(NEAR).collect();
    let own = ["FROM unnest(", "FROM (VALUES", "FROM jsonb_to_recordset("];
    lists && is_sql && !own.iter().any(|own| next.contains(own))
}

#[test]
fn statements_of_services_list_the_columns_of_tables() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    for service in SERVICES {
        sources(&root.join(service), &mut found);
    }
    assert!(found.len() > 100);
    for (path, text) in found {
        for (at, _) in text.match_indices('*') {
            let is_table = is_of_a_table(&text, at);
            let line = text.get(..at).unwrap_or_default().lines().count();
            assert!(!is_table, "{path}:{line}: list the columns instead of *");
        }
    }
}

#[test]
fn a_star_of_a_table_is_told_from_others() {
    for (text, is_table) in [
        ("SELECT * FROM organizations", true),
        ("\"RETURNING t.*\"", true),
        ("SELECT *, 1 AS rank", true),
        ("SELECT page.*, arm.rank", true),
        ("SELECT count(*) FROM organizations", false),
        ("SELECT * FROM unnest($1)", false),
        ("SELECT n.* FROM (VALUES (1))", false),
        ("2 * 3", false),
        ("match (a, *b)", false),
    ] {
        let at = text.find('*').expect("a star");
        assert_eq!(is_of_a_table(text, at), is_table, "{text}");
    }
}
