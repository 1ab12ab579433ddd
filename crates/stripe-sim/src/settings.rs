//! What tests set by the control plane: how the account behaves where Stripe's own behaviour
//! depends on its settings, its load or its customers' banks.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Config;
use crate::meter_errors::MeterErrors;

/// Kept in the state file, so that a restarted simulator behaves as it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// How long an invoice stays a draft after its period's end.
    pub(crate) invoice_grace_s: i64,
    /// Whether an attempt to charge a customer succeeds. Without it nobody has a payment method.
    pub(crate) charges_succeed: bool,
    /// Whether bad meter events are refused at once or accepted and reported later.
    pub(crate) meter_errors: MeterErrors,
    /// How long a report waits after its window of ten seconds.
    pub(crate) meter_error_delay_s: i64,
    /// Identifiers that a report shows of each kind of error.
    pub(crate) meter_error_samples: usize,
    /// How far summaries and previews of invoices lag behind what was received.
    pub(crate) summary_lag_s: i64,
}

pub(crate) const HOUR_S: i64 = 3_600;
/// Stripe lets an account wait for at most so long.
pub(crate) const MAX_GRACE_S: i64 = 72 * HOUR_S;

impl Settings {
    pub(crate) fn new(config: &Config) -> Self {
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        Self {
            invoice_grace_s: seconds(config.invoice_grace).min(MAX_GRACE_S),
            summary_lag_s: seconds(config.summary_lag),
            ..Self::default()
        }
    }

    /// These settings with those that `changes` names changed.
    pub(crate) fn merged(&self, changes: &Value) -> Result<Self, String> {
        let mut merged = serde_json::to_value(self).map_err(|error| error.to_string())?;
        let fields = merged.as_object_mut().zip(changes.as_object());
        let (fields, changes) = fields.ok_or("expected an object of settings")?;
        fields.extend(changes.clone());
        let merged: Self = serde_json::from_value(merged).map_err(|error| error.to_string())?;
        if !(0..=MAX_GRACE_S).contains(&merged.invoice_grace_s) {
            return Err(format!("invoice_grace_s must be from 0 to {MAX_GRACE_S}"));
        }
        if merged.summary_lag_s < 0 || merged.meter_error_delay_s < 0 {
            return Err("a time must not be negative".to_owned());
        }
        Ok(merged)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            invoice_grace_s: HOUR_S,
            charges_succeed: false,
            meter_errors: MeterErrors::Refused,
            meter_error_delay_s: 0,
            meter_error_samples: 1,
            summary_lag_s: 0,
        }
    }
}
