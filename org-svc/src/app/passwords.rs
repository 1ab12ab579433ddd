//! Hashing passwords without stopping everything else.

use std::sync::Arc;

use billing_kit::Fault;
use rand::RngExt;
use secrecy::SecretString;
use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::domain::password::{self, SALT_BYTES, StoredHash};

/// How many passwords are hashed at once: each takes 32 MiB and a processor.
const CONCURRENT_HASHES_MAX: usize = 2;

/// Hashes on threads of its own, a few at a time; who comes later waits.
#[derive(Debug)]
pub(super) struct Passwords(Arc<Semaphore>);

impl Passwords {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(CONCURRENT_HASHES_MAX)))
    }

    /// Whether this is the password behind a hash.
    pub(super) async fn verify(
        &self,
        password: SecretString,
        stored: StoredHash,
    ) -> Result<bool, Fault> {
        self.on_a_thread(move || stored.verify(&password)).await
    }

    /// The hash of a new password, under a new salt.
    pub(super) async fn hash(&self, password: SecretString) -> Result<String, Fault> {
        let salt: [u8; SALT_BYTES] = rand::rng().random();
        self.on_a_thread(move || password::hash(&password, salt))
            .await
    }

    async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let permit = Arc::clone(&self.0)
            .acquire_owned()
            .await
            .map_err(Fault::internal)?;
        let hashing = spawn_blocking(move || {
            // The place is taken until the work is done, even when nobody waits for it any more.
            let _permit = permit;
            work()
        });
        hashing.await.map_err(Fault::internal)
    }
}
