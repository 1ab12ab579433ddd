//! `cargo xtask up` with the real PostgreSQL and stand-ins for the product's binaries: what it
//! starts, tells, and takes down again.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

const BINARIES: [&str; 7] = [
    "migrations",
    "org-svc",
    "ingest-svc",
    "stripe-svc",
    "gateway",
    "stripe-sim",
    "instance-sim",
];
const DEADLINE: Duration = Duration::from_secs(60);

/// A directory with xtask and, beside it, the stand-ins.
struct Place {
    dir: TempDir,
    // Two runs that start at once may choose the same free ports.
    _alone: MutexGuard<'static, ()>,
}

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A run of `up`. Dropping it kills what the test left of it.
struct Run {
    child: Child,
    ready_file: PathBuf,
}

impl Place {
    fn new() -> Self {
        let alone = ONE_AT_A_TIME.lock();
        let dir = tempfile::tempdir().unwrap();
        let xtask = Path::new(env!("CARGO_BIN_EXE_xtask"));
        // Not a link: xtask looks for the others beside where its own file really is.
        fs::copy(xtask, dir.path().join("xtask")).unwrap();
        let stand_in = xtask.with_file_name("examples").join("stand_in");
        for name in BINARIES {
            std::os::unix::fs::symlink(&stand_in, dir.path().join(name)).unwrap();
        }
        Self {
            dir,
            _alone: alone.unwrap_or_else(PoisonError::into_inner),
        }
    }

    fn up(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        let ready_file = self.dir.path().join("ready.json");
        let mut command = Command::new(self.dir.path().join("xtask"));
        command
            .args(["up", "--ready-file"])
            .arg(&ready_file)
            .arg("--data-dir")
            .arg(self.dir.path().join("dev"))
            .args(arguments)
            // Everything is built.
            .env("CARGO", "true")
            .env("STAND_IN_LOG", self.dir.path().join("calls"))
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        for name in ["DATABASE_URL", "STRIPE_SECRET_KEY", "STRIPE_API_BASE"] {
            if !variables.iter().any(|(set, _)| *set == name) {
                command.env_remove(name);
            }
        }
        let child = command.spawn().unwrap();
        Run { child, ready_file }
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.dir.path().join("calls")).unwrap_or_default()
    }
}

impl Drop for Place {
    /// A test that failed may have left processes behind: those that are still written down.
    fn drop(&mut self) {
        let left = |file: &str| fs::read_to_string(self.dir.path().join(file)).unwrap_or_default();
        let processes = left("dev/processes");
        let server = left("dev/postgres/data/postmaster.pid");
        for line in processes.lines().chain(server.lines().take(1)) {
            if let Some(Ok(pid)) = line.split(' ').next().map(str::parse) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
        }
    }
}

impl Run {
    fn wait_until_ready(&mut self) -> Value {
        let started = Instant::now();
        loop {
            if let Ok(json) = fs::read(&self.ready_file) {
                return serde_json::from_slice(&json).unwrap();
            }
            assert_eq!(self.child.try_wait().unwrap(), None, "it ended");
            assert!(started.elapsed() < DEADLINE, "not ready in time");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for its end; says what it printed.
    fn end(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        let mut stdout = self.child.stdout.take().unwrap();
        stdout.read_to_string(&mut said).unwrap();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        let status = self.child.wait().unwrap();
        (status, said)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Not SIGKILL: it would leave the database behind.
            let _ = kill(self.pid(), Signal::SIGTERM);
            drop(self.child.wait());
        }
    }
}

fn text<'a>(ready: &'a Value, pointer: &str) -> &'a str {
    ready.pointer(pointer).and_then(Value::as_str).unwrap()
}

fn listens(address: &str) -> bool {
    std::net::TcpStream::connect(address).is_ok()
}

#[test]
fn everything_comes_up_in_order_and_goes_down_at_a_signal() {
    let place = Place::new();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut run = place.up(&[], &[]);
        let ready = run.wait_until_ready();
        let addresses = ["ingest", "org", "stripe", "gateway"];
        let addresses = addresses.map(|name| text(&ready, &format!("/grpc/{name}")).to_owned());
        for address in &addresses {
            assert!(listens(address), "{address}");
        }
        for pointer in ["/tls/ca", "/tls/cert", "/tls/key"] {
            assert!(Path::new(text(&ready, pointer)).is_file(), "{pointer}");
        }
        billing_devkit::postgres::run_sql(text(&ready, "/database_url"), "SELECT 1").unwrap();

        run.signal(signal);
        let (status, said) = run.end();
        assert!(status.success(), "{status}\n{said}");
        assert!(!place.dir.path().join("ready.json").exists());
        assert!(said.contains(" gateway | gateway listens"), "{said}");
        assert!(said.contains("ready; Ctrl-C stops everything"), "{said}");
        for address in &addresses {
            assert!(!listens(address), "{address} is still there");
        }
        let database = text(&ready, "/database_url");
        assert!(billing_devkit::postgres::run_sql(database, "SELECT 1").is_err());
    }
    let calls = place.calls();
    let first: Vec<&str> = calls.lines().take(9).collect();
    assert_eq!(first[0], "migrations up --wait 30");
    assert!(first[1].starts_with("stripe-sim --listen 127.0.0.1:"));
    assert_eq!(first[2], "stripe-svc catalog apply");
    assert!(first[7].starts_with("org-svc admin create admin@billing.example --name"));
    assert_eq!(first[8], "password of 40 characters");
}

