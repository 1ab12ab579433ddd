//! A certificate authority for one machine, and the services' identities under it.
//!
//! An identity NAME is `NAME.pem` and `NAME-key.pem`, good for both ends of a connection, and names
//! itself by the URI `spiffe://billing/NAME`. What is there and still valid is left alone, so a
//! service that runs keeps the certificate it has read.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, SanType,
};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, Pem, X509Certificate};

use crate::files::{self, PRIVATE, PUBLIC};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest life that every TLS library accepts of a certificate that it does not know.
const IDENTITY_LIFE: Duration = Duration::from_secs(825 * DAY.as_secs());
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * DAY.as_secs());
/// Clocks of containers and their hosts differ a little.
const BACKDATED: Duration = Duration::from_secs(60 * 60);
/// A certificate is made anew when one part in this many of its life is left.
const RENEWED_IN_LAST: u32 = 10;

/// A directory with an authority and identities.
#[derive(Debug, Clone)]
pub struct DevPki {
    dir: PathBuf,
}

/// The files of an `Ed25519` key pair.
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// PKCS#8, for who signs.
    pub private: PathBuf,
    /// SPKI, for who verifies.
    pub public: PathBuf,
}

impl DevPki {
    /// Makes sure that the directory holds an authority and an identity of each name.
    ///
    /// # Errors
    /// When the directory cannot be written to.
    pub fn ensure(dir: &Path, names: &[&str]) -> anyhow::Result<Self> {
        Self::ensure_at(dir, names, SystemTime::now())
    }

    /// [`DevPki::ensure`] as of some moment.
    ///
    /// # Errors
    /// When the directory cannot be written to.
    pub fn ensure_at(dir: &Path, names: &[&str], now: SystemTime) -> anyhow::Result<Self> {
        let _lock = files::lock(dir)?;
        let pki = Self {
            dir: dir.to_owned(),
        };
        let authority = pki.ensure_authority(now)?;
        for name in names {
            pki.ensure_identity(&authority, name, now)
                .with_context(|| format!("the certificate of {name} cannot be made"))?;
        }
        Ok(pki)
    }

    /// The authority's certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// An identity's certificate.
    #[must_use]
    pub fn cert(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.pem"))
    }

    /// An identity's private key.
    #[must_use]
    pub fn key(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}-key.pem"))
    }

    fn ensure_authority(&self, now: SystemTime) -> anyhow::Result<Issuer<'static, KeyPair>> {
        let key_path = self.dir.join("ca-key.pem");
        let is_good = Facts::read(&self.ca()).is_some_and(|facts| !facts.is_due(now));
        if is_good
            && let Ok(key) = fs::read_to_string(&key_path)
            && let Ok(key) = KeyPair::from_pem(&key)
        {
            return Ok(Issuer::new(authority_params(now)?, key));
        }
        let params = authority_params(now)?;
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        files::write_atomically(&key_path, key.serialize_pem().as_bytes(), PRIVATE)?;
        files::write_atomically(&self.ca(), certificate.pem().as_bytes(), PUBLIC)?;
        Ok(Issuer::new(params, key))
    }

    fn ensure_identity(
        &self,
        authority: &Issuer<'_, KeyPair>,
        name: &str,
        now: SystemTime,
    ) -> anyhow::Result<()> {
        let is_good = match (Facts::read(&self.cert(name)), Facts::read(&self.ca())) {
            (Some(own), Some(ca)) => {
                self.key(name).exists() && !own.is_due(now) && own.issuer_key == ca.subject_key
            }
            (None, _) | (_, None) => false,
        };
        if is_good {
            return Ok(());
        }
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = vec![
            SanType::URI(Ia5String::try_from(format!("spiffe://billing/{name}"))?),
            SanType::DnsName(Ia5String::try_from(name)?),
            SanType::DnsName(Ia5String::try_from("localhost")?),
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        ];
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        set_life(&mut params, now, IDENTITY_LIFE)?;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, authority)?;
        files::write_atomically(&self.key(name), key.serialize_pem().as_bytes(), PRIVATE)?;
        files::write_atomically(&self.cert(name), certificate.pem().as_bytes(), PUBLIC)
    }
}

