//! `ResetSigningKey`: an organization's reports count again whoever signed them, for example because
//! its key is lost.

use billing_kit::{Fault, assertion::Admin};
use uuid::Uuid;

use super::pin_signing_key::change_rule;
use crate::{Parts, domain::signing::KeyRule, store::signing_keys::SigningKeys};

/// Unpins the key and awaits none. What is held for its signature stays held until it is decided.
///
/// # Errors
/// The organization never reported; the database could not be asked.
pub(crate) async fn reset_signing_key(
    parts: &Parts,
    admin: &Admin,
    organization_id: Uuid,
) -> Result<SigningKeys, Fault> {
    change_rule(parts, admin, organization_id, |_| KeyRule::default()).await
}