#[test]
fn a_second_run_finds_what_the_first_one_left() {
    let place = Place::new();
    let mut run = place.up(&[], &[]);
    let first = run.wait_until_ready();
    let database = text(&first, "/database_url");
    billing_devkit::postgres::run_sql(database, "CREATE TABLE kept (x int)").unwrap();
    run.signal(Signal::SIGTERM);
    run.end();

    let mut run = place.up(&["--demo"], &[]);
    let second = run.wait_until_ready();
    for pointer in ["/admin_email", "/admin_password", "/tls/cert"] {
        assert_eq!(text(&second, pointer), text(&first, pointer));
    }
    let database = text(&second, "/database_url");
    billing_devkit::postgres::run_sql(database, "SELECT x FROM kept").unwrap();
    let started = Instant::now();
    while !place.calls().contains("instance-sim demo") {
        assert!(started.elapsed() < DEADLINE);
        std::thread::sleep(Duration::from_millis(20));
    }
    run.signal(Signal::SIGTERM);
    assert!(run.end().0.success());
}

#[test]
fn a_service_that_dies_takes_the_rest_with_it() {
    let place = Place::new();
    let run = place.up(&[], &[("STAND_IN_DIES", "ingest-svc")]);
    let (status, said) = run.end();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("ingest-svc ended by itself (exit status: 3)"),
        "{said}"
    );
    assert!(said.contains("  ingest-svc cannot go on"), "{said}");
    assert!(said.contains("xtask | stopped"), "{said}");
    assert!(!place.dir.path().join("ready.json").exists());
}

/// Nobody can end its processes for a run that is killed; the next one does.
#[test]
fn what_a_killed_run_left_behind_is_ended() {
    let place = Place::new();
    let mut run = place.up(&[], &[]);
    let first = run.wait_until_ready();
    let second = place.up(&[], &[]);
    let (status, said) = second.end();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("Another `cargo xtask up` runs in"), "{said}");
    assert!(run.ready_file.exists(), "it is the first one's");

    run.signal(Signal::SIGKILL);
    run.child.wait().unwrap();
    let gateway = text(&first, "/grpc/gateway");
    assert!(listens(gateway), "it was killed, not ended");
    fs::remove_file(&run.ready_file).unwrap();
    let mut run = place.up(&[], &[]);
    let second = run.wait_until_ready();
    // Its port is free again, though another run on this machine may have been quicker to take it.
    let same = text(&second, "/grpc/gateway") == gateway;
    assert!(same || !listens(gateway), "what was left behind is ended");
    run.signal(Signal::SIGTERM);
    let (status, said) = run.end();
    assert!(status.success(), "{said}");
    assert!(said.contains("which an earlier run left behind"), "{said}");
    assert!(said.contains("taking over the PostgreSQL"), "{said}");
    assert!(!listens(gateway));
}

#[test]
fn what_the_caller_brings_is_not_started() {
    let place = Place::new();
    let caller = [
        ("DATABASE_URL", "postgresql://somebody@db.example/x"),
        ("STRIPE_SECRET_KEY", "sk_test_x"),
        ("STRIPE_API_BASE", "http://stripe.example"),
    ];
    let mut run = place.up(&[], &caller);
    let ready = run.wait_until_ready();
    assert_eq!(
        text(&ready, "/database_url"),
        "postgresql://somebody@db.example/x"
    );
    assert_eq!(text(&ready, "/stripe_secret_key"), "sk_test_x");
    assert_eq!(text(&ready, "/stripe_api_base"), "http://stripe.example");
    run.signal(Signal::SIGTERM);
    assert!(run.end().0.success());
    assert!(!place.calls().contains("stripe-sim"));
    assert!(!place.dir.path().join("dev/postgres").exists());
}

#[test]
fn half_a_stripe_is_refused_with_the_fix() {
    let place = Place::new();
    let run = place.up(&[], &[("STRIPE_API_BASE", "http://stripe.example")]);
    let (status, said) = run.end();
    assert_eq!(status.code(), Some(1));
    assert!(
        said.contains("Set both to use that Stripe, or neither"),
        "{said}"
    );
}
