//! Parsing at the door: every field at fault is told, not the first one.

use billing_kit::{Fault, Violation};

/// The violations that were found so far in one request.
#[derive(Debug, Default)]
pub(super) struct Door(Vec<Violation>);

impl Door {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// The parsed field, or `None` with its violation noted.
    pub(super) fn check<T>(
        &mut self,
        field: impl Into<String>,
        parsed: Result<T, impl Into<String>>,
    ) -> Option<T> {
        parsed
            .map_err(|message| self.0.push(Violation::new(field, message)))
            .ok()
    }

    /// What was parsed, if nothing was wrong.
    pub(super) fn pass<T>(self, parsed: Option<T>) -> Result<T, Fault> {
        match parsed {
            Some(parsed) if self.0.is_empty() => Ok(parsed),
            _ => Err(Fault::invalid(self.0)),
        }
    }
}
