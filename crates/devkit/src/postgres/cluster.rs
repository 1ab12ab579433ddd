//! One cluster: its directory, its server process, its life.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File, Permissions};
use std::hash::{Hash, Hasher};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::account::{Account, without_postgres_variables};
use super::binaries::{Binaries, psql};
use crate::{files, ports};

/// The cluster's own superuser.
const USER: &str = "billing";
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_EVERY: Duration = Duration::from_millis(20);
/// How often another port is tried when the chosen one is taken in the meantime.
const START_ATTEMPTS: usize = 3;
/// Lines of the server's log that an error shows.
const SHOWN_LOG_LINES: usize = 10;

/// What a crash of the machine may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was committed; who connects must know the password.
    Kept,
    /// Everything: for tests. Nothing waits for the disk, and no password is asked for.
    Scratch,
}

/// A running cluster. Dropping it stops it.
#[derive(Debug)]
pub struct Cluster {
    home: PathBuf,
    port: u16,
    password: Option<String>,
    durability: Durability,
    server: Server,
    /// Held as long as the cluster is in use, and released even if we are killed.
    _lock: File,
}

/// Another process runs the cluster.
#[derive(Debug)]
pub struct InUse {
    home: PathBuf,
}

impl std::fmt::Display for InUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let home = self.home.display();
        write!(
            f,
            "The cluster in {home} is in use by another run. Stop that one first."
        )
    }
}

impl std::error::Error for InUse {}

#[derive(Debug)]
enum Server {
    Child(Child),
    /// Left running by an earlier run that was killed.
    Found(Pid),
    Stopped,
}

impl Cluster {
    /// Starts the cluster that lives in the directory, making it on first use. One that an earlier
    /// run left running is taken over, one that crashed recovers.
    ///
    /// # Errors
    /// When PostgreSQL can neither be found nor installed, another process uses the cluster, or the
    /// server does not start. The message says what to do.
    pub fn start(dir: &Path, durability: Durability, say: &dyn Fn(&str)) -> anyhow::Result<Self> {
        Self::start_with(None, dir, durability, say)
    }

    /// Starts a cluster of this release, even where the machine has a newer one.
    ///
    /// # Errors
    /// As [`Cluster::start`]; and where the directory has a cluster of another release.
    pub fn start_release(
        binaries: &Binaries,
        dir: &Path,
        durability: Durability,
        say: &dyn Fn(&str),
    ) -> anyhow::Result<Self> {
        Self::start_with(Some(binaries), dir, durability, say)
    }

    fn start_with(
        binaries: Option<&Binaries>,
        dir: &Path,
        durability: Durability,
        say: &dyn Fn(&str),
    ) -> anyhow::Result<Self> {
        let account = Account::choose()?;
        let home = home_of(dir, account, say)?;
        let Some(lock) = files::lock_now(&home)? else {
            return Err(InUse { home }.into());
        };
        let binaries = match binaries {
            Some(binaries) => binaries.clone(),
            None => fitting_binaries(&home, say)?,
        };
        let data = home.join("data");
        if !data.join("PG_VERSION").exists() {
            say(&format!(
                "making a PostgreSQL {} cluster in {}",
                binaries.major(),
                home.display()
            ));
            init(&home, &binaries, account, durability)?;
        }
        let password = match durability {
            Durability::Kept => Some(files::ensure_secret(&home.join("password"))?),
            Durability::Scratch => None,
        };
        let mut cluster = Self {
            port: 0,
            password,
            durability,
            server: Server::Stopped,
            _lock: lock,
            home,
        };
        if cluster.take_over_running()? {
            say("taking over the PostgreSQL that an earlier run left running");
        } else {
            cluster.launch(&binaries, account, durability)?;
        }
        Ok(cluster)
    }

    /// The URL of a database of this cluster, for its superuser.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let password = self.password.as_ref();
        let password = password.map_or_else(String::new, |password| format!(":{password}"));
        format!(
            "postgresql://{USER}{password}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// The maintenance database, from which others are created.
    #[must_use]
    pub fn maintenance_url(&self) -> String {
        self.url("postgres")
    }

    /// Where the cluster keeps its data and its log. Not always the directory that was asked for:
    /// see [`Cluster::start`].
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Creates a database unless it is there.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn ensure_database(&self, name: &str) -> anyhow::Result<String> {
        match super::create_database(&self.maintenance_url(), name) {
            Ok(url) => Ok(url),
            Err(error) if error.to_string().contains("already exists") => Ok(self.url(name)),
            Err(error) => Err(error),
        }
    }

    /// Creates a database as a copy of another one that nobody is connected to.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn create_database_from_template(
        &self,
        name: &str,
        template: &str,
    ) -> anyhow::Result<String> {
        super::create_database_from_template(&self.maintenance_url(), name, template)
    }

