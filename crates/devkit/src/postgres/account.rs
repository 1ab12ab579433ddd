//! Whom PostgreSQL's programs run as.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;
use nix::unistd::{User, geteuid};

/// The user of PostgreSQL's programs: ourselves, or for root somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// Ourselves.
    Own,
    /// Root takes off its rights for this user.
    Other {
        /// The user's number.
        uid: u32,
        /// The number of the user's own group.
        gid: u32,
    },
}

impl Account {
    /// Whom this process lets PostgreSQL run as.
    ///
    /// # Errors
    /// When we are root and there is neither a user postgres nor a user nobody.
    pub fn choose() -> anyhow::Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self::Own);
        }
        for name in ["postgres", "nobody"] {
            if let Ok(Some(user)) = User::from_name(name) {
                return Ok(Self::Other {
                    uid: user.uid.as_raw(),
                    gid: user.gid.as_raw(),
                });
            }
        }
        anyhow::bail!(
            "PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as. Create one (useradd --system postgres) or run this as an ordinary user."
        )
    }

    /// A command that this user runs, in a process group of its own, so that a terminal's Ctrl-C
    /// does not reach it, and without the variables that change what PostgreSQL's programs do.
    #[must_use]
    pub fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.process_group(0).stdin(Stdio::null());
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid).current_dir("/");
        }
        without_postgres_variables(&mut command);
        command
    }

    /// Gives a file or directory to this user.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn give(self, path: &Path) -> anyhow::Result<()> {
        if let Self::Other { uid, gid } = self {
            chown(path, Some(uid), Some(gid))
                .with_context(|| format!("{} cannot be given away", path.display()))?;
        }
        Ok(())
    }

    /// Whether this user can get into the directory: a home of mode 0700 on the way is enough to
    /// keep it out.
    #[must_use]
    pub fn can_enter(self, dir: &Path) -> bool {
        self.command(Path::new("/bin/sh"))
            .args(["-c", "cd -- \"$1\"", "sh"])
            .arg(dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

/// Removes `PGHOST` and its like, which would change where a program connects to.
pub(super) fn without_postgres_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("PG")) {
            command.env_remove(name);
        }
    }
}
