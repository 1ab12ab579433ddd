//! UnlinkOrganization: what has ended may be linked again, and nothing else.

use billing_proto::{
    common::v1::SubscriptionStatus,
    org::v1::{UnlinkOrganizationRequest, UnlinkOrganizationResponse},
};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::{
    links::{link, pending, terms},
    subscriptions::{eventually_at_cursor, state},
    support::{
        ErrorReason, OrgSvc, World, fault, new_id,
        stripe_svc::{Mood, StripeSvc},
    },
};

fn request(id: Uuid) -> UnlinkOrganizationRequest {
    UnlinkOrganizationRequest {
        organization_id: id.to_string(),
        reason: "moved to another contract".to_owned(),
        delivered_standing_version: None,
    }
}

/// A request once all that was reported is delivered, as the organization stands now.
async fn delivered(world: &World, id: Uuid) -> UnlinkOrganizationRequest {
    let version = format!("SELECT standing_version FROM organizations WHERE id = '{id}'");
    UnlinkOrganizationRequest {
        delivered_standing_version: Some(world.count(&version).await),
        ..request(id)
    }
}

async fn unlink(
    org_svc: &OrgSvc,
    request: Request<UnlinkOrganizationRequest>,
) -> Result<UnlinkOrganizationResponse, Status> {
    let mut client = org_svc.organizations.clone();
    Ok(client.unlink_organization(request).await?.into_inner())
}

#[tokio::test]
async fn what_has_ended_is_unlinked_once_and_may_be_linked_again() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let replicas = [
        world.start(&stripe_svc.url()).await,
        world.start(&stripe_svc.url()).await,
    ];
    let id = pending(&world, &replicas[0]).await;
    link(&world, &replicas[0], id, terms()).await.unwrap();
    let before_the_end = delivered(&world, id).await;
    let going_on = world.as_admin(before_the_end.clone());
    let going_on = fault(unlink(&replicas[0], going_on).await);
    assert_eq!(going_on.reason, ErrorReason::LinkConflict);

    stripe_svc.tell(vec![state(id, 5, SubscriptionStatus::Canceled)]);
    eventually_at_cursor(&world, 1).await;
    // Something is left to deliver, or that nothing is was said of a time before the end.
    for early in [request(id), before_the_end] {
        let refused = fault(unlink(&replicas[0], world.as_admin(early)).await);
        assert_eq!(refused.reason, ErrorReason::LinkConflict);
    }
    let now = delivered(&world, id).await;
    let (one, two) = tokio::join!(
        unlink(&replicas[0], world.as_admin(now.clone())),
        unlink(&replicas[1], world.as_admin(now)),
    );
    for answer in [one, two] {
        let organization = answer.unwrap().organization.unwrap();
        assert_eq!(
            organization.subscription_status(),
            SubscriptionStatus::Pending
        );
        assert_eq!(organization.stripe_customer_id, "");
        assert_eq!(organization.billing_start_time, None);
    }
    let audited = format!(
        "SELECT count(*) FROM audit_events WHERE organization_id = '{id}' AND action = 'organization.unlinked' AND admin_user_id = 'admin-1' AND before->>'stripe_subscription_id' = 'sub_1' AND after->>'reason' = 'moved to another contract'"
    );
    assert_eq!(world.count(&audited).await, 1);
    let told = format!(
        "SELECT count(*) FROM organization_changes JOIN organizations ON id = organization_id AND standing_version = cursor WHERE id = '{id}' AND subscription_status = 'pending'"
    );
    assert_eq!(world.count(&told).await, 1);

    // A late state of the old subscription is nobody's.
    stripe_svc.tell(vec![state(id, 6, SubscriptionStatus::Active)]);
    eventually_at_cursor(&world, 2).await;
    let again = link(&world, &replicas[1], id, terms()).await.unwrap();
    let organization = again.organization.unwrap();
    assert_eq!(organization.stripe_subscription_id, "sub_2");
    assert_eq!(
        organization.subscription_status(),
        SubscriptionStatus::Trial
    );
    let operations = format!(
        "SELECT string_agg(kind || ' ' || state, ', ' ORDER BY created_at, kind) FROM link_operations WHERE organization_id = '{id}'"
    );
    assert_eq!(
        world.text(&operations).await.unwrap(),
        "link succeeded, link succeeded, unlink succeeded"
    );
}

#[tokio::test]
async fn who_was_never_linked_or_gives_no_reason_is_told_so() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    let id = pending(&world, &org_svc).await;
    let never = fault(unlink(&org_svc, world.as_admin(request(id))).await);
    assert_eq!(never.reason, ErrorReason::LinkConflict);
    let unknown = fault(unlink(&org_svc, world.as_admin(request(new_id()))).await);
    assert_eq!(unknown.reason, ErrorReason::OrganizationNotFound);
    let without_reason = UnlinkOrganizationRequest {
        reason: " ".to_owned(),
        ..request(id)
    };
    let bad = fault(unlink(&org_svc, world.as_admin(without_reason)).await);
    assert_eq!(bad.violations[0].field, "reason");
    let nobody = unlink(&org_svc, Request::new(request(id)))
        .await
        .unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
}
