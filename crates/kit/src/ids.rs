//! New ids, as a parameter.

use std::{fmt, sync::Arc};

use uuid::Uuid;

/// Makes ids for new rows. Services take it as a parameter, so that a test can repeat a run.
#[derive(Clone)]
pub struct Ids(Arc<dyn Fn() -> Uuid + Send + Sync>);

impl Ids {
    /// Time-ordered random ids (UUID version 7): new rows land at the end of an index.
    pub fn random() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is where ids come from")]
        Self(Arc::new(Uuid::now_v7))
    }

    /// Ids from any function.
    pub fn from_fn(next: impl Fn() -> Uuid + Send + Sync + 'static) -> Self {
        Self(Arc::new(next))
    }

    /// The next id.
    pub fn next(&self) -> Uuid {
        (self.0)()
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ids")
    }
}
