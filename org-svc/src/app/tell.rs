//! Stores notices for the operator's own channel, in the transaction of what they tell of. Where no
//! channel is configured nothing is stored, so that nothing piles up.

use billing_kit::Fault;
use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use super::Organizations;
use crate::{
    domain::{
        link::{LinkOperation, Refusal, Work},
        notice::{Notice, NoticeKind, is_alarming},
        organization::{InstanceUrl, Organization},
    },
    store::notices,
};

/// Organizations that reported for the first time: of one batch of reports one notice.
pub(super) async fn pending<'a>(
    app: &Organizations,
    db: &impl ConnectionTrait,
    organizations: impl Iterator<Item = &'a Organization>,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let organizations: Vec<_> = organizations
        .map(|organization| {
            json!({
                "id": organization.id.0,
                "name": organization.name.as_str(),
                "instance_url": organization.instance_url.as_ref().map(InstanceUrl::as_str),
            })
        })
        .collect();
    let data = json!({ "organizations": organizations });
    store(app, db, NoticeKind::OrganizationsPending, data, now).await
}

/// A network brought more new organizations than its cap admits: told once for each network and day.
/// `network` is empty where it is not known.
pub(super) async fn not_admitted(
    app: &Organizations,
    db: &impl ConnectionTrait,
    network: &str,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    tracing::warn!(
        network,
        "too many new organizations today: reports of further ones are refused until tomorrow"
    );
    let data = json!({
        "source_network": (!network.is_empty()).then_some(network),
        "day": now.date_naive(),
    });
    store(app, db, NoticeKind::OrganizationsNotAdmitted, data, now).await
}

/// A link, a change or a cancellation that was refused.
pub(super) async fn refused(
    app: &Organizations,
    db: &impl ConnectionTrait,
    operation: &LinkOperation,
    refusal: &Refusal,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let data = json!({
        "organization_id": operation.organization_id.0,
        "organization_name": operation.organization_name.as_str(),
        "operation_id": operation.id.0,
        "operation": match &operation.work {
            Work::Link(_) => "link",
            Work::Update(_) => "update",
            Work::Cancel(_) => "cancel",
        },
        "code": refusal.code,
        "message": refusal.message,
    });
    store(app, db, NoticeKind::OperationRefused, data, now).await
}

/// A subscription whose status somebody has to know of.
pub(super) async fn status_changed(
    app: &Organizations,
    db: &impl ConnectionTrait,
    before: &Organization,
    after: &Organization,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let status = after.subscription_status;
    if before.subscription_status == status || !is_alarming(status) {
        return Ok(());
    }
    let data = json!({
        "organization_id": after.id.0,
        "organization_name": after.name.as_str(),
        "before": before.subscription_status.as_str(),
        "after": status.as_str(),
        "stripe_customer_id": after.stripe_customer_id.as_ref().map(|id| &id.0),
        "stripe_subscription_id": after.stripe_subscription_id.as_ref().map(|id| &id.0),
    });
    store(app, db, NoticeKind::SubscriptionStatusChanged, data, now).await
}

/// A subscription whose invoices nobody is asked to pay from now on. A pause that is only changed is
/// not told again.
pub(super) async fn collection_paused(
    app: &Organizations,
    db: &impl ConnectionTrait,
    before: &Organization,
    after: &Organization,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let Some(pause) = after.collection_pause else {
        return Ok(());
    };
    if before.collection_pause.is_some() {
        return Ok(());
    }
    let data = json!({
        "organization_id": after.id.0,
        "organization_name": after.name.as_str(),
        "behavior": pause.behavior.as_str(),
        "since": pause.since,
        "resumes_at": pause.resumes_at,
        "stripe_customer_id": after.stripe_customer_id.as_ref().map(|id| &id.0),
        "stripe_subscription_id": after.stripe_subscription_id.as_ref().map(|id| &id.0),
    });
    store(app, db, NoticeKind::CollectionPaused, data, now).await
}

async fn store(
    app: &Organizations,
    db: &impl ConnectionTrait,
    kind: NoticeKind,
    data: Value,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    if app.channel.is_none() {
        return Ok(());
    }
    let notice = Notice {
        id: app.ids.next(),
        kind,
        occurred_at: now,
        data,
        created_at: now,
        attempt_count: 0,
    };
    notices::insert(db, &notice).await
}