    /// Ends the server at once, as a crash of the machine would, and starts it again where it was. It
    /// recovers from its log.
    ///
    /// # Errors
    /// When it does not start again.
    pub fn crash_and_restart(&mut self) -> anyhow::Result<()> {
        let pid = self.pid()?.context("the server does not run")?;
        // SIGQUIT is PostgreSQL's immediate shutdown: nothing is finished, nothing is written.
        let _ = kill(pid, Signal::SIGQUIT);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.is_running(pid)? {
            anyhow::ensure!(
                Instant::now() < deadline,
                "PostgreSQL did not end within {} s.",
                STOP_TIMEOUT.as_secs()
            );
            std::thread::sleep(POLL_EVERY);
        }
        self.server = Server::Stopped;
        let account = Account::choose()?;
        let binaries = fitting_binaries(&self.home, &|_| {})?;
        self.launch_on_port(&binaries, account, self.durability)
    }

    /// Stops the server, without waiting for who is connected.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.shut_down()
    }

    /// Looks for a server of an earlier run. True when it runs and answers.
    fn take_over_running(&mut self) -> anyhow::Result<bool> {
        let pid_file = self.home.join("data/postmaster.pid");
        let deadline = Instant::now() + STOP_TIMEOUT;
        while let Some(found) = PidFile::read(&pid_file) {
            if !is_postgres(found.pid) {
                // The machine or the server went down hard. PostgreSQL would wait for whoever has
                // this number now.
                fs::remove_file(&pid_file).context("a stale postmaster.pid cannot be removed")?;
                return Ok(false);
            }
            if found.is_ready {
                self.port = found.port;
                self.server = Server::Found(found.pid);
                run_sql(&self.maintenance_url(), "SELECT 1").with_context(|| {
                    format!("The PostgreSQL that runs in {} does not answer. Stop process {} and try again.", self.home.display(), found.pid)
                })?;
                return Ok(true);
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "The PostgreSQL in {} neither starts nor stops. Stop process {} and try again.",
                self.home.display(),
                found.pid
            );
            std::thread::sleep(POLL_EVERY);
        }
        Ok(false)
    }

    fn launch(
        &mut self,
        binaries: &Binaries,
        account: Account,
        durability: Durability,
    ) -> anyhow::Result<()> {
        let port_file = self.home.join("port");
        let recorded = fs::read_to_string(&port_file).ok();
        let recorded = recorded.and_then(|port| port.trim().parse().ok());
        let mut port = match recorded {
            Some(port) if ports::is_free(port) => port,
            Some(_) | None => ports::any_free()?,
        };
        for attempt in 1..=START_ATTEMPTS {
            self.port = port;
            match self.launch_on_port(binaries, account, durability) {
                Ok(()) => break,
                Err(_) if attempt < START_ATTEMPTS && !ports::is_free(port) => {
                    port = ports::any_free()?;
                }
                Err(error) => return Err(error),
            }
        }
        files::write_atomically(&port_file, self.port.to_string().as_bytes(), files::PUBLIC)
    }

    fn launch_on_port(
        &mut self,
        binaries: &Binaries,
        account: Account,
        durability: Durability,
    ) -> anyhow::Result<()> {
        let log_path = self.home.join("log");
        // Statements are in it, and so is what they carry: for its owner alone.
        let log = File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(files::PRIVATE)
            .open(&log_path)
            .and_then(|log| {
                // One of an earlier run keeps the mode that it had.
                log.set_permissions(Permissions::from_mode(files::PRIVATE))?;
                Ok(log)
            })
            .with_context(|| format!("{} cannot be written", log_path.display()))?;
        let mut command = account.command(&binaries.program("postgres"));
        command.arg("-D").arg(self.home.join("data"));
        for setting in self.settings(durability) {
            command.arg("-c").arg(setting);
        }
        command.stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("postgres cannot be started")?;
        self.server = Server::Child(child);

        let pid_file = self.home.join("data/postmaster.pid");
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Server::Child(child) = &mut self.server
                && child.try_wait()?.is_some()
            {
                self.server = Server::Stopped;
                anyhow::bail!("PostgreSQL did not start:\n{}", last_lines(&log_path));
            }
            if PidFile::read(&pid_file).is_some_and(|found| found.is_ready) {
                return Ok(());
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "PostgreSQL was not ready within {} s:\n{}",
                START_TIMEOUT.as_secs(),
                last_lines(&log_path)
            );
            std::thread::sleep(POLL_EVERY);
        }
    }

    fn settings(&self, durability: Durability) -> Vec<String> {
        let mut settings = vec![
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            // Connections come over TCP; a socket's path has a limit that a deep directory exceeds.
            "unix_socket_directories=".to_owned(),
            "timezone=UTC".to_owned(),
            "log_timezone=UTC".to_owned(),
        ];
        if durability == Durability::Scratch {
            let scratch = [
                "fsync=off",
                "synchronous_commit=off",
                "full_page_writes=off",
                "max_connections=300",
            ];
            settings.extend(scratch.map(str::to_owned));
        }
        settings
    }

    fn shut_down(&mut self) -> anyhow::Result<()> {
        let Some(pid) = self.pid()? else {
            return Ok(());
        };
        // SIGINT is PostgreSQL's fast shutdown. That the process is gone already is as good.
        let _ = kill(pid, Signal::SIGINT);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.is_running(pid)? {
            if Instant::now() >= deadline {
                let _ = kill(pid, Signal::SIGQUIT);
                anyhow::bail!(
                    "PostgreSQL did not stop within {} s and was made to; it recovers at its next start.",
                    STOP_TIMEOUT.as_secs()
                );
            }
            std::thread::sleep(POLL_EVERY);
        }
        self.server = Server::Stopped;
        Ok(())
    }

    fn pid(&self) -> anyhow::Result<Option<Pid>> {
        Ok(match &self.server {
            Server::Child(child) => Some(Pid::from_raw(i32::try_from(child.id())?)),
            Server::Found(pid) => Some(*pid),
            Server::Stopped => None,
        })
    }

    fn is_running(&mut self, pid: Pid) -> anyhow::Result<bool> {
        match &mut self.server {
            Server::Child(child) => Ok(child.try_wait()?.is_none()),
            Server::Found(_) => Ok(is_postgres(pid)),
            Server::Stopped => Ok(false),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.shut_down() {
            eprintln!("{error:#}");
        }
    }
}

