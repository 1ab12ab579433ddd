//! `PinSigningKey`: an admin says which key an organization's reports must be signed with, by its
//! fingerprint.
//!
//! A key that signed nothing yet is awaited: nothing is held until it has signed a report. So a slip
//! of the keys holds nothing, and nobody can keep a key from being confirmed by sending many others.

use billing_kit::{Fault, assertion::Admin};
use billing_kit_db::db_fault;
use sea_orm::TransactionTrait;
use uuid::Uuid;

use super::get_signing_keys::find;
use crate::{
    Parts,
    domain::{
        audit::Change,
        signing::{Fingerprint, KeyRule},
    },
    store::{
        audit_events, reporting,
        signing_keys::{self, SigningKeys},
    },
};

/// Pins the key with this fingerprint, or awaits it. One that is pinned or awaited stays as it is.
///
/// # Errors
/// The organization never reported; the database could not be asked.
pub(crate) async fn pin_signing_key(
    parts: &Parts,
    admin: &Admin,
    organization_id: Uuid,
    fingerprint: Fingerprint,
) -> Result<SigningKeys, Fault> {
    change_rule(parts, admin, organization_id, |keys| {
        let mut known = keys
            .seen
            .iter()
            .map(|seen| seen.key)
            .chain(keys.rule.pinned);
        match known.find(|key| key.fingerprint() == fingerprint) {
            Some(key) => KeyRule {
                pinned: Some(key),
                awaited: None,
            },
            None => KeyRule {
                pinned: keys.rule.pinned,
                awaited: Some(fingerprint),
            },
        }
    })
    .await
}

/// Changes the rule under the organization's lock, with the audit event; or leaves it where the new
/// rule is the old one.
pub(super) async fn change_rule(
    parts: &Parts,
    admin: &Admin,
    organization_id: Uuid,
    to: impl FnOnce(&SigningKeys) -> KeyRule,
) -> Result<SigningKeys, Fault> {
    let now = parts.deps.clock.now();
    let txn = parts.db.begin().await.map_err(db_fault)?;
    reporting::lock(&txn, organization_id)
        .await
        .map_err(db_fault)?;
    let before = find(&txn, organization_id).await?;
    let rule = to(&before);
    if rule == before.rule {
        return Ok(before);
    }
    signing_keys::set_rule(&txn, organization_id, &rule, now)
        .await
        .map_err(db_fault)?;
    let change = Change::key_rule(organization_id, &before.rule, &rule);
    audit_events::record(&txn, parts.deps.ids.next(), change, admin, now)
        .await
        .map_err(db_fault)?;
    let after = find(&txn, organization_id).await?;
    txn.commit().await.map_err(db_fault)?;
    parts.decided.notify_one();
    tracing::info!(%organization_id, admin_user_id = admin.user_id, "an admin changed the signing key");
    Ok(after)
}
