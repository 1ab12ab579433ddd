//! Whether a service's database is as the service needs it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use crate::{NotVerified, verify};

/// Tells whether the database can be worked with now.
#[derive(Debug, Clone)]
pub struct Readiness {
    db: DatabaseConnection,
    role: &'static str,
    /// Whether the server was looked at once, as at start: it may have been away then.
    is_verified: Arc<AtomicBool>,
}

impl Readiness {
    /// Of a pool whose connections take this role.
    pub fn new(db: DatabaseConnection, role: &'static str) -> Self {
        Self {
            db,
            role,
            is_verified: Arc::default(),
        }
    }

    /// Whether the database answers as this role and can be written to. Writes nothing.
    pub async fn is_ready(&self) -> bool {
        self.is_verified().await && self.is_writable().await
    }

    async fn is_verified(&self) -> bool {
        if self.is_verified.load(Ordering::Relaxed) {
            return true;
        }
        match verify(&self.db, self.role).await {
            Ok(()) => {
                self.is_verified.store(true, Ordering::Relaxed);
                true
            }
            Err(NotVerified::Refused(problem)) => {
                tracing::error!("{problem}");
                false
            }
            Err(NotVerified::Away(error)) => {
                tracing::debug!(%error, "the database does not answer");
                false
            }
        }
    }

    /// A standby, and a server whose sessions begin read-only, say so here. The pool itself has closed a
    /// session that began so, and this is a new one.
    async fn is_writable(&self) -> bool {
        let query = "SELECT current_setting('transaction_read_only') = 'off'";
        let query = Statement::from_string(DbBackend::Postgres, query);
        let row = match self.db.query_one_raw(query).await {
            Ok(row) => row,
            Err(error) => {
                tracing::debug!(%error, "the database does not answer");
                return false;
            }
        };
        let is_writable = row.and_then(|row| row.try_get_by_index(0).ok()) == Some(true);
        if !is_writable {
            tracing::warn!("the database is read-only: it is treated as away");
        }
        is_writable
    }
}