/// Runs SQL on the database of the URL, stopping at the first error.
///
/// # Errors
/// What psql said, when it fails.
pub fn run_sql(url: &str, sql: &str) -> anyhow::Result<()> {
    let (url, password) = without_password(url);
    let mut command = Command::new(psql());
    without_postgres_variables(&mut command);
    if let Some(password) = password {
        // Not on the command line, where everybody could read it.
        command.env("PGPASSWORD", password);
    }
    let output = command
        .args(["--no-psqlrc", "--quiet", "--no-password"])
        .args(["--set", "ON_ERROR_STOP=1", "--output", "/dev/null"])
        .args(["--command", sql, "--dbname", &url])
        .env("PGCONNECT_TIMEOUT", "10")
        .stdin(Stdio::null())
        .output()
        .context("psql cannot be run; it comes with PostgreSQL's server")?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// The URL without its password, where that stands in it as it is, and the password.
fn without_password(url: &str) -> (String, Option<String>) {
    let parts = || {
        let (scheme, rest) = url.split_once("://")?;
        let (account, rest) = rest.split_once('@')?;
        let (user, password) = account.split_once(':')?;
        let is_plain = !password.contains('%') && !rest.contains('@');
        is_plain.then(|| (format!("{scheme}://{user}@{rest}"), password.to_owned()))
    };
    match parts() {
        Some((url, password)) => (url, Some(password)),
        None => (url.to_owned(), None),
    }
}

/// The directory to use. The one that was asked for, unless PostgreSQL's user cannot get into it.
fn home_of(dir: &Path, account: Account, say: &dyn Fn(&str)) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let dir = fs::canonicalize(dir)?;
    if account.can_enter(&dir) {
        return Ok(dir);
    }
    let mut hasher = DefaultHasher::new();
    dir.hash(&mut hasher);
    let home = PathBuf::from(format!(
        "/var/tmp/billing-postgres-{:016x}",
        hasher.finish()
    ));
    say(&format!(
        "PostgreSQL's user cannot enter {}; the cluster is in {}",
        dir.display(),
        home.display()
    ));
    make_own_dir(&home)?;
    Ok(home)
}

