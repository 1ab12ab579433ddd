//! Reads what the authority makes with a parser that is not its own, and with openssl where it is.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use billing_devkit::pki::{self, DevPki};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn pem(path: &Path) -> Pem {
    let content = fs::read(path).unwrap();
    Pem::iter_from_buffer(&content).next().unwrap().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_identity_names_itself_and_is_signed_by_the_authority() {
    let dir = tempfile::tempdir().unwrap();
    let pki = DevPki::ensure(dir.path(), &["org-svc"]).unwrap();
    let (ca, own) = (pem(&pki.ca()), pem(&pki.cert("org-svc")));
    let (ca, own) = (ca.parse_x509().unwrap(), own.parse_x509().unwrap());

    own.verify_signature(Some(ca.public_key())).unwrap();
    assert!(ca.is_ca() && !own.is_ca());
    let names = own.subject_alternative_name().unwrap().unwrap();
    assert_eq!(
        names.value.general_names,
        [
            GeneralName::URI("spiffe://billing/org-svc"),
            GeneralName::DNSName("org-svc"),
            GeneralName::DNSName("localhost"),
            GeneralName::IPAddress(&[127, 0, 0, 1]),
        ]
    );
    let usage = own.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && usage.server_auth);
    let life = own.validity().not_after.timestamp() - own.validity().not_before.timestamp();
    assert_eq!(life, 825 * 24 * 60 * 60);
    assert!(own.validity().is_valid());
    assert_eq!(mode(&pki.key("org-svc")), 0o600);
    assert_eq!(mode(&dir.path().join("ca-key.pem")), 0o600);
}

#[test]
fn what_is_valid_stays_and_what_ends_soon_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let read = |pki: &DevPki| {
        let all = [pki.ca(), pki.cert("gateway"), pki.key("gateway")];
        all.map(|path| fs::read(path).unwrap())
    };
    let first = read(&DevPki::ensure_at(dir.path(), &["gateway"], now).unwrap());
    let later = DevPki::ensure_at(dir.path(), &["gateway", "org-svc"], now + 700 * DAY).unwrap();
    assert_eq!(read(&later), first, "a tenth of 825 days is left after 742");

    let renewed = DevPki::ensure_at(dir.path(), &["gateway"], now + 750 * DAY).unwrap();
    let [ca, cert, key] = read(&renewed);
    assert_eq!(ca, first[0]);
    assert!(cert != first[1] && key != first[2]);
    let (ca, own) = (pem(&renewed.ca()), pem(&renewed.cert("gateway")));
    let ca = ca.parse_x509().unwrap();
    own.parse_x509()
        .unwrap()
        .verify_signature(Some(ca.public_key()))
        .unwrap();
}

#[test]
fn a_new_authority_signs_every_identity_anew() {
    let dir = tempfile::tempdir().unwrap();
    let pki = DevPki::ensure(dir.path(), &["gateway"]).unwrap();
    fs::remove_file(pki.ca()).unwrap();
    DevPki::ensure(dir.path(), &["gateway"]).unwrap();
    let (ca, own) = (pem(&pki.ca()), pem(&pki.cert("gateway")));
    let ca = ca.parse_x509().unwrap();
    own.parse_x509()
        .unwrap()
        .verify_signature(Some(ca.public_key()))
        .unwrap();
}

#[test]
fn the_signing_key_is_made_once_in_the_two_usual_forms() {
    let dir = tempfile::tempdir().unwrap();
    let key = pki::ensure_signing_key(dir.path()).unwrap();
    let (private, public) = (pem(&key.private), pem(&key.public));
    assert_eq!(private.label, "PRIVATE KEY");
    assert_eq!(public.label, "PUBLIC KEY");
    // PKCS#8 in its first version: 16 bytes of header, then the seed's 32.
    assert_eq!(private.contents.len(), 48);
    // SPKI of Ed25519: 12 bytes of header, then the key's 32.
    assert_eq!(public.contents.len(), 44);
    assert_eq!(mode(&key.private), 0o600);
    pki::ensure_signing_key(dir.path()).unwrap();
    assert_eq!(pem(&key.private).contents, private.contents);
}
