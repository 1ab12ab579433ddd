//! LinkOrganization: links an organization to Stripe, as a stored operation.

use std::sync::Arc;

use billing_kit::{Fault, assertion::Admin};
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
        link::{Decision, LinkTerms, Refusal, Work, decide},
        organization::{Organization, OrganizationId, StripeCustomerId},
    },
    store::{
        audit_events::{self, Action, AuditEvent},
        link_operations::{self, Begin},
        organizations,
    },
};

/// Links an organization, or answers with the operation that goes on in the background.
pub(crate) async fn link_organization(
    app: &Arc<Organizations>,
    admin: &Admin,
    id: OrganizationId,
    terms: LinkTerms,
) -> Result<Described, Fault> {
    let answer_by = operation::answer_by();
    let begun = begin(app, admin, id, terms).await?;
    operation::finish(app, begun, answer_by).await
}

/// Decides under the organization's lock, and stores a new operation where there is to be one.
async fn begin(
    app: &Organizations,
    admin: &Admin,
    id: OrganizationId,
    terms: LinkTerms,
) -> Result<Begun, Fault> {
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let organization = organizations::lock(&transaction, id)
        .await?
        .ok_or_else(get_organization::not_found)?;
    let running = link_operations::running_of(&transaction, id).await?;
    let linked_by = link_operations::latest_link_of(&transaction, id).await?;
    match decide(&organization, running.as_ref(), linked_by.as_ref(), &terms) {
        Decision::Start => {
            if let Some(customer) = &terms.adopt_customer_id
                && organizations::has_other(&transaction, customer, id).await?
            {
                return Err(operation::refused(&of_another(customer)));
            }
            let claimed = start(app, &transaction, &organization, admin, terms).await?;
            transaction.commit().await.map_err(db_fault)?;
            Ok(Begun {
                operation_id: claimed.operation.id,
                claimed: Some(claimed),
            })
        }
        Decision::Join(operation_id) | Decision::AlreadyLinked(operation_id) => {
            Ok(Begun::elsewhere(operation_id))
        }
        Decision::Conflict(conflict) => {
            Err(Fault::new(ErrorReason::LinkConflict, conflict.message()))
        }
    }
}

/// What stripe-svc says of an organization's customer, said of one that an older system linked, which
/// stripe-svc does not know.
fn of_another(customer: &StripeCustomerId) -> Refusal {
    Refusal {
        code: "customer_of_another_organization".to_owned(),
        message: format!(
            "The customer {} belongs to another organization.",
            customer.0
        ),
        param: None,
        stripe_request_id: None,
    }
}

async fn start(
    app: &Organizations,
    transaction: &DatabaseTransaction,
    organization: &Organization,
    admin: &Admin,
    terms: LinkTerms,
) -> Result<Claimed, Fault> {
    let now = app.clock.now();
    let lease = run_link_operation::lease(app, now);
    let admin_user_id = UserId(admin.user_id.clone());
    let asked = json!({
        "admin_email": terms.admin_email.as_str(),
        "deployment_type": terms.deployment_type.as_str(),
        "plan_type": terms.plan_type.as_str(),
        "trial_days": terms.trial_days.as_i32(),
        "adopt_customer_id": terms.adopt_customer_id.as_ref().map(|id| &id.0),
    });
    let operation = operation::new(app, organization, Work::Link(terms), admin_user_id, now);
    link_operations::insert(transaction, &operation, Begin::Now(lease)).await?;
    let event = AuditEvent {
        id: app.ids.next(),
        occurred_at: now,
        organization_id: Some(organization.id),
        admin_user_id: Some(&operation.admin_user_id),
        action: Action::OrganizationLinkRequested,
        before: None,
        after: Some(operation::with_id(&operation, asked)),
    };
    audit_events::insert(transaction, event).await?;
    Ok(Claimed {
        operation,
        lease_token: lease.token,
    })
}
