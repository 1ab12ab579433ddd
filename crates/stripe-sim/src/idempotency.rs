//! Idempotency keys: what ran under a key, and what is still running.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::calendar::DAY_S;
use crate::errors::Refusal;

/// How long an answer is kept, on the simulator's clock.
const KEPT_S: i64 = DAY_S;
/// Answers kept at most; past it the oldest are forgotten early.
const MAX_KEPT: usize = 2_000_000;
pub(crate) const MAX_KEY_CHARS: usize = 255;

/// An answer that its key replays.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) fingerprint: String,
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) request_id: String,
    pub(crate) at: i64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct IdempotencyKeys {
    saved: HashMap<String, Saved>,
    /// The keys in the order in which they are forgotten.
    order: VecDeque<(i64, String)>,
    /// Keys of requests that have not been answered.
    #[serde(skip)]
    running: HashMap<String, String>,
}

impl IdempotencyKeys {
    /// The answer to replay, or none and the key is taken until [`Self::finish`].
    pub(crate) fn begin(
        &mut self,
        key: &str,
        fingerprint: &str,
        now: i64,
    ) -> Result<Option<Saved>, Refusal> {
        self.forget(now);
        if key.is_empty() || key.chars().count() > MAX_KEY_CHARS {
            return Err(Refusal {
                saved: false,
                ..Refusal::refused(
                    None,
                    None,
                    format!("Idempotency keys must have 1 to {MAX_KEY_CHARS} characters."),
                )
            });
        }
        if let Some(saved) = self.saved.get(key) {
            return if saved.fingerprint == fingerprint {
                Ok(Some(saved.clone()))
            } else {
                Err(Refusal::key_reused(key))
            };
        }
        if self.running.contains_key(key) {
            return Err(Refusal::key_in_use(key));
        }
        self.running.insert(key.to_owned(), fingerprint.to_owned());
        Ok(None)
    }

    /// Frees the key; its answer is kept if there is one to keep.
    pub(crate) fn finish(&mut self, key: &str, saved: Option<Saved>) {
        self.running.remove(key);
        if let Some(saved) = saved {
            self.order.push_back((saved.at, key.to_owned()));
            self.saved.insert(key.to_owned(), saved);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.saved.len()
    }

    fn forget(&mut self, now: i64) {
        while let Some((at, key)) = self.order.front() {
            if *at + KEPT_S > now && self.order.len() <= MAX_KEPT {
                return;
            }
            if self.saved.get(key).is_some_and(|saved| saved.at == *at) {
                self.saved.remove(key);
            }
            self.order.pop_front();
        }
    }
}
