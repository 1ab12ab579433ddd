//! The binary as a Job runs it.

use std::process::{Command, Output};

use billing_devkit::postgres::{TestDatabase, run_sql};

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
            error.contains("Set it to postgresql://") && error.contains("DATABASE_URL"),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }
    assert_eq!(run(None, &["sideways"]).status.code(), Some(64));
}

#[test]
fn fm26_no_part_of_a_password_is_shown() {
    for (url, part) in [
        ("postgresql://u:Tr0ub4dor#3@127.0.0.1:5432/x", "%23"),
        ("postgresql://u:Tr0ub/4dor@127.0.0.1:5432/x", "%2F"),
        ("postgresql://u:42?Tr0ub4dor@127.0.0.1:5432/x", "%3F"),
        ("postgresql://u:Tr0ub@4dor@127.0.0.1:5432/x", "%40"),
        ("postgresql://u:Tr0ub4dor@127.0.0.1,127.0.0.2/x", "one host"),
        (
            "postgresql://u:Tr0ub4dor@127.0.0.1/x?search_path=y",
            "search_path",
        ),
        (
            "postgresql://u:Tr0ub4dor@db.example/x?sslmode=disable",
            "DATABASE_ALLOW_PLAINTEXT",
        ),
    ] {
        let output = run(Some(url), &["up"]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{error}");
        assert!(
            error.contains("DATABASE_URL") && error.contains(part),
            "{error}"
        );
        assert!(!error.contains("Tr0") && !error.contains("4dor"), "{error}");
        assert!(text(&output.stdout).is_empty());
    }
}

/// PostgreSQL looks into a schema that is named like the login first. The services take another role
/// and would not find the tables there.
#[test]
fn the_schema_is_the_same_for_everybody_and_stated() {
    let database = TestDatabase::create().unwrap();
    let sql = |sql: &str| run_sql(database.url(), sql).unwrap();
    sql("CREATE SCHEMA billing");
    let output = run(Some(database.url()), &["up"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    sql("SELECT 1 FROM public.organizations");

    // Another schema than the one that has the tables is a mistake; in another database it is a choice.
    let up_in = |url: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_migrations"));
        command.arg("up").env("DATABASE_SCHEMA", "invoicing");
        command.env("DATABASE_URL", url).output().unwrap()
    };
    let refused = up_in(database.url());
    let error = text(&refused.stderr);
    assert!(error.contains("Set DATABASE_SCHEMA=public"), "{error}");
    let other = TestDatabase::create().unwrap();
    let output = up_in(other.url());
    assert!(output.status.success(), "{}", text(&output.stderr));
    run_sql(other.url(), "SELECT 1 FROM invoicing.organizations").unwrap();
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
