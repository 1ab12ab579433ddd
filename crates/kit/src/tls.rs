//! Certificates: who a service is, and whom it believes.

use std::{fmt, fs, path::Path};

use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

/// What the URI in a certificate begins with; the identity follows.
const IDENTITY_URI_PREFIX: &str = "spiffe://billing/";

/// A service's certificate and key, and the authority that it believes, as PEM.
#[derive(Clone)]
pub struct TlsFiles {
    cert: String,
    key: String,
    ca: String,
}

impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsFiles")
    }
}

impl TlsFiles {
    /// Reads the three files.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn read(cert: &Path, key: &Path, ca: &Path) -> Result<Self, String> {
        let read = |variable: &str, path: &Path| {
            fs::read_to_string(path).map_err(|error| {
                format!(
                    "{variable} is '{}', which cannot be read: {error}. Name a readable PEM file.",
                    path.display()
                )
            })
        };
        Ok(Self {
            cert: read("TLS_CERT_FILE", cert)?,
            key: read("TLS_KEY_FILE", key)?,
            ca: read("TLS_CA_FILE", ca)?,
        })
    }

    /// A server that believes nobody without a certificate of our authority.
    pub fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new()
            .identity(Identity::from_pem(&self.cert, &self.key))
            .client_ca_root(Certificate::from_pem(&self.ca))
    }

    /// A client that shows its certificate, to servers of our authority only.
    pub fn client(&self) -> ClientTlsConfig {
        ClientTlsConfig::new()
            .identity(Identity::from_pem(&self.cert, &self.key))
            .ca_certificate(Certificate::from_pem(&self.ca))
    }
}

/// The identity that a verified certificate states, for example `ingest-svc`.
pub fn identity_of(certificate_der: &[u8]) -> Option<String> {
    let (_, certificate) = parse_x509_certificate(certificate_der).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let mut uris = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            GeneralName::OtherName(..)
            | GeneralName::RFC822Name(_)
            | GeneralName::DNSName(_)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_)
            | GeneralName::Invalid(..) => None,
        });
    // One certificate, one identity: with a second URI it would depend on who reads which first.
    let (Some(uri), None) = (uris.next(), uris.next()) else {
        return None;
    };
    let identity = uri.strip_prefix(IDENTITY_URI_PREFIX)?;
    (!identity.is_empty()).then(|| identity.to_owned())
}