/// Makes sure that the directory holds the `Ed25519` key pair that org-svc signs its assertions with.
///
/// # Errors
/// When the directory cannot be written to.
pub fn ensure_signing_key(dir: &Path) -> anyhow::Result<SigningKey> {
    let _lock = files::lock(dir)?;
    let found = SigningKey {
        private: dir.join("admin-assertion-key.pem"),
        public: dir.join("admin-assertion-public.pem"),
    };
    if !(found.private.exists() && found.public.exists()) {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let private = as_openssl_writes(key.serialized_der())?;
        files::write_atomically(&found.private, private.as_bytes(), PRIVATE)?;
        files::write_atomically(&found.public, key.public_key_pem().as_bytes(), PUBLIC)?;
    }
    Ok(found)
}

/// The PEM of an `Ed25519` key, as `openssl genpkey` makes it. ring writes the later version of
/// PKCS#8, with the public half in it, which others do not all read.
fn as_openssl_writes(der: &[u8]) -> anyhow::Result<String> {
    const HEADER: [u8; 16] = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    // Ring's header differs in the first five bytes: the length and the version.
    let (start, rest) = der.split_at_checked(HEADER.len()).context("no key")?;
    anyhow::ensure!(start.ends_with(&HEADER[5..]), "this is no Ed25519 key");
    let seed = rest.get(..32).context("the key is too short")?;
    let body = BASE64_STANDARD.encode([HEADER.as_slice(), seed].concat());
    Ok(format!(
        "-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"
    ))
}

/// What the authority says of itself. Of these its life alone differs from one making to the next,
/// and that does not go into what it signs.
fn authority_params(now: SystemTime) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "billing development authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_life(&mut params, now, AUTHORITY_LIFE)?;
    Ok(params)
}

fn set_life(params: &mut CertificateParams, now: SystemTime, life: Duration) -> anyhow::Result<()> {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let start = now.duration_since(UNIX_EPOCH)?.saturating_sub(BACKDATED);
    params.not_before = epoch + start;
    params.not_after = epoch + start + life;
    Ok(())
}

/// What a certificate on disk says of itself.
struct Facts {
    not_before: u64,
    not_after: u64,
    subject_key: Option<Vec<u8>>,
    issuer_key: Option<Vec<u8>>,
}

impl Facts {
    /// None where there is no certificate that can be read: it is then made anew.
    fn read(path: &Path) -> Option<Self> {
        let content = fs::read(path).ok()?;
        let pem = Pem::iter_from_buffer(&content).next()?.ok()?;
        let (_, certificate) = X509Certificate::from_der(&pem.contents).ok()?;
        let mut facts = Self {
            not_before: certificate
                .validity()
                .not_before
                .timestamp()
                .try_into()
                .ok()?,
            not_after: certificate
                .validity()
                .not_after
                .timestamp()
                .try_into()
                .ok()?,
            subject_key: None,
            issuer_key: None,
        };
        for extension in certificate.extensions() {
            if let ParsedExtension::SubjectKeyIdentifier(key) = extension.parsed_extension() {
                facts.subject_key = Some(key.0.to_vec());
            }
            if let ParsedExtension::AuthorityKeyIdentifier(key) = extension.parsed_extension() {
                facts.issuer_key = key.key_identifier.as_ref().map(|key| key.0.to_vec());
            }
        }
        Some(facts)
    }

    /// Whether it is to be made anew: not valid, or not for much longer.
    fn is_due(&self, now: SystemTime) -> bool {
        let Ok(now) = now.duration_since(UNIX_EPOCH) else {
            return true;
        };
        let life = self.not_after.saturating_sub(self.not_before);
        let left = self.not_after.saturating_sub(now.as_secs());
        now.as_secs() < self.not_before || left <= life / u64::from(RENEWED_IN_LAST)
    }
}
