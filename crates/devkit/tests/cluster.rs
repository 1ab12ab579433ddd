//! Starts real clusters in temporary directories.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test"
)]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use billing_devkit::postgres::{self, Binaries, Cluster, Durability};

fn silent(_: &str) {}

fn rows(url: &str, sql: &str) -> String {
    let psql = Binaries::find_all()[0].program("psql");
    let output = Command::new(psql)
        .args(["-X", "-A", "-t", "-c", sql, url])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn server_pid(cluster: &Cluster) -> String {
    let file = std::fs::read_to_string(cluster.home().join("data/postmaster.pid")).unwrap();
    file.lines().next().unwrap().to_owned()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn kill_hard(pid: &str) {
    let status = Command::new("kill").args(["-KILL", pid]).status().unwrap();
    assert!(status.success());
}

fn start(dir: &Path, durability: Durability) -> Cluster {
    Cluster::start(dir, durability, &silent).unwrap()
}

#[test]
fn a_cluster_keeps_its_data_its_port_and_its_password() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = start(dir.path(), Durability::Kept);
    let url = cluster.ensure_database("billing").unwrap();
    postgres::run_sql(&url, "CREATE TABLE t (x int); INSERT INTO t VALUES (7)").unwrap();
    assert_eq!(rows(&url, "SHOW fsync"), "on");
    assert_eq!(rows(&url, "SHOW listen_addresses"), "127.0.0.1");
    assert_eq!(rows(&url, "SHOW server_encoding"), "UTF8");
    assert_eq!(rows(&url, "SHOW lc_collate"), "C");
    let stranger = url.replace("billing:", "billing:x");
    assert!(postgres::run_sql(&stranger, "SELECT 1").is_err());
    // Statements are in the log.
    assert_eq!(mode(&cluster.home().join("log")), 0o600);
    cluster.stop().unwrap();
    assert!(postgres::run_sql(&url, "SELECT 1").is_err());

    let again = start(dir.path(), Durability::Kept);
    assert_eq!(again.ensure_database("billing").unwrap(), url);
    assert_eq!(rows(&url, "SELECT x FROM t"), "7");
}

#[test]
fn a_template_is_copied() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = start(dir.path(), Durability::Scratch);
    assert_eq!(rows(&cluster.maintenance_url(), "SHOW fsync"), "off");
    assert_eq!(
        rows(&cluster.maintenance_url(), "SHOW max_connections"),
        "300"
    );
    let template = cluster.ensure_database("template").unwrap();
    postgres::run_sql(
        &template,
        "CREATE TABLE t (x int); INSERT INTO t VALUES (7)",
    )
    .unwrap();
    let copy = cluster
        .create_database_from_template("copy", "template")
        .unwrap();
    assert_eq!(rows(&copy, "SELECT x FROM t"), "7");
    postgres::drop_database(&cluster.maintenance_url(), "copy").unwrap();
    assert!(postgres::run_sql(&copy, "SELECT 1").is_err());
}

#[test]
fn a_cluster_in_use_is_not_started_twice() {
    let dir = tempfile::tempdir().unwrap();
    let _cluster = start(dir.path(), Durability::Scratch);
    let second = Cluster::start(dir.path(), Durability::Scratch, &silent);
    assert!(second.unwrap_err().to_string().contains("in use"));
}

#[test]
fn a_crashed_cluster_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = start(dir.path(), Durability::Kept);
    let url = cluster.ensure_database("billing").unwrap();
    postgres::run_sql(&url, "CREATE TABLE t (x int); INSERT INTO t VALUES (7)").unwrap();
    kill_hard(&server_pid(&cluster));
    drop(cluster);

    let again = start(dir.path(), Durability::Kept);
    let url = again.ensure_database("billing").unwrap();
    assert_eq!(rows(&url, "SELECT x FROM t"), "7");
}

#[test]
fn a_cluster_crashes_and_comes_back_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = start(dir.path(), Durability::Kept);
    let url = cluster.ensure_database("billing").unwrap();
    postgres::run_sql(&url, "CREATE TABLE t (x int); INSERT INTO t VALUES (7)").unwrap();
    let before = server_pid(&cluster);
    cluster.crash_and_restart().unwrap();
    assert_ne!(server_pid(&cluster), before);
    assert_eq!(rows(&url, "SELECT x FROM t"), "7");
}

/// A killed `cargo xtask up` cannot stop its server. The next run finds it and makes it its own.
#[test]
fn a_cluster_that_was_left_running_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = start(dir.path(), Durability::Scratch);
    let data = cluster.home().join("data");
    cluster.stop().unwrap();
    let account = postgres::Account::choose().unwrap();
    let mut left_behind = account
        .command(&Binaries::find_all()[0].program("postgres"))
        .arg("-D")
        .arg(&data)
        .args(["-c", "unix_socket_directories=", "-c"])
        .arg(format!(
            "port={}",
            std::fs::read_to_string(dir.path().join("port")).unwrap()
        ))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !std::fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|f| f.contains("ready")) {
        assert!(left_behind.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }

    let again = start(dir.path(), Durability::Scratch);
    assert_eq!(server_pid(&again), left_behind.id().to_string());
    assert_eq!(rows(&again.maintenance_url(), "SELECT 1"), "1");
    let reaper = std::thread::spawn(move || left_behind.wait().unwrap());
    again.stop().unwrap();
    assert!(reaper.join().unwrap().success());
}

#[test]
fn a_number_that_somebody_else_has_now_is_no_server() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = start(dir.path(), Durability::Scratch);
    let pid_file = cluster.home().join("data/postmaster.pid");
    cluster.stop().unwrap();
    let ours = std::process::id();
    std::fs::write(
        &pid_file,
        format!("{ours}\n/x\n1\n5432\n\n127.0.0.1\n1 1\nready\n"),
    )
    .unwrap();
    let again = start(dir.path(), Durability::Scratch);
    assert_ne!(server_pid(&again), ours.to_string());
}

#[test]
fn a_url_names_another_database() {
    let url = postgres::with_database("postgresql://a:b@h:1/x?sslmode=disable", "y").unwrap();
    assert_eq!(url, "postgresql://a:b@h:1/y?sslmode=disable");
}

/// For root the server runs as another user, whom a home directory of mode 0700 keeps out.
#[test]
fn a_directory_that_the_servers_user_cannot_enter_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    let inside = dir.path().join("postgres");
    let cluster = start(&inside, Durability::Scratch);
    let home = cluster.home().to_owned();
    let elsewhere = postgres::Account::choose().unwrap() != postgres::Account::Own;
    assert_eq!(
        home.starts_with("/var/tmp"),
        elsewhere,
        "{}",
        home.display()
    );
    assert_eq!(rows(&cluster.maintenance_url(), "SELECT 1"), "1");
    cluster.stop().unwrap();
    std::fs::remove_dir_all(home).unwrap();
}
