//! A flood of unknown organizations: the cap, the groups, ignoring them, and the end of those that
//! nobody links.

use billing_proto::{
    common::v1::{
        ErrorReason, IgnoreOrganizationsRequest, LinkFilter, ListPendingGroupsRequest,
        RestoreOrganizationsRequest,
    },
    org::v1::{
        CountOrganizationsRequest, DeleteOrganizationsRequest, ListExpiredOrganizationsRequest,
        ListOrganizationsRequest, ObserveOrganizationsRequest, ObserveOrganizationsResponse,
        OrganizationObservation,
    },
};
use chrono::TimeDelta;
use org_svc::ChannelConfig;
use url::Url;
use uuid::Uuid;

use crate::{
    links::{link, terms},
    support::{
        OrgSvc, World, fault, new_id, nowhere, observation,
        stripe_svc::{Mood, StripeSvc},
    },
};

const ONE: &str = "203.0.113.0/24";
const OTHER: &str = "2001:db8:1::/48";

fn from(world: &World, id: Uuid, network: &str) -> OrganizationObservation {
    OrganizationObservation {
        source_network: network.to_owned(),
        ..observation(id, "Acme", "acme.eu", world.now())
    }
}

async fn observe(
    org_svc: &OrgSvc,
    observations: Vec<OrganizationObservation>,
) -> ObserveOrganizationsResponse {
    observe_as(org_svc, observations, true).await
}

async fn observe_as(
    org_svc: &OrgSvc,
    observations: Vec<OrganizationObservation>,
    tentative: bool,
) -> ObserveOrganizationsResponse {
    let request = ObserveOrganizationsRequest {
        observations,
        tentative,
    };
    let mut client = org_svc.organizations.clone();
    let answer = client.observe_organizations(request).await;
    answer.unwrap().into_inner()
}

async fn flood(world: &World, org_svc: &OrgSvc, network: &str, count: usize) -> Vec<Uuid> {
    let ids: Vec<_> = (0..count).map(|_| new_id()).collect();
    let all = ids.iter().map(|id| from(world, *id, network));
    observe_as(org_svc, all.collect(), false).await;
    ids
}

async fn listed(org_svc: &OrgSvc, request: ListOrganizationsRequest) -> usize {
    let mut client = org_svc.organizations.clone();
    let answer = client.list_organizations(request).await.unwrap();
    answer.into_inner().organizations.len()
}

fn of(filter: LinkFilter) -> ListOrganizationsRequest {
    ListOrganizationsRequest {
        link_filter: filter.into(),
        page_size: 500,
        ..ListOrganizationsRequest::default()
    }
}

/// Five are admitted here. Both replicas take part in the same flood, at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_network_brings_so_many_new_organizations_a_day_and_no_more() {
    let world = World::new().await;
    let replicas = [world.start_alone().await, world.start_alone().await];
    let known = new_id();
    observe(&replicas[0], vec![from(&world, known, ONE)]).await;

    let calls = (0..20).map(|turn| {
        let new = from(&world, new_id(), ONE);
        let again = from(&world, known, ONE);
        observe(&replicas[turn % 2], vec![new, again])
    });
    let answers = futures::future::join_all(calls).await;
    let refused: Vec<_> = answers.iter().flat_map(|it| &it.not_admitted).collect();
    assert_eq!(refused.len(), 20 - 4);
    for answer in &answers {
        // Whoever is known is never refused.
        let last = answer.standings.last().unwrap();
        assert_eq!(last.organization_id, known.to_string());
        assert_eq!(answer.standings.len() + answer.not_admitted.len(), 2);
    }
    let delay = refused[0].retry_delay.unwrap().seconds;
    let tomorrow = 86_400 - world.now().timestamp() % 86_400;
    assert_eq!(delay, tomorrow);
    assert_eq!(world.count("SELECT count(*) FROM organizations").await, 5);

    // Another network, an unknown one, an acknowledged report, and the next day are free.
    let others = vec![from(&world, new_id(), OTHER), from(&world, new_id(), "")];
    let answer = observe(&replicas[0], others).await;
    assert!(answer.not_admitted.is_empty());
    let acknowledged = vec![from(&world, new_id(), ONE)];
    let answer = observe_as(&replicas[0], acknowledged, false).await;
    assert!(answer.not_admitted.is_empty());
    let again = from(&world, new_id(), ONE);
    assert_eq!(
        observe(&replicas[1], vec![again.clone()])
            .await
            .not_admitted
            .len(),
        1
    );
    world.pass(TimeDelta::seconds(tomorrow));
    assert!(
        observe(&replicas[1], vec![again])
            .await
            .not_admitted
            .is_empty()
    );
}

