//! Small files that are either there in full or not at all, and secrets among them.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use rand::distr::{Alphanumeric, SampleString};

/// Mode of a file that only its owner may read.
pub const PRIVATE: u32 = 0o600;
/// Mode of a file that everybody may read.
pub const PUBLIC: u32 = 0o644;
/// Characters of a generated secret; each carries nearly 6 bits.
const SECRET_LENGTH: usize = 40;

/// Writes a file by way of a temporary one beside it, so that nobody ever reads half of it.
///
/// # Errors
/// When the directory cannot be made or written to.
pub fn write_atomically(path: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    let name = || format!("{} cannot be written", path.display());
    let parent = path.parent().context("a file has a directory")?;
    fs::create_dir_all(parent).with_context(name)?;
    let mut file = tempfile::NamedTempFile::new_in(parent).with_context(name)?;
    file.write_all(content).with_context(name)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))
        .with_context(name)?;
    file.persist(path).with_context(name)?;
    Ok(())
}

/// The secret kept in a file that its owner alone may read; made at random on first use.
///
/// # Errors
/// When the file can be neither read nor made.
pub fn ensure_secret(path: &Path) -> anyhow::Result<String> {
    if let Ok(secret) = fs::read_to_string(path)
        && !secret.trim().is_empty()
    {
        return Ok(secret.trim().to_owned());
    }
    let secret = random_secret();
    write_atomically(path, secret.as_bytes(), PRIVATE)?;
    Ok(secret)
}

/// A random secret of letters and digits, which no shell and no URL needs escaped.
#[must_use]
pub fn random_secret() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), SECRET_LENGTH)
}

/// Takes the lock of a directory unless somebody else holds it. It is held until the file is dropped,
/// or its process has died.
///
/// # Errors
/// When the directory cannot be made or locked.
pub fn lock_now(dir: &Path) -> anyhow::Result<Option<File>> {
    let file = lock_file(dir)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", dir.display()))
        }
    }
}

/// Takes the lock of a directory, waiting for whoever holds it.
///
/// # Errors
/// When the directory cannot be made or locked.
pub(crate) fn lock(dir: &Path) -> anyhow::Result<File> {
    let file = lock_file(dir)?;
    file.lock()
        .with_context(|| format!("{} cannot be locked", dir.display()))?;
    Ok(file)
}

fn lock_file(dir: &Path) -> anyhow::Result<File> {
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let path = dir.join("lock");
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("{} cannot be opened", path.display()))
}
