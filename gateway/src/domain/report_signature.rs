//! Who signed a usage report: two headers beside the body, and a third when a key is replaced.
//!
//! ```text
//! X-VaultAI-Key: ed25519 <public key>
//! X-VaultAI-Signature: t=<Unix seconds>,v1=<signature of "vaultai-usage-report-v1\n<t>\n" and the body>
//! X-VaultAI-Replaces-Key: ed25519 <old public key> <signature, by the old key, of
//!     "vaultai-key-replacement-v1\n<organization id>\n<new public key>">
//! ```
//!
//! Keys and signatures are base64url without padding. The body is signed as it is sent.
//!
//! A request that is sent again is harmless: a report counts once for its organization and timestamp.
//! The time keeps a request that never arrived from being delivered long after.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use billing_kit::Fault;
use billing_proto::common::v1::ErrorReason;
use chrono::{DateTime, TimeDelta, Utc};
use ring::signature::{ED25519, UnparsedPublicKey};

/// What the signature of a report begins with, so that it is good for nothing else.
const REPORT_PURPOSE: &str = "vaultai-usage-report-v1";
/// The same for the replacement of a key.
const REPLACEMENT_PURPOSE: &str = "vaultai-key-replacement-v1";
/// The one algorithm.
const ALGORITHM: &str = "ed25519";
/// How far the time of a signature may be from ours. An instance whose clock is wrong can still report;
/// the time of the report itself has its own limit.
const APART_MAX: TimeDelta = TimeDelta::minutes(15);
const PUBLIC_KEY_BYTES: usize = 32;

/// An Ed25519 public key.
pub(crate) type PublicKey = [u8; PUBLIC_KEY_BYTES];

/// The headers of a request that concern its signature, as they came.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SignatureHeaders<'a> {
    /// `X-VaultAI-Key`.
    pub key: Option<&'a str>,
    /// `X-VaultAI-Signature`.
    pub signature: Option<&'a str>,
    /// `X-VaultAI-Replaces-Key`.
    pub replaces: Option<&'a str>,
}

/// Whose key signed a report. Every signature is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signed {
    /// The key.
    pub key: PublicKey,
    /// The key that it replaces.
    pub replaces: Option<PublicKey>,
}

impl SignatureHeaders<'_> {
    /// Verifies the signature of a body; `None` for a request without one. A replacement of a key holds
    /// for one organization: `organization_id` as the body has it.
    ///
    /// # Errors
    /// REPORT_SIGNATURE_INVALID: a header that cannot be read, a signature that does not fit, or a time
    /// that is not of now.
    pub(crate) fn verify(
        &self,
        body: &[u8],
        organization_id: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Option<Signed>, Fault> {
        let (key, signature) = match (self.key, self.signature) {
            (None, None) if self.replaces.is_none() => return Ok(None),
            (Some(key), Some(signature)) => (key, signature),
            (None, _) => return Err(refused("X-VaultAI-Key is missing.")),
            (Some(_), None) => return Err(refused("X-VaultAI-Signature is missing.")),
        };
        let key = parse_key(key).ok_or_else(|| {
            refused("X-VaultAI-Key is not `ed25519 KEY` with 32 bytes in base64url.")
        })?;
        verify_body(&key, signature, body, now)?;
        let replaces = self
            .replaces
            .map(|replaces| verify_replacement(&key, replaces, organization_id))
            .transpose()?;
        Ok(Some(Signed { key, replaces }))
    }
}

fn refused(message: impl Into<String>) -> Fault {
    Fault::new(ErrorReason::ReportSignatureInvalid, message)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

fn parse_key(text: &str) -> Option<PublicKey> {
    let (algorithm, key) = text.trim().split_once(' ')?;
    let key = decode(key.trim()).filter(|_| algorithm.eq_ignore_ascii_case(ALGORITHM))?;
    key.try_into().ok()
}

fn is_signed_by(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, key)
        .verify(message, signature)
        .is_ok()
}

fn verify_body(
    key: &PublicKey,
    header: &str,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let field = |name: &str| {
        let mut fields = header.split(',').map(str::trim);
        fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    };
    let time = field("t");
    let at = time.and_then(|time| DateTime::from_timestamp(time.parse().ok()?, 0));
    let signature = field("v1").and_then(decode);
    let (Some(time), Some(at), Some(signature)) = (time, at, signature) else {
        return Err(refused(
            "X-VaultAI-Signature is not `t=SECONDS,v1=SIGNATURE` with the signature in base64url.",
        ));
    };
    if (now - at).abs() > APART_MAX {
        return Err(refused(format!(
            "It was signed at {}, more than {} minutes from now, {}.",
            at.format("%FT%TZ"),
            APART_MAX.num_minutes(),
            now.format("%FT%TZ"),
        )));
    }
    let mut message = format!("{REPORT_PURPOSE}\n{time}\n").into_bytes();
    message.extend_from_slice(body);
    if is_signed_by(key, &message, &signature) {
        Ok(())
    } else {
        Err(refused(
            "The signature is not that of this key for this time and body.",
        ))
    }
}

