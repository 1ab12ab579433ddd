//! Identifiers and chance, from one generator that a seed makes repeatable.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const ALPHABET: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#[derive(Debug)]
pub(crate) struct Ids {
    random: StdRng,
}

impl Ids {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        let seed = seed.unwrap_or_else(|| rand::rng().random());
        Self {
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// `prefix` and so many random letters and digits.
    fn with(&mut self, prefix: &str, length: usize) -> String {
        let mut id = String::with_capacity(prefix.len() + length);
        id.push_str(prefix);
        for _ in 0..length {
            let index = self.random.random_range(0..ALPHABET.len());
            id.push(ALPHABET.get(index).copied().map_or('0', char::from));
        }
        id
    }

    pub(crate) fn customer(&mut self) -> String {
        self.with("cus_", 14)
    }

    pub(crate) fn product(&mut self) -> String {
        self.with("prod_", 14)
    }

    pub(crate) fn price(&mut self) -> String {
        self.with("price_1", 23)
    }

    pub(crate) fn meter(&mut self) -> String {
        self.with("mtr_test_", 32)
    }

    pub(crate) fn subscription(&mut self) -> String {
        self.with("sub_1", 23)
    }

    pub(crate) fn subscription_item(&mut self) -> String {
        self.with("si_", 14)
    }

    pub(crate) fn invoice(&mut self) -> String {
        self.with("in_1", 23)
    }

    pub(crate) fn invoice_line(&mut self) -> String {
        self.with("il_1", 23)
    }

    pub(crate) fn event(&mut self) -> String {
        self.with("evt_1", 23)
    }

    pub(crate) fn thin_event(&mut self) -> String {
        self.with("evt_test_", 46)
    }

    pub(crate) fn webhook_endpoint(&mut self) -> String {
        self.with("we_1", 23)
    }

    pub(crate) fn webhook_secret(&mut self) -> String {
        self.with("whsec_", 32)
    }

    pub(crate) fn portal_session(&mut self) -> String {
        self.with("bps_1", 23)
    }

    /// What makes the link of a portal session hard to guess.
    pub(crate) fn portal_secret(&mut self) -> String {
        self.with("test_", 64)
    }

    pub(crate) fn test_clock(&mut self) -> String {
        self.with("clock_1", 23)
    }

    pub(crate) fn request(&mut self) -> String {
        self.with("req_", 14)
    }

    /// The identifier of a meter event that was sent without one.
    pub(crate) fn event_identifier(&mut self) -> String {
        self.with("", 32)
    }

    pub(crate) fn invoice_prefix(&mut self) -> String {
        self.with("", 8).to_ascii_uppercase()
    }

    /// A whole number, both ends included.
    pub(crate) fn between(&mut self, least: i64, most: i64) -> i64 {
        if most <= least {
            return least;
        }
        self.random.random_range(least..=most)
    }

    /// Whether something of this probability happens now.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.random.random::<f64>() < probability
    }
}
