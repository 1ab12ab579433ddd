//! Goal: docs/TESTING.md says of each assertion what it is and that it is not proved yet, and of no
//! other.
//! Method: its table, row by row, against the assertions.

use std::{fs, path::Path};

use billing_stripe_conformance::ASSERTIONS;

const HEADING: &str = "## Not yet proved against Stripe itself";

#[test]
fn the_document_lists_the_assertions() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/TESTING.md");
    let document = fs::read_to_string(path).unwrap();
    let (_, section) = document.split_once(HEADING).expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    // After the heading and the rule under it.
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let assertions = ASSERTIONS.iter().map(|assertion| assertion.row());
    assert_eq!(
        rows.collect::<Vec<_>>(),
        assertions.collect::<Vec<_>>(),
        "`cargo xtask stripe-conformance --list` prints the rows"
    );
}

#[test]
fn no_two_assertions_share_a_name() {
    let mut names: Vec<_> = ASSERTIONS.iter().map(|it| it.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ASSERTIONS.len());
}