fn verify_replacement(
    new: &PublicKey,
    header: &str,
    organization_id: Option<&str>,
) -> Result<PublicKey, Fault> {
    let form = "X-VaultAI-Replaces-Key is not `ed25519 KEY SIGNATURE` in base64url.";
    let parsed = header.trim().rsplit_once(' ').and_then(|(key, signature)| {
        let signature = decode(signature)?;
        Some((parse_key(key)?, signature))
    });
    let (old, signature) = parsed.ok_or_else(|| refused(form))?;
    let id = organization_id.unwrap_or_default().to_ascii_lowercase();
    let new = BASE64_URL_SAFE_NO_PAD.encode(new);
    let message = format!("{REPLACEMENT_PURPOSE}\n{id}\n{new}");
    if is_signed_by(&old, message.as_bytes(), &signature) {
        Ok(old)
    } else {
        Err(refused(
            "The old key did not sign the new one for this organization.",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    const BODY: &[u8] = br#"{"user_count": 45}"#;
    const ORGANIZATION: &str = "0192f0c1-7c8e-7b1a-9d2b-3c3f0f3a9a10";

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_764_558_000, 0).unwrap()
    }

    fn pair(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
    }

    fn text(pair: &Ed25519KeyPair) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(pair.public_key())
    }

    fn sign(pair: &Ed25519KeyPair, message: &[u8]) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(pair.sign(message))
    }

    /// The header's value for a body, signed at this time.
    fn signature(pair: &Ed25519KeyPair, time: i64, body: &[u8]) -> String {
        let mut message = format!("vaultai-usage-report-v1\n{time}\n").into_bytes();
        message.extend_from_slice(body);
        format!("t={time},v1={}", sign(pair, &message))
    }

    fn verify(
        key: Option<&str>,
        signature: Option<&str>,
        replaces: Option<&str>,
    ) -> Result<Option<Signed>, ErrorReason> {
        let headers = SignatureHeaders {
            key,
            signature,
            replaces,
        };
        headers
            .verify(BODY, Some(ORGANIZATION), now())
            .map_err(|fault| fault.reason)
    }

    const INVALID: Result<Option<Signed>, ErrorReason> = Err(ErrorReason::ReportSignatureInvalid);

    #[test]
    fn a_signature_is_of_a_key_a_time_and_a_body() {
        let own = pair(1);
        let key = format!("ed25519 {}", text(&own));
        let time = now().timestamp();
        let good = signature(&own, time, BODY);
        let signed = verify(Some(&key), Some(&good), None).unwrap().unwrap();
        assert_eq!(signed.key.as_slice(), own.public_key().as_ref());
        assert_eq!(signed.replaces, None);
        assert_eq!(verify(None, None, None), Ok(None));
        let other_body = signature(&own, time, b"{}");
        let other_key = signature(&pair(2), time, BODY);
        let other_time = good.replacen(&time.to_string(), &(time + 1).to_string(), 1);
        for bad in [&other_body, &other_key, &other_time, "t=1", "", "v1=AA"] {
            assert_eq!(verify(Some(&key), Some(bad), None), INVALID, "{bad}");
        }
        assert_eq!(verify(Some(&key), None, None), INVALID);
        assert_eq!(verify(None, Some(&good), None), INVALID);
        assert_eq!(verify(Some(&text(&own)), Some(&good), None), INVALID);
        assert_eq!(verify(Some("ed25519 AAAA"), Some(&good), None), INVALID);
    }

    #[test]
    fn a_signature_is_good_for_a_quarter_of_an_hour() {
        let own = pair(1);
        let key = format!("ed25519 {}", text(&own));
        for (seconds, is_good) in [(-901, false), (-900, true), (900, true), (901, false)] {
            let signature = signature(&own, now().timestamp() + seconds, BODY);
            let verified = verify(Some(&key), Some(&signature), None);
            assert_eq!(verified.is_ok(), is_good, "{seconds}");
        }
    }

    #[test]
    fn the_old_key_signs_the_new_one_for_one_organization() {
        let (old, new) = (pair(1), pair(2));
        let key = format!("ed25519 {}", text(&new));
        let signature = signature(&new, now().timestamp(), BODY);
        let replacement = |by: &Ed25519KeyPair, organization: &str, new: &Ed25519KeyPair| {
            let message = format!("vaultai-key-replacement-v1\n{organization}\n{}", text(new));
            format!("ed25519 {} {}", text(&old), sign(by, message.as_bytes()))
        };
        let verify = |replaces: &str| verify(Some(&key), Some(&signature), Some(replaces));
        let signed = verify(&replacement(&old, ORGANIZATION, &new));
        let replaced = signed.unwrap().unwrap().replaces.unwrap();
        assert_eq!(replaced.as_slice(), old.public_key().as_ref());
        let elsewhere = "0192f0c1-7c8e-7b1a-9d2b-3c3f0f3a9a11";
        for bad in [
            replacement(&new, ORGANIZATION, &new),
            replacement(&old, elsewhere, &new),
            replacement(&old, ORGANIZATION, &old),
            "ed25519 x".to_owned(),
        ] {
            assert_eq!(verify(&bad), INVALID, "{bad}");
        }
    }
}
