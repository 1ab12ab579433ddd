//! Goal: docs/TESTING.md does not claim a test that is not there.
//! Method: its table of failures, row by row, against the sources.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, path::Path};

const HEADING: &str = "## What went wrong elsewhere";
const ROWS: u32 = 35;

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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let document = fs::read_to_string(root.join("docs/TESTING.md")).unwrap();
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
        let source = fs::read_to_string(root.join(place)).expect(place);
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
