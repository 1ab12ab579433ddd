//! The admin assertion: a statement, signed by org-svc and good for a minute, of whose action a call
//! is. It travels as metadata beside the caller's own identity; every service that has admin methods
//! verifies it by itself, with the public half of the key.
//!
//! It is addressed to billing as a whole, not to one service: the gateway passes the one it got on to
//! every service that a request needs. That none of these can use it at another is the access
//! table's doing, which opens admin methods to the gateway alone. What the audience keeps out is a
//! token that the same key signed for some other purpose.

mod ed25519;

use billing_proto::common::v1::ErrorReason;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tonic::metadata::MetadataMap;
use uuid::Uuid;

use crate::{clock::Clock, context::RequestContext, fault::Fault};

/// The metadata key that carries it.
pub const ADMIN_ASSERTION: &str = "x-admin-assertion";
/// How long one is good for.
pub const LIFETIME: TimeDelta = TimeDelta::seconds(60);
/// How far the clocks of two machines may be apart.
const LEEWAY: TimeDelta = TimeDelta::seconds(5);
const ISSUER: &str = "org-svc";
/// Whom it is for: the services of billing.
const AUDIENCE: &str = "billing.vaultai.eu";

/// The admin on whose behalf a call is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The user id in Better Auth's tables.
    pub user_id: String,
    /// The e-mail address.
    pub email: String,
}

/// The API key that an admin's program showed in place of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its id.
    pub id: Uuid,
    /// Whether it may look and not change.
    pub is_read_only: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    email: String,
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    api_key: Option<ApiKey>,
}

/// Signs assertions: org-svc alone has one.
#[derive(Clone)]
pub struct Signer(EncodingKey);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// Reads an Ed25519 private key (PKCS#8, PEM).
    ///
    /// # Errors
    /// What is wrong with the key, as a sentence.
    pub fn from_pem(pem: &SecretString) -> Result<Self, String> {
        ed25519::install();
        EncodingKey::from_ed_pem(pem.expose_secret().as_bytes())
            .map(Self)
            .map_err(|error| format!("it is no Ed25519 private key in PKCS#8 PEM ({error})"))
    }

    /// The verifier of what this key signs, where the public half is not at hand.
    ///
    /// # Errors
    /// The public half cannot be read from the key, as a sentence.
    pub fn verifier(&self, clock: Clock) -> Result<Verifier, String> {
        let key = ed25519::public_half(&self.0)
            .map_err(|error| format!("its public half cannot be read from it ({error})"))?;
        Ok(Verifier { key, clock })
    }

    /// States that the bearer acts for this admin, for the next minute.
    ///
    /// # Errors
    /// The signature could not be made.
    pub fn sign(&self, admin: &Admin, now: DateTime<Utc>) -> Result<String, Fault> {
        self.sign_claims(admin, None, now)
    }

    /// The same of a program that shows an API key of this admin's.
    ///
    /// # Errors
    /// The signature could not be made.
    pub fn sign_for_key(
        &self,
        admin: &Admin,
        key: ApiKey,
        now: DateTime<Utc>,
    ) -> Result<String, Fault> {
        self.sign_claims(admin, Some(key), now)
    }

    fn sign_claims(
        &self,
        admin: &Admin,
        api_key: Option<ApiKey>,
        now: DateTime<Utc>,
    ) -> Result<String, Fault> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: admin.user_id.clone(),
            email: admin.email.clone(),
            exp: (now + LIFETIME).timestamp(),
            api_key,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &self.0)
            .map_err(Fault::internal)
    }
}

/// Verifies assertions.
#[derive(Clone)]
pub struct Verifier {
    key: DecodingKey,
    clock: Clock,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    /// Reads an Ed25519 public key (SPKI, PEM).
    ///
    /// # Errors
    /// What is wrong with the key, as a sentence.
    pub fn from_pem(pem: &str, clock: Clock) -> Result<Self, String> {
        ed25519::install();
        let key = DecodingKey::from_ed_pem(pem.as_bytes())
            .map_err(|error| format!("it is no Ed25519 public key in PEM ({error})"))?;
        Ok(Self { key, clock })
    }

    /// The admin that a request's metadata vouches for, to change something: what a method asks for
    /// unless it only reads.
    ///
    /// # Errors
    /// UNAUTHENTICATED where there is no assertion, or none that is good now; API_KEY_READ_ONLY for
    /// a key that may not change anything.
    pub fn admin(&self, metadata: &MetadataMap) -> Result<Admin, Fault> {
        let (admin, api_key) = self.vouched(metadata)?;
        match api_key {
            Some(ApiKey {
                is_read_only: true, ..
            }) => Err(Fault::new(
                ErrorReason::ApiKeyReadOnly,
                "This API key may read and not change anything.",
            )),
            Some(ApiKey {
                is_read_only: false,
                ..
            })
            | None => Ok(admin),
        }
    }

    /// The admin that a request's metadata vouches for, to look.
    ///
    /// # Errors
    /// UNAUTHENTICATED where there is no assertion, or none that is good now.
    pub fn reader(&self, metadata: &MetadataMap) -> Result<Admin, Fault> {
        self.vouched(metadata).map(|(admin, _)| admin)
    }

