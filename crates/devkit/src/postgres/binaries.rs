//! Where PostgreSQL's programs are, and how they get onto a machine that has none.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::geteuid;

/// The oldest release that has all we use (`gen_random_uuid` without an extension).
const OLDEST_MAJOR: u32 = 13;
/// Where distributions and Homebrew keep them; a star stands for any text.
const KNOWN_DIRS: [&str; 8] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
];

/// A directory with the programs of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    dir: PathBuf,
    major: u32,
}

/// A package manager and how it is asked for PostgreSQL's server.
struct PackageManager {
    program: &'static str,
    commands: &'static [&'static [&'static str]],
    needs_root: bool,
}

const PACKAGE_MANAGERS: [PackageManager; 4] = [
    PackageManager {
        program: "apt-get",
        commands: &[
            &["apt-get", "update", "-q"],
            &[
                "env",
                "DEBIAN_FRONTEND=noninteractive",
                "apt-get",
                "install",
                "-q",
                "-y",
                "--no-install-recommends",
                "postgresql",
            ],
        ],
        needs_root: true,
    },
    PackageManager {
        program: "dnf",
        commands: &[&["dnf", "install", "-y", "postgresql-server"]],
        needs_root: true,
    },
    PackageManager {
        program: "apk",
        commands: &[&["apk", "add", "--no-cache", "postgresql"]],
        needs_root: true,
    },
    PackageManager {
        program: "brew",
        commands: &[&["brew", "install", "postgresql@17"]],
        needs_root: false,
    },
];

impl Binaries {
    /// Every usable release on this machine, the newest first.
    #[must_use]
    pub fn find_all() -> Vec<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
        dirs.extend(KNOWN_DIRS.iter().flat_map(|pattern| expand(pattern)));
        dirs.extend(pg_config_dir());
        let mut found: Vec<Self> = dirs.iter().filter_map(|dir| Self::in_dir(dir)).collect();
        found.sort_by_key(|binaries| std::cmp::Reverse(binaries.major));
        found.dedup();
        found
    }

    /// Every usable release; where there is none, the system's package manager is asked for one.
    ///
    /// # Errors
    /// When there is none and none can be installed. The message says what to do.
    pub fn find_or_install(say: &dyn Fn(&str)) -> anyhow::Result<Vec<Self>> {
        let found = Self::find_all();
        if !found.is_empty() {
            return Ok(found);
        }
        install(say)?;
        let found = Self::find_all();
        anyhow::ensure!(
            !found.is_empty(),
            "PostgreSQL was installed, but its programs initdb, postgres and psql (version {OLDEST_MAJOR} or later) are not found. Add their directory to PATH."
        );
        Ok(found)
    }

    /// The release in a directory, if a usable one is there.
    #[must_use]
    pub fn in_dir(dir: &Path) -> Option<Self> {
        // A link to initdb may stand alone; what belongs to it is where it leads.
        let initdb = fs::canonicalize(dir.join("initdb")).ok()?;
        let dir = initdb.parent()?.to_owned();
        if !dir.join("postgres").is_file() {
            return None;
        }
        let major = major_of(&dir.join("postgres"))?;
        (major >= OLDEST_MAJOR).then_some(Self { dir, major })
    }

    /// The release, as in PostgreSQL 15.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The path of a program of this release.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// The psql to use: any will do, whatever the server's release.
pub(super) fn psql() -> PathBuf {
    let beside_server = Binaries::find_all()
        .into_iter()
        .map(|binaries| binaries.program("psql"))
        .find(|path| path.is_file());
    beside_server.unwrap_or_else(|| PathBuf::from("psql"))
}

/// `postgres (PostgreSQL) 15.18 (Debian ...)` is 15.
fn major_of(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().nth(2)?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn pg_config_dir() -> Option<PathBuf> {
    let output = Command::new("pg_config")
        .arg("--bindir")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(text.trim()))
}

/// The directories that a pattern with at most one star stands for.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some(star) = pattern.split('/').position(|part| part.contains('*')) else {
        return vec![PathBuf::from(pattern)];
    };
    let parts: Vec<&str> = pattern.split('/').collect();
    let parent = parts.iter().take(star).fold(String::new(), |path, part| {
        if part.is_empty() {
            path
        } else {
            format!("{path}/{part}")
        }
    });
    let rest: PathBuf = parts.iter().skip(star + 1).collect();
    let Some((before, after)) = parts.get(star).and_then(|part| part.split_once('*')) else {
        return Vec::new();
    };
    let matches = |name: &OsStr| {
        name.to_str()
            .is_some_and(|name| name.starts_with(before) && name.ends_with(after))
    };
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter(|entry| matches(&entry.file_name()))
        .map(|entry| entry.path().join(&rest))
        .collect()
}

const BY_HAND: &str = "Install PostgreSQL's server yourself (Debian and Ubuntu: sudo apt-get install postgresql; Fedora: sudo dnf install postgresql-server; Alpine: sudo apk add postgresql; macOS: brew install postgresql@17), or set DATABASE_URL to a database that runs already.";

fn install(say: &dyn Fn(&str)) -> anyhow::Result<()> {
    let Some(manager) = PACKAGE_MANAGERS
        .iter()
        .find(|manager| is_in_path(manager.program))
    else {
        anyhow::bail!(
            "PostgreSQL is not installed, and no package manager that we know. {BY_HAND}"
        );
    };
    let needs_sudo = manager.needs_root && !geteuid().is_root();
    anyhow::ensure!(
        !needs_sudo || can_sudo(),
        "PostgreSQL is not installed, and {} needs rights that this user does not have. {BY_HAND}",
        manager.program
    );
    say(&format!("installing PostgreSQL with {}", manager.program));
    for words in manager.commands {
        let sudo: &[&str] = if needs_sudo { &["sudo", "-n"] } else { &[] };
        let words: Vec<&str> = sudo.iter().chain(words.iter()).copied().collect();
        run_words(&words)?;
    }
    Ok(())
}

fn run_words(words: &[&str]) -> anyhow::Result<()> {
    let Some((program, arguments)) = words.split_first() else {
        return Ok(());
    };
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let said = match output {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    anyhow::bail!("`{}` failed: {} {BY_HAND}", words.join(" "), said.trim())
}

fn can_sudo() -> bool {
    Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn is_in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
