//! The audit trail: what it tells, and that nobody rewrites it.

use billing_proto::common::v1::{AuditEvent, ListAuditEventsRequest, ListAuditEventsResponse};
use chrono::TimeDelta;
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::support::{ErrorReason, OrgSvc, World, fault};

const ACME: Uuid = Uuid::from_u128(0xac);

/// Five changes, a minute apart, the first at the world's beginning.
async fn with_changes() -> (World, OrgSvc) {
    let world = World::new().await;
    world
        .as_owner_run(&format!(
            r#"INSERT INTO "user" ("id", "name", "email", "emailVerified", "createdAt", "updatedAt")
               VALUES ('u1', 'Ann', 'ann@example.com', true, now(), now());
               INSERT INTO audit_events (id, occurred_at, organization_id, admin_user_id, action, request_id, before, after, client_address)
               SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid,
                      to_timestamp(1800000000 + 60 * n),
                      CASE WHEN n % 2 = 0 THEN '{ACME}'::uuid END,
                      CASE WHEN n < 3 THEN 'u1' ELSE 'u2' END,
                      CASE WHEN n = 4 THEN 'organization.linked' ELSE 'admin.created' END,
                      'r' || n, NULL, jsonb_build_object('n', n), '203.0.113.7'
               FROM generate_series(0, 4) AS n;"#
        ))
        .await;
    let org_svc = world.start_alone().await;
    (world, org_svc)
}

async fn list(
    world: &World,
    org_svc: &OrgSvc,
    request: ListAuditEventsRequest,
) -> ListAuditEventsResponse {
    let mut audit = org_svc.audit.clone();
    let listed = audit.list_audit_events(world.as_admin(request)).await;
    listed.unwrap().into_inner()
}

fn requests(events: &[AuditEvent]) -> Vec<&str> {
    events.iter().map(|event| &*event.request_id).collect()
}

#[tokio::test]
async fn it_tells_who_did_what_when_and_from_where() {
    let (world, org_svc) = with_changes().await;
    let all = list(&world, &org_svc, ListAuditEventsRequest::default()).await;
    assert_eq!(requests(&all.events), ["r4", "r3", "r2", "r1", "r0"]);
    let event = &all.events[2];
    assert_eq!(event.organization_id, ACME.to_string());
    assert_eq!(
        (&*event.admin_user_id, &*event.admin_email),
        ("u1", "ann@example.com")
    );
    assert_eq!(event.client_address, "203.0.113.7");
    assert_eq!(
        (&*event.before_json, &*event.after_json),
        ("", r#"{"n":2}"#)
    );
    // An admin whose account is gone.
    assert_eq!(
        (&*all.events[0].admin_user_id, &*all.events[0].admin_email),
        ("u2", "")
    );
}

#[tokio::test]
async fn it_is_filtered() {
    let (world, org_svc) = with_changes().await;
    let time = |minutes| {
        let time = world.now() + TimeDelta::minutes(minutes);
        Some(billing_kit::proto_time::to_proto(time))
    };
    let none = ListAuditEventsRequest::default;
    for (request, expected) in [
        (
            ListAuditEventsRequest {
                organization_id: ACME.to_string(),
                ..none()
            },
            vec!["r4", "r2", "r0"],
        ),
        (
            ListAuditEventsRequest {
                actor: "u1".to_owned(),
                ..none()
            },
            vec!["r2", "r1", "r0"],
        ),
        (
            ListAuditEventsRequest {
                actor: "Ann@example.com".to_owned(),
                ..none()
            },
            vec!["r2", "r1", "r0"],
        ),
        (
            ListAuditEventsRequest {
                actor: "nobody@example.com".to_owned(),
                ..none()
            },
            vec![],
        ),
        (
            ListAuditEventsRequest {
                action: "organization.linked".to_owned(),
                ..none()
            },
            vec!["r4"],
        ),
        (
            ListAuditEventsRequest {
                since_time: time(1),
                until_time: time(3),
                ..none()
            },
            vec!["r2", "r1"],
        ),
    ] {
        let listed = list(&world, &org_svc, request.clone()).await;
        assert_eq!(requests(&listed.events), expected, "{request:?}");
    }
}

#[tokio::test]
async fn it_is_paged_and_a_token_belongs_to_its_filters() {
    let (world, org_svc) = with_changes().await;
    let none = ListAuditEventsRequest::default;
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListAuditEventsRequest {
            page_size: 2,
            page_token,
            ..none()
        };
        let page = list(&world, &org_svc, request).await;
        seen.extend(page.events.iter().map(|event| event.request_id.clone()));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
        let other = world.as_admin(ListAuditEventsRequest {
            action: "admin.created".to_owned(),
            page_token: page_token.clone(),
            ..none()
        });
        let refused = fault(org_svc.audit.clone().list_audit_events(other).await);
        assert_eq!(refused.reason, ErrorReason::InvalidArgument);
    }
    assert_eq!(seen, ["r4", "r3", "r2", "r1", "r0"]);
}

/// Not by the service's own role, and not by a slip of whoever owns the tables.
#[tokio::test]
async fn nobody_rewrites_it() {
    let (world, _org_svc) = with_changes().await;
    let changes = [
        "UPDATE audit_events SET action = 'nothing'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
    ];
    for change in changes {
        let refused = world.db.execute_unprepared(change).await.unwrap_err();
        assert!(
            refused.to_string().contains("permission denied"),
            "{refused}"
        );
        let quoted = change.replace('\'', "''");
        world
            .as_owner_run(&format!(
                "DO $$ BEGIN
                     EXECUTE '{quoted}';
                     RAISE EXCEPTION 'it was rewritten';
                 EXCEPTION WHEN insufficient_privilege THEN NULL;
                 END $$"
            ))
            .await;
    }
    assert_eq!(world.count("SELECT count(*) FROM audit_events").await, 5);
}