    /// The admin that a request's metadata vouches for, who signed in: no program with a key.
    ///
    /// # Errors
    /// UNAUTHENTICATED as above; SESSION_REQUIRED for an API key.
    pub fn person(&self, metadata: &MetadataMap) -> Result<Admin, Fault> {
        let (admin, api_key) = self.vouched(metadata)?;
        if api_key.is_some() {
            return Err(Fault::new(
                ErrorReason::SessionRequired,
                "This needs an admin who signed in: an API key cannot do it.",
            ));
        }
        Ok(admin)
    }

    /// Verifies the assertion; notes its API key for the audit trail.
    fn vouched(&self, metadata: &MetadataMap) -> Result<(Admin, Option<ApiKey>), Fault> {
        let assertion = metadata
            .get(ADMIN_ASSERTION)
            .and_then(|value| value.to_str().ok())
            .ok_or_else(|| unauthenticated("This needs an admin."))?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "exp"]);
        // The library would read the machine's clock; the time is compared below.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(assertion, &self.key, &validation)
            .map_err(|error| unauthenticated("The admin assertion is not valid.").caused_by(error))?
            .claims;
        let now = self.clock.now();
        let expiry = DateTime::from_timestamp(claims.exp, 0).unwrap_or(DateTime::<Utc>::MIN_UTC);
        if expiry + LEEWAY < now || expiry > now + LIFETIME + LEEWAY {
            return Err(unauthenticated("The admin assertion has expired."));
        }
        if let Some(key) = claims.api_key {
            RequestContext::current().note_api_key(key.id);
        }
        let admin = Admin {
            user_id: claims.sub,
            email: claims.email,
        };
        Ok((admin, claims.api_key))
    }
}

fn unauthenticated(message: &str) -> Fault {
    Fault::new(ErrorReason::Unauthenticated, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made for this test alone.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";

    fn metadata(assertion: &str) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert(ADMIN_ASSERTION, assertion.parse().unwrap());
        metadata
    }

    #[test]
    fn what_is_not_for_billing_is_not_believed() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let (_, clock) = Clock::manual(now);
        let verifier = Verifier::from_pem(PUBLIC, clock).unwrap();
        let key = EncodingKey::from_ed_pem(PRIVATE.as_bytes()).unwrap();
        let judge = |claims: serde_json::Value| {
            let header = Header::new(Algorithm::EdDSA);
            let assertion = jsonwebtoken::encode(&header, &claims, &key).unwrap();
            verifier.admin(&metadata(&assertion)).is_ok()
        };
        let claims = serde_json::json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "u1", "email": "a@example.com", "exp": now.timestamp() + 60});
        assert!(judge(claims.clone()));
        for (claim, value) in [
            ("aud", Some("crm.vaultai.eu")),
            ("aud", None),
            ("iss", Some("gateway")),
            ("iss", None),
        ] {
            let mut other = claims.clone();
            match value {
                Some(value) => other[claim] = value.into(),
                None => drop(other.as_object_mut().unwrap().remove(claim)),
            }
            assert!(!judge(other), "{claim}: {value:?}");
        }
    }

    #[test]
    fn it_is_good_for_a_minute_and_for_what_was_signed() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let (time, clock) = Clock::manual(start);
        let signer = Signer::from_pem(&PRIVATE.into()).unwrap();
        let verifier = Verifier::from_pem(PUBLIC, clock).unwrap();
        let admin = Admin {
            user_id: "u1".to_owned(),
            email: "a@example.com".to_owned(),
        };
        let assertion = signer.sign(&admin, start).unwrap();
        let derived = signer.verifier(verifier.clock.clone()).unwrap();
        for verifier in [&verifier, &derived] {
            assert_eq!(verifier.admin(&metadata(&assertion)).unwrap(), admin);
        }

        // Only this algorithm is linked. A token cannot choose another one.
        let claims: serde_json::Value = serde_json::json!({});
        let secret = EncodingKey::from_secret(PUBLIC.as_bytes());
        assert!(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &secret).is_err());

        let (head, signature) = assertion.rsplit_once('.').unwrap();
        let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
        assert!(verifier.admin(&metadata(&forged)).is_err());
        assert!(verifier.admin(&MetadataMap::new()).is_err());

        let key = |is_read_only| ApiKey {
            id: Uuid::from_u128(7),
            is_read_only,
        };
        let with_key = |is_read_only| {
            let assertion = signer
                .sign_for_key(&admin, key(is_read_only), start)
                .unwrap();
            metadata(&assertion)
        };
        let reason = |answer: Result<Admin, Fault>| answer.map_err(|fault| fault.reason);
        assert_eq!(reason(verifier.reader(&with_key(true))), Ok(admin.clone()));
        assert_eq!(
            reason(verifier.admin(&with_key(true))),
            Err(ErrorReason::ApiKeyReadOnly)
        );
        assert_eq!(reason(verifier.admin(&with_key(false))), Ok(admin.clone()));
        assert_eq!(
            reason(verifier.person(&with_key(false))),
            Err(ErrorReason::SessionRequired)
        );
        assert!(verifier.person(&metadata(&assertion)).is_ok());

        time.send(start + LIFETIME + LEEWAY + TimeDelta::seconds(1))
            .unwrap();
        assert!(verifier.admin(&metadata(&assertion)).is_err());
    }
}
