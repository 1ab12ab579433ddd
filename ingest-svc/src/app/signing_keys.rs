//! The signing keys of the organizations of a batch, under their locks: which reports are held for
//! their signature, and which keys are seen, pinned and replaced by those that are recorded.

use std::collections::{HashMap, HashSet};

use billing_kit_db::StoreError;
use chrono::{DateTime, Utc};
use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use crate::{
    Parts,
    domain::{
        audit::Change,
        hold::Hold,
        report::Report,
        signing::{KeyRule, Pinning},
    },
    store::{
        audit_events::{self, Author},
        reporting::Locked,
        reports::NewReport,
        signing_keys,
    },
};

/// The key rules of a batch's organizations.
#[derive(Debug)]
pub(super) struct SigningKeys {
    stored: HashMap<Uuid, KeyRule>,
    /// As the batch's reports move them.
    moving: HashMap<Uuid, KeyRule>,
}

impl SigningKeys {
    /// The rules came with the locks.
    pub(super) fn of<'a>(locked: impl Iterator<Item = &'a Locked>) -> Self {
        let stored: HashMap<_, _> = locked
            .map(|locked| (locked.standing.organization_id, locked.key_rule))
            .collect();
        Self {
            moving: stored.clone(),
            stored,
        }
    }

    /// Why a report is to be held for its signature. The reports of an organization come here in the
    /// order of their times.
    pub(super) fn judge(&mut self, report: &Report) -> Option<Hold> {
        let rule = self.moving.entry(report.organization_id).or_default();
        follow(rule, report);
        rule.judge(report.signature.as_ref())
    }

    /// Whether the pinned key signed a report.
    pub(super) fn is_pinned(&self, report: &Report) -> bool {
        let rule = self.moving.get(&report.organization_id);
        let key = report.signature.map(|signature| signature.key);
        key.is_some() && key == rule.and_then(|rule| rule.pinned)
    }

    /// Keeps what the reports that were inserted say of keys. Answers the rules as they are then.
    ///
    /// A batch whose signatures are all those of pinned keys, or that has none, costs no statement.
    pub(super) async fn keep<'a>(
        mut self,
        parts: &Parts,
        txn: &DatabaseTransaction,
        inserted: impl Iterator<Item = &'a NewReport>,
        now: DateTime<Utc>,
    ) -> Result<HashMap<Uuid, KeyRule>, StoreError> {
        let mut seen = HashSet::new();
        let mut pinned = Vec::new();
        for new in inserted {
            let Some(signature) = new.report.signature else {
                continue;
            };
            let organization_id = new.report.organization_id;
            let rule = self.stored.entry(organization_id).or_default();
            if rule.pinned != Some(signature.key) {
                seen.insert((organization_id, signature.key));
            }
            if let Some(pinning) = follow(rule, &new.report) {
                pinned.push((organization_id, *rule, pinning));
            }
        }
        for (organization_id, rule, pinning) in pinned {
            signing_keys::set_rule(txn, organization_id, &rule, now).await?;
            let change = Change::key_pinned_by_report(organization_id, &rule, pinning);
            audit_events::record_by(txn, parts.deps.ids.next(), change, &Author::nobody(), now)
                .await?;
            parts.decided.notify_one();
        }
        if !seen.is_empty() {
            let mut seen: Vec<_> = seen.into_iter().collect();
            seen.sort_unstable();
            signing_keys::note(txn, &seen, now).await?;
        }
        Ok(self.stored)
    }
}

/// Moves the rule where a report pins a key. Says why it does.
fn follow(rule: &mut KeyRule, report: &Report) -> Option<Pinning> {
    let (key, pinning) = rule.pinned_by(report.signature.as_ref()?)?;
    *rule = KeyRule {
        pinned: Some(key),
        awaited: None,
    };
    Some(pinning)
}
