//! The binary as a Job runs it.

use std::process::{Command, Output};

use billing_devkit::postgres::TestDatabase;

fn run(database_url: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_migrations"));
    command.args(arguments).env_remove("DATABASE_URL");
    if let Some(url) = database_url {
        command.env("DATABASE_URL", url);
    }
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_missing_or_wrong_url_is_named_with_its_fix() {
    for url in [
        None,
        Some(""),
        Some("billing"),
        Some("mysql://root:secret@h/x"),
    ] {
        let output = run(url, &["up"]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{url:?}: {error}");
        assert!(
            error.contains("Set DATABASE_URL to postgresql://"),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }
    assert_eq!(run(None, &["sideways"]).status.code(), Some(64));
}

#[test]
fn a_database_that_does_not_answer_is_a_failure_with_its_fix() {
    let output = run(
        Some("postgresql://u:secret@127.0.0.1:1/x"),
        &["up", "--wait", "1"],
    );
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("The database did not answer"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn up_status_and_down_say_what_they_did() {
    let database = TestDatabase::create().unwrap();
    let url = Some(database.url());
    let said = |arguments: &[&str]| {
        let output = run(url, arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert!(said(&["status"]).contains("pending  0001_roles"));
    assert!(said(&["up", "--wait", "5"]).contains("applied 0005_usage_reports"));
    assert!(said(&["up"]).contains("nothing to do"));
    assert!(said(&["status"]).contains("applied  0001_roles"));
    assert!(said(&["down", "--steps", "99"]).contains("took back 0001_roles"));
    assert!(said(&["status"]).contains("pending  0001_roles"));
}
