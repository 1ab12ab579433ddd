//! Signs reports with an Ed25519 key of the instance's own, as docs/INSTANCES.md asks for it.
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use axum::http::{HeaderName, HeaderValue};
use base64::{Engine as _, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

const PURPOSE: &str = "vaultai-usage-report-v1";
const KEY: HeaderName = HeaderName::from_static("x-vaultai-key");
const SIGNATURE: HeaderName = HeaderName::from_static("x-vaultai-signature");

/// The private key of an instance.
#[derive(Debug, Clone)]
pub struct SigningKey(Arc<Ed25519KeyPair>);

impl SigningKey {
    /// Reads a file with a key in PKCS#8, PEM.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let pem = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the signing key {}", path.display()))?;
        let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = BASE64_STANDARD
            .decode(text)
            .context("the signing key is not PEM")?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
            .map_err(|_| anyhow!("the signing key is not an Ed25519 key in PKCS#8"))?;
        Ok(Self(Arc::new(pair)))
    }

    /// The headers that sign a body as it is sent, at this time.
    pub(crate) fn headers(
        &self,
        body: &[u8],
        at: DateTime<Utc>,
    ) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let time = at.timestamp();
        let mut message = format!("{PURPOSE}\n{time}\n").into_bytes();
        message.extend_from_slice(body);
        let key = BASE64_URL_SAFE_NO_PAD.encode(self.0.public_key());
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.0.sign(&message));
        let headers = [
            (KEY, format!("ed25519 {key}")),
            (SIGNATURE, format!("t={time},v1={signature}")),
        ];
        // Neither text has a character that no header can hold.
        headers
            .into_iter()
            .filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 8032, section 7.1, test 1; the signature by OpenSSL.
    #[test]
    fn a_body_is_signed_with_its_time() {
        let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
        let dir = std::env::temp_dir().join(format!("signing-key-{}", std::process::id()));
        std::fs::write(&dir, pem).unwrap();
        let key = SigningKey::read(&dir).unwrap();
        std::fs::remove_file(&dir).unwrap();
        let at = DateTime::from_timestamp(1_764_558_000, 0).unwrap();
        let headers: Vec<_> = key.headers(b"{}", at).map(|(_, value)| value).collect();
        assert_eq!(
            headers,
            [
                "ed25519 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                "t=1764558000,v1=iNKPU81Tj_UknF4fVFKM0QpWqZA5xklGn5g1LsXZ_kaRg_9Aq9COTg43uaRDTGHdE5UUsYMqNE6fuqg8JdRbDQ"
            ]
        );
    }
}