/// Makes a directory among other people's, or makes sure that the one that is there is ours.
fn make_own_dir(home: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    if let Err(error) = fs::DirBuilder::new().mode(0o711).create(home)
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(error).with_context(|| format!("{} cannot be made", home.display()));
    }
    let metadata = fs::symlink_metadata(home)?;
    anyhow::ensure!(
        metadata.is_dir() && metadata.uid() == nix::unistd::geteuid().as_raw(),
        "{} belongs to somebody else. Remove it and try again.",
        home.display()
    );
    Ok(())
}

/// The newest release for a new cluster; for one that is there, the release that made it.
fn fitting_binaries(home: &Path, say: &dyn Fn(&str)) -> anyhow::Result<Binaries> {
    let found = Binaries::find_or_install(say)?;
    let made_by = fs::read_to_string(home.join("data/PG_VERSION")).ok();
    let made_by: Option<u32> = made_by.and_then(|version| version.trim().parse().ok());
    let fitting = found
        .into_iter()
        .find(|binaries| made_by.is_none_or(|major| major == binaries.major()));
    fitting.with_context(|| {
        format!(
            "The cluster in {} was made by PostgreSQL {}, which is not installed any more. Install it, or remove that directory to start anew.",
            home.display(),
            made_by.unwrap_or_default()
        )
    })
}

/// Makes the data directory, under another name until it is complete.
fn init(
    home: &Path,
    binaries: &Binaries,
    account: Account,
    durability: Durability,
) -> anyhow::Result<()> {
    let unfinished = home.join("data.unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    fs::create_dir(&unfinished)?;
    fs::set_permissions(&unfinished, Permissions::from_mode(0o700))?;
    account.give(&unfinished)?;

    let mut command = account.command(&binaries.program("initdb"));
    command.arg("-D").arg(&unfinished).args([
        "--encoding=UTF8",
        "--locale=C",
        "--no-instructions",
        "-U",
        USER,
    ]);
    match durability {
        Durability::Kept => {
            let password = home.join("password");
            files::ensure_secret(&password)?;
            account.give(&password)?;
            command
                .arg("--auth=scram-sha-256")
                .arg("--pwfile")
                .arg(password);
        }
        Durability::Scratch => {
            command.args(["--auth=trust", "--no-sync"]);
        }
    }
    let output = command.output().context("initdb cannot be run")?;
    anyhow::ensure!(
        output.status.success(),
        "initdb could not make a cluster: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    fs::rename(&unfinished, home.join("data")).context("the new cluster cannot be put in place")
}

/// What a server writes about itself.
struct PidFile {
    pid: Pid,
    port: u16,
    is_ready: bool,
}

impl PidFile {
    /// None where there is no such file, or it is not complete yet.
    fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        Some(Self {
            pid: Pid::from_raw(pid),
            // After the data directory and the start time.
            port: lines
                .nth(2)
                .and_then(|port| port.trim().parse().ok())
                .unwrap_or(0),
            // After the socket's directory, the address and the shared memory's key.
            is_ready: lines.nth(3).is_some_and(|status| status.trim() == "ready"),
        })
    }
}

/// Whether the process is there and is a PostgreSQL server, not somebody who got its number.
fn is_postgres(pid: Pid) -> bool {
    let name = if Path::new("/proc/self/stat").exists() {
        // `123 (postgres) S …`, where Z is a process that is over and that nobody has asked about.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parts = stat
            .split_once('(')
            .and_then(|(_, rest)| rest.rsplit_once(')'));
        match parts {
            Some((name, state)) if !state.starts_with(" Z") => name.to_owned(),
            Some(_) | None => String::new(),
        }
    } else {
        let output = Command::new("ps")
            .args(["-o", "comm=", "-p", &pid.to_string()])
            .stdin(Stdio::null())
            .output();
        output.map_or_else(
            |_| String::new(),
            |output| String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let name = Path::new(name.trim()).file_name();
    name.is_some_and(|name| name == "postgres" || name == "postmaster")
}

fn last_lines(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(SHOWN_LOG_LINES);
    lines
        .into_iter()
        .skip(skipped)
        .collect::<Vec<_>>()
        .join("\n")
}
