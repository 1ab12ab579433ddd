//! Goal: the documents claim no test that is not there, and leave out no error and no variable.
//! Method: their tables against the sources, row by row.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, path::Path};

use billing_proto::common::v1::ErrorReason;

const HEADING: &str = "## What went wrong elsewhere";
const ROWS: u32 = 35;

/// The greatest number that an error reason may have, for now.
const REASON_MAX: i32 = 200;
/// Where services name the variables that they read.
const CONFIGS: [&str; 7] = [
    "crates/database/src/lib.rs",
    "crates/kit-db/src/lib.rs",
    "crates/kit/src/config.rs",
    "gateway/src/config.rs",
    "ingest-svc/src/config.rs",
    "org-svc/src/config.rs",
    "stripe-svc/src/config.rs",
];

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(path)).expect(path)
}

/// The cells of the table's rows.
fn rows(document: &str) -> Vec<Vec<String>> {
    let (_, section) = document.split_once(HEADING).expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    };
    let rows = section.lines().filter(|line| line.starts_with('|'));
    // After the heading and the rule under it.
    rows.skip(2).map(cells).collect()
}

#[test]
fn every_failure_is_proved_by_the_tests_that_the_document_names_or_said_to_be_unproved() {
    let document = read("docs/TESTING.md");
    let mut seen = BTreeSet::new();
    for row in rows(&document) {
        let [number, _, test, place] = row.as_slice() else {
            panic!("a row has four cells: {row:?}");
        };
        let number: u32 = number.parse().unwrap();
        seen.insert(number);
        if test.starts_with("not proved") {
            continue;
        }
        let (test, place) = (test.trim_matches('`'), place.trim_matches('`'));
        assert!(test.starts_with(&format!("fm{number:02}_")), "{row:?}");
        let source = read(place);
        let (_, before) = source
            .split_once(&format!("fn {test}("))
            .map(|(before, after)| (after, before))
            .unwrap_or_else(|| panic!("{place} has no test {test}"));
        let attributes = before.rsplit("\n\n").next().unwrap_or_default();
        assert!(attributes.contains("test"), "{test} is no test");
    }
    let all: BTreeSet<_> = (1..=ROWS).collect();
    assert_eq!(seen, all, "each row");
}

#[test]
fn every_error_reason_is_explained() {
    let document = read("docs/ERRORS.md");
    let reasons = (1..=REASON_MAX).filter_map(|number| ErrorReason::try_from(number).ok());
    let mut count = 0;
    for reason in reasons {
        let code = reason.as_str_name().trim_start_matches("ERROR_REASON_");
        let row = format!("\n| `{}` |", code.to_lowercase());
        assert!(
            document.contains(&row),
            "{code} has no row in docs/ERRORS.md"
        );
        count += 1;
    }
    let last = ErrorReason::try_from(REASON_MAX);
    assert!(count > 20 && last.is_err(), "REASON_MAX is too small");
}

#[test]
fn every_variable_is_listed() {
    let document = read("docs/OPERATIONS.md");
    let is_variable = |text: &&str| {
        text.contains('_')
            && text.starts_with(|c: char| c.is_ascii_uppercase())
            && text.chars().all(|c| c == '_' || c.is_ascii_uppercase())
    };
    let mut count = 0;
    for config in CONFIGS {
        let source = read(config);
        let source = source.split("#[cfg(test)]").next().unwrap_or_default();
        // Every second part is within quotation marks.
        for variable in source.split('"').skip(1).step_by(2).filter(is_variable) {
            let listed = format!("`{variable}`");
            assert!(
                document.contains(&listed),
                "{config}: {variable} is not listed"
            );
            count += 1;
        }
    }
    assert!(count > 50, "variables are named otherwise by now");
}