#[tokio::test]
async fn the_operator_is_told_once_of_each_network_and_day() {
    let world = World::new().await;
    let mut config = world.config(&nowhere());
    config.notices = Some(ChannelConfig {
        url: Url::parse("http://127.0.0.1:9/").unwrap(),
        secret: "a secret".to_owned().into(),
        private_addresses: true,
    });
    let org_svc = world.start_with(config).await;
    for _ in 0..8 {
        observe(&org_svc, vec![from(&world, new_id(), ONE)]).await;
    }
    let told = "SELECT string_agg(data->>'source_network', ',') FROM notices WHERE kind = 'organizations.not_admitted'";
    assert_eq!(world.text(told).await.as_deref(), Some(ONE));
    assert_eq!(
        world
            .count("SELECT refused_count FROM organization_admissions")
            .await,
        3
    );
}

/// Ten thousand forged organizations were ten thousand rows, and no verb took them away.
#[tokio::test]
async fn a_flood_is_one_group_that_is_ignored_in_one_step() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    flood(&world, &org_svc, ONE, 12).await;
    let [honest] = flood(&world, &org_svc, OTHER, 1).await[..] else {
        unreachable!("one was asked for");
    };
    let mut client = org_svc.organizations.clone();
    let groups = client
        .list_pending_groups(ListPendingGroupsRequest {})
        .await;
    let groups = groups.unwrap().into_inner().groups;
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].source_network, ONE);
    assert_eq!(groups[0].organization_count, 12);
    let without = ListOrganizationsRequest {
        except_source_networks: vec![ONE.to_owned()],
        ..of(LinkFilter::Pending)
    };
    assert_eq!(listed(&org_svc, without).await, 1);
    let seen_until = groups[0].last_create_time;

    // One more comes between the look and the click: it is not ignored unseen.
    world.pass(TimeDelta::seconds(1));
    flood(&world, &org_svc, ONE, 1).await;
    let ignore = IgnoreOrganizationsRequest {
        source_network: ONE.to_owned(),
        until_time: seen_until,
        ..IgnoreOrganizationsRequest::default()
    };
    for count in [12, 0] {
        let request = world.as_admin(ignore.clone());
        let answer = client.ignore_organizations(request).await.unwrap();
        assert_eq!(answer.into_inner().ignored_count, count);
    }
    for (filter, count) in [
        (LinkFilter::Unspecified, 2),
        (LinkFilter::Pending, 2),
        (LinkFilter::Linked, 0),
        (LinkFilter::Ignored, 12),
    ] {
        assert_eq!(listed(&org_svc, of(filter)).await, count, "{filter:?}");
    }
    let found = ListOrganizationsRequest {
        query: "acme".to_owned(),
        ..of(LinkFilter::Ignored)
    };
    assert_eq!(listed(&org_svc, found).await, 12);
    let counts = client
        .count_organizations(CountOrganizationsRequest {})
        .await;
    let counts = counts.unwrap().into_inner();
    assert_eq!(
        (
            counts.total_count,
            counts.pending_count,
            counts.ignored_count
        ),
        (2, 2, 12)
    );
    let audited = "SELECT after->>'source_network' || ' ' || (after->>'organization_count') FROM audit_events WHERE action = 'organizations.ignored'";
    assert_eq!(
        world.text(audited).await.as_deref(),
        Some("203.0.113.0/24 12")
    );
    assert_eq!(org_svc.get(honest).await.ignore_time, None);

    let restore = RestoreOrganizationsRequest {
        source_network: ONE.to_owned(),
        ..RestoreOrganizationsRequest::default()
    };
    let restored = client.restore_organizations(world.as_admin(restore)).await;
    assert_eq!(restored.unwrap().into_inner().restored_count, 12);
    assert_eq!(listed(&org_svc, of(LinkFilter::Pending)).await, 14);
}

