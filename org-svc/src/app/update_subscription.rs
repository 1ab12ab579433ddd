//! UpdateSubscription: changes what an organization is billed on, as a stored operation.

use std::sync::Arc;

use billing_kit::{Fault, Violation, assertion::Admin};
use billing_kit_db::db_fault;
use billing_proto::common::v1::ErrorReason;
use sea_orm::{DatabaseTransaction, TransactionTrait};
use serde_json::json;

use super::{
    Described, Organizations, get_organization,
    operation::{self, Begun},
    run_link_operation::{self, Claimed},
};
use crate::{
    domain::{
        account::UserId,
        change::{AskedTerms, Decision, Update, decide_update},
        link::Work,
        organization::{Organization, OrganizationId},
    },
    store::{
        audit_events::{self, Action, AuditEvent},
        link_operations::{self, Begin},
        organizations,
    },
};

/// Updates a subscription, or finds the operation that goes on in the background; says whether there is
/// one: where there was nothing to change there is none.
pub(crate) async fn update_subscription(
    app: &Arc<Organizations>,
    admin: &Admin,
    id: OrganizationId,
    asked: AskedTerms,
) -> Result<(Described, bool), Fault> {
    let answer_by = operation::answer_by();
    match begin(app, admin, id, &asked).await? {
        Some(begun) => Ok((operation::finish(app, begun, answer_by).await?, true)),
        None => Ok((get_organization::get_organization(app, id).await?, false)),
    }
}

/// Decides under the organization's lock, and stores a new operation where there is to be one.
async fn begin(
    app: &Organizations,
    admin: &Admin,
    id: OrganizationId,
    asked: &AskedTerms,
) -> Result<Option<Begun>, Fault> {
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let organization = organizations::lock(&transaction, id)
        .await?
        .ok_or_else(get_organization::not_found)?;
    let running = link_operations::running_of(&transaction, id).await?;
    match decide_update(&organization, running.as_ref(), asked) {
        Decision::Start(update) => {
            let claimed = start(app, &transaction, &organization, admin, update).await?;
            transaction.commit().await.map_err(db_fault)?;
            Ok(Some(Begun {
                operation_id: claimed.operation.id,
                claimed: Some(claimed),
            }))
        }
        Decision::Join(operation_id) => Ok(Some(Begun::elsewhere(operation_id))),
        Decision::Unchanged => Ok(None),
        Decision::Incomplete(fields) => Err(incomplete(fields)),
        Decision::Conflict(message) => Err(Fault::new(ErrorReason::LinkConflict, message)),
    }
}

fn incomplete(fields: Vec<&'static str>) -> Fault {
    let violations = fields.into_iter().map(|field| {
        let message = "It is required: an older system linked the organization without it.";
        Violation::new(field, message)
    });
    Fault::invalid(violations.collect())
}

async fn start(
    app: &Organizations,
    transaction: &DatabaseTransaction,
    organization: &Organization,
    admin: &Admin,
    update: Update,
) -> Result<Claimed, Fault> {
    let now = app.clock.now();
    let lease = run_link_operation::lease(app, now);
    let admin_user_id = UserId(admin.user_id.clone());
    let asked = json!({
        "admin_email": update.terms.admin_email.as_str(),
        "deployment_type": update.terms.deployment_type.as_str(),
        "plan_type": update.terms.plan_type.as_str(),
    });
    let operation = operation::new(app, organization, Work::Update(update), admin_user_id, now);
    link_operations::insert(transaction, &operation, Begin::Now(lease)).await?;
    let event = AuditEvent {
        id: app.ids.next(),
        occurred_at: now,
        organization_id: Some(organization.id),
        admin_user_id: Some(&operation.admin_user_id),
        action: Action::SubscriptionUpdateRequested,
        before: Some(run_link_operation::link_as_json(organization)),
        after: Some(operation::with_id(&operation, asked)),
    };
    audit_events::insert(transaction, event).await?;
    Ok(Claimed {
        operation,
        lease_token: lease.token,
    })
}
