//! Whether Stripe sent a webhook: its signature, over the body to the letter.

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How far the time in a signature may be from ours, both ways: whoever listened to a delivery
/// cannot send it again later. As Stripe's own libraries have it.
pub(crate) const TOLERANCE: TimeDelta = TimeDelta::seconds(300);
/// How many signatures of one header are looked at. Stripe sends two while a secret is rolled.
const SIGNATURES_MAX: usize = 16;

/// Why a signature is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignatureProblem {
    /// The header is missing, or is none.
    Malformed,
    /// No signature in it was made with a secret of ours over this body.
    NotStripes,
    /// It was made too long ago, or is from the future.
    NotNow,
}

impl SignatureProblem {
    /// A sentence for the operator who reads it in Stripe's dashboard.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Malformed => "The header Stripe-Signature is missing, or is no signature.",
            Self::NotStripes => {
                "The signature does not match this body and the endpoint's secret. Check that STRIPE_WEBHOOK_SECRET is the secret of this endpoint."
            }
            Self::NotNow => {
                "The signature's time is more than 300 seconds from ours. Check both clocks."
            }
        }
    }
}

/// Checks a `Stripe-Signature` header: `t=…,v1=…`, several `v1` while Stripe rolls a secret. Other
/// schemes are not believed.
pub(crate) fn verify<'s>(
    payload: &[u8],
    header: &str,
    secrets: impl IntoIterator<Item = &'s str>,
    now: DateTime<Utc>,
) -> Result<(), SignatureProblem> {
    let pairs = header.split(',').filter_map(|part| part.split_once('='));
    let pairs = pairs.map(|(name, value)| (name.trim(), value.trim()));
    let time = pairs.clone().find(|(name, _)| *name == "t");
    let (_, time_text) = time.ok_or(SignatureProblem::Malformed)?;
    let time = time_text.parse().ok();
    let time = time
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .ok_or(SignatureProblem::Malformed)?;
    let signatures = pairs
        .filter(|(name, _)| *name == "v1")
        .filter_map(|(_, value)| from_hex(value));
    let signatures: Vec<_> = signatures.take(SIGNATURES_MAX).collect();
    if signatures.is_empty() {
        return Err(SignatureProblem::Malformed);
    }
    let fits = |secret: &str| {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
            return false;
        };
        mac.update(time_text.as_bytes());
        mac.update(b".");
        mac.update(payload);
        // Compared in constant time.
        let mut signatures = signatures.iter();
        signatures.any(|signature| mac.clone().verify_slice(signature).is_ok())
    };
    if !secrets.into_iter().any(fits) {
        return Err(SignatureProblem::NotStripes);
    }
    if (now - time).abs() > TOLERANCE {
        return Err(SignatureProblem::NotNow);
    }
    Ok(())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let byte = |pair: &[u8; 2]| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok()
    };
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"id":"evt_1"}"#;
    const SECRET: &str = "whsec_sample";
    /// `printf '%s' '1800000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_sample`
    const GOOD: &str = "5a552ccc1a1624a4488ba600ee7d05fc3d0ef22b2733210cd16602755b1c4fcd";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn verdict(header: &str, secrets: &[&str], now: i64) -> Result<(), SignatureProblem> {
        verify(BODY, header, secrets.iter().copied(), at(now))
    }

    #[test]
    fn stripes_signature_is_believed_and_no_other() {
        let t = 1_800_000_000;
        let good = format!("t={t},v1={GOOD}");
        let bad = "0".repeat(64);
        for (header, secrets, expected) in [
            (good.clone(), &[SECRET][..], Ok(())),
            // While a secret is rolled there are two of each.
            (format!("t={t},v1={bad},v1={GOOD},v0=x"), &[SECRET], Ok(())),
            (good.clone(), &["whsec_new", SECRET], Ok(())),
            (
                good.clone(),
                &["whsec_new"],
                Err(SignatureProblem::NotStripes),
            ),
            (
                format!("t={t},v1={bad}"),
                &[SECRET],
                Err(SignatureProblem::NotStripes),
            ),
            (
                format!("t={},v1={GOOD}", t + 1),
                &[SECRET],
                Err(SignatureProblem::NotStripes),
            ),
            (
                format!("t={t},v0={GOOD}"),
                &[SECRET],
                Err(SignatureProblem::Malformed),
            ),
            (
                format!("t={t},v1=xyz"),
                &[SECRET],
                Err(SignatureProblem::Malformed),
            ),
            (
                format!("v1={GOOD}"),
                &[SECRET],
                Err(SignatureProblem::Malformed),
            ),
            (
                format!("t=now,v1={GOOD}"),
                &[SECRET],
                Err(SignatureProblem::Malformed),
            ),
            (String::new(), &[SECRET], Err(SignatureProblem::Malformed)),
        ] {
            assert_eq!(verdict(&header, secrets, t), expected, "{header}");
        }
        assert_eq!(
            verify(b"{}", &good, [SECRET], at(t)),
            Err(SignatureProblem::NotStripes)
        );
    }

    #[test]
    fn a_signature_is_good_for_five_minutes_both_ways() {
        let t = 1_800_000_000;
        let header = format!("t={t},v1={GOOD}");
        for (now, expected) in [
            (t + 300, Ok(())),
            (t - 300, Ok(())),
            (t + 301, Err(SignatureProblem::NotNow)),
            (t - 301, Err(SignatureProblem::NotNow)),
        ] {
            assert_eq!(verdict(&header, &[SECRET], now), expected, "{now}");
        }
    }
}