#[tokio::test]
async fn some_are_ignored_by_their_ids_and_all_or_none() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    let ids = flood(&world, &org_svc, ONE, 2).await;
    let mut client = org_svc.organizations.clone();
    let ignore = |ids: &[Uuid]| {
        world.as_admin(IgnoreOrganizationsRequest {
            organization_ids: ids.iter().map(Uuid::to_string).collect(),
            ..IgnoreOrganizationsRequest::default()
        })
    };
    world
        .rows(&format!(
            "UPDATE organizations SET stripe_customer_id = 'cus_1' WHERE id = '{}' RETURNING id",
            ids[1]
        ))
        .await;
    for (chosen, reason) in [
        (vec![ids[0], new_id()], ErrorReason::OrganizationNotFound),
        (ids.clone(), ErrorReason::LinkConflict),
        (Vec::new(), ErrorReason::InvalidArgument),
    ] {
        let refused = fault(client.ignore_organizations(ignore(&chosen)).await);
        assert_eq!(refused.reason, reason);
    }
    let unasked = IgnoreOrganizationsRequest {
        organization_ids: vec![ids[0].to_string()],
        ..IgnoreOrganizationsRequest::default()
    };
    let refused = fault(client.ignore_organizations(unasked).await);
    assert_eq!(refused.reason, ErrorReason::Unauthenticated);
    assert_eq!(listed(&org_svc, of(LinkFilter::Ignored)).await, 0);

    let answer = client.ignore_organizations(ignore(&ids[..1])).await;
    assert_eq!(answer.unwrap().into_inner().ignored_count, 1);
    // What it reports is taken as before, and it stays ignored.
    let later = OrganizationObservation {
        name: "Acme SA".to_owned(),
        observe_time: Some(billing_kit::proto_time::to_proto(
            world.now() + TimeDelta::seconds(1),
        )),
        ..from(&world, ids[0], OTHER)
    };
    let answer = observe_as(&org_svc, vec![later], false).await;
    assert!(answer.standings[0].ignored);
    let organization = org_svc.get(ids[0]).await;
    assert_eq!(organization.name, "Acme SA");
    assert_eq!(organization.source_network, ONE);
    assert!(organization.ignore_time.is_some());
    let audited =
        "SELECT organization_id::text FROM audit_events WHERE action = 'organizations.ignored'";
    assert_eq!(world.text(audited).await, Some(ids[0].to_string()));
}

#[tokio::test]
async fn a_link_ends_that_an_organization_is_ignored() {
    let world = World::new().await;
    let stripe = StripeSvc::start(Mood::Provision).await;
    let org_svc = world.start(&stripe.url()).await;
    let [id] = flood(&world, &org_svc, ONE, 1).await[..] else {
        unreachable!("one was asked for");
    };
    let ignore = IgnoreOrganizationsRequest {
        organization_ids: vec![id.to_string()],
        ..IgnoreOrganizationsRequest::default()
    };
    let mut client = org_svc.organizations.clone();
    client
        .ignore_organizations(world.as_admin(ignore))
        .await
        .unwrap();
    link(&world, &org_svc, id, terms()).await.unwrap();
    assert_eq!(org_svc.get(id).await.ignore_time, None);
    assert_eq!(listed(&org_svc, of(LinkFilter::Linked)).await, 1);
}

#[tokio::test]
async fn who_was_never_linked_is_deleted_after_thirteen_months() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    let ids = flood(&world, &org_svc, ONE, 4).await;
    let [gone, linked, operated, reporting] = ids[..] else {
        unreachable!("four were asked for");
    };
    world
        .rows(&format!("UPDATE organizations SET stripe_customer_id = 'cus_1' WHERE id = '{linked}' RETURNING id"))
        .await;
    world
        .rows(&format!("INSERT INTO link_operations (id, organization_id, organization_name, state, admin_email, deployment_type, plan_type, trial_days, admin_user_id, next_attempt_at, error_code, created_at, ended_at) VALUES (gen_random_uuid(), '{operated}', 'Acme', 'refused', 'a@a.eu', 'on-premise', 'self-hosted', 0, 'admin-1', now(), 'x', now(), now()) RETURNING id"))
        .await;
    world
        .as_owner_run(&format!("INSERT INTO usage_reports (organization_id, user_count, deployment_type, delivery_state, organization_name, instance_url, reported_at, received_at) VALUES ('{reporting}', 5, 'unassigned', 'waiting', 'Acme', 'acme.eu', now(), now())"))
        .await;
    let mut client = org_svc.organizations.clone();
    let list = ListExpiredOrganizationsRequest::default();
    world.pass(TimeDelta::days(390));
    let young = client.list_expired_organizations(list.clone()).await;
    assert!(young.unwrap().into_inner().organization_ids.is_empty());
    let delete = DeleteOrganizationsRequest {
        organization_ids: ids.iter().map(Uuid::to_string).collect(),
    };
    let kept = client.delete_organizations(delete.clone()).await.unwrap();
    assert!(kept.into_inner().organization_ids.is_empty());

    world.pass(TimeDelta::days(10));
    let expired = client.list_expired_organizations(list).await.unwrap();
    let mut expired = expired.into_inner().organization_ids;
    expired.sort();
    let mut expected = [gone, reporting].map(|id| id.to_string());
    expected.sort();
    assert_eq!(expired, expected);
    for _ in 0..2 {
        let deleted = client.delete_organizations(delete.clone()).await.unwrap();
        let deleted = deleted.into_inner().organization_ids;
        assert_eq!(deleted, [gone.to_string()]);
    }
    assert_eq!(world.count("SELECT count(*) FROM organizations").await, 3);
}
