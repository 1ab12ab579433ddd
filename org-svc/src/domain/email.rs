//! E-mail addresses.

use std::fmt;

use billing_kit::text::has_invisible;

const ADDRESS_BYTES_MAX: usize = 254;
const LOCAL_PART_BYTES_MAX: usize = 64;

/// An address that mail can be sent to, as far as its form tells: one `@`, something before it, a
/// dotted domain behind it, nothing that is blank. Kept as it was written.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct EmailAddress(String);

impl EmailAddress {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("It is empty.");
        }
        if text.len() > ADDRESS_BYTES_MAX {
            return Err("It is longer than 254 bytes.");
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("It has spaces or control characters.");
        }
        if has_invisible(text) {
            return Err("It has invisible characters.");
        }
        let Some((local, domain)) = text
            .split_once('@')
            .filter(|(_, domain)| !domain.contains('@'))
        else {
            return Err("It is not an e-mail address: it needs exactly one @.");
        };
        if local.is_empty() || local.len() > LOCAL_PART_BYTES_MAX {
            return Err("It is not an e-mail address: it needs 1 to 64 bytes before the @.");
        }
        let is_label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        };
        if !domain.contains('.') || !domain.split('.').all(is_label) {
            return Err(
                "It is not an e-mail address: it needs a domain such as acme.com after the @.",
            );
        }
        Ok(Self(text.to_owned()))
    }

    /// An address that the database holds.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    /// The form in which accounts are kept and looked up.
    pub(crate) fn to_lowercase(&self) -> Self {
        Self(self.0.to_lowercase())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the `@`.
    pub(crate) fn local_part(&self) -> &str {
        self.0.split('@').next().unwrap_or_default()
    }
}

/// Personal data stays out of logs.
impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_checked_and_nothing_more() {
        let long_local = format!("{}@acme.com", "a".repeat(64));
        for good in [
            "billing@acme.com",
            "o'brien+x@mail.acme.co.uk",
            "käthe@müller.de",
            &long_local,
        ] {
            assert!(EmailAddress::parse(good).is_ok(), "{good}");
        }
        let too_long_local = format!("{}@acme.com", "a".repeat(65));
        let too_long = format!("a@{}.com", "b".repeat(249));
        for bad in [
            "",
            "nope",
            "@acme.com",
            "a@",
            "a@b",
            "a@.com",
            "a@acme.",
            "a@acme..com",
            "a@-acme.com",
            "a@b@acme.com",
            "a b@acme.com",
            "a@ac me.com",
            "a@acme.com\n",
            "a\u{0}@acme.com",
            "bill\u{200b}ing@acme.com",
            "billing@ac\u{ad}me.com",
            &too_long_local,
            &too_long,
        ] {
            assert!(EmailAddress::parse(bad).is_err(), "{bad:?}");
        }
    }
}
