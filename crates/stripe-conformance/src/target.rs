//! Which Stripe is asked.

use billing_kit::config::Env;

const SIMULATOR_KEY: &str = "sk_test_local";

/// Which Stripe is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A simulator of our own, on a free port.
    Simulator,
    /// Stripe itself, in test mode.
    TestMode {
        /// `sk_test_…` or `rk_test_…`.
        secret_key: String,
    },
}

impl Target {
    /// Test mode where the environment has a key of it, else the simulator.
    ///
    /// # Errors
    /// The key is not one of test mode, or there is none though `must_be_real`.
    pub fn of(env: &mut Env, must_be_real: bool) -> Result<Self, String> {
        let key = env.optional("STRIPE_SECRET_KEY");
        let Some(secret_key) = key else {
            return if must_be_real {
                Err("Set STRIPE_SECRET_KEY to a key of Stripe's test mode (sk_test_…).".to_owned())
            } else {
                Ok(Self::Simulator)
            };
        };
        let is_test = ["sk_test_", "rk_test_"]
            .iter()
            .any(|start| secret_key.starts_with(start));
        if !is_test {
            return Err(
                "STRIPE_SECRET_KEY is no key of Stripe's test mode (sk_test_…), and no other is ever used here."
                    .to_owned(),
            );
        }
        Ok(Self::TestMode { secret_key })
    }

    /// How the last line names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Simulator => "simulator",
            Self::TestMode { .. } => "Stripe test mode",
        }
    }

    pub(crate) fn secret_key(&self) -> &str {
        match self {
            Self::Simulator => SIMULATOR_KEY,
            Self::TestMode { secret_key } => secret_key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: Option<&str>, must_be_real: bool) -> Result<Target, String> {
        let variables = key.map(|key| ("STRIPE_SECRET_KEY".to_owned(), key.to_owned()));
        Target::of(&mut Env::from_variables(variables), must_be_real)
    }

    #[test]
    fn a_live_key_is_never_used() {
        for key in ["sk_live_1", "rk_live_1", "pk_test_1", "sk_1"] {
            assert!(of(Some(key), false).is_err(), "{key}");
            assert!(of(Some(key), true).is_err(), "{key}");
        }
        let secret_key = "sk_test_1".to_owned();
        assert_eq!(
            of(Some("sk_test_1"), false),
            Ok(Target::TestMode { secret_key })
        );
        assert_eq!(of(None, false), Ok(Target::Simulator));
        assert!(of(None, true).is_err());
    }
}
