//! Get, List and Count.

use billing_proto::{
    common::v1::SubscriptionStatus,
    org::v1::{
        CountOrganizationsRequest, GetOrganizationRequest, LinkFilter, ListOrganizationsRequest,
    },
};

use crate::support::{ErrorReason, OrgSvc, World, fault, new_id, observation};

async fn insert(world: &World, rows: &str) {
    world
        .rows(&format!("INSERT INTO organizations (id, name, instance_url, stripe_customer_id, subscription_status, admin_email, created_at, updated_at) {rows} RETURNING id"))
        .await;
}

async fn names(org_svc: &OrgSvc, request: ListOrganizationsRequest) -> Vec<String> {
    let mut client = org_svc.organizations.clone();
    let response = client.list_organizations(request);
    let organizations = response.await.unwrap().into_inner().organizations;
    organizations.into_iter().map(|o| o.name).collect()
}

#[tokio::test]
async fn pages_leave_nobody_out_though_all_came_at_the_same_moment() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    insert(&world, "SELECT gen_random_uuid(), 'Org ' || n, NULL, NULL, 'pending', NULL, '2024-11-01T10:00:00.123456Z', now() FROM generate_series(1, 25) AS n").await;
    let mut seen = Vec::new();
    let mut request = ListOrganizationsRequest {
        page_size: 10,
        ..ListOrganizationsRequest::default()
    };
    let mut pages = 0;
    loop {
        let page = org_svc
            .organizations
            .clone()
            .list_organizations(request.clone())
            .await
            .unwrap()
            .into_inner();
        pages += 1;
        seen.extend(page.organizations.into_iter().map(|o| o.id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(pages, 3);
    let mut sorted = seen.clone();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(seen, sorted);
    sorted.dedup();
    assert_eq!(sorted.len(), 25);

    let other_list = ListOrganizationsRequest {
        query: "Org".to_owned(),
        ..request
    };
    let refused = fault(
        org_svc
            .organizations
            .clone()
            .list_organizations(other_list)
            .await,
    );
    assert_eq!(refused.reason, ErrorReason::InvalidArgument);
    assert_eq!(refused.violations[0].field, "page_token");
}

#[tokio::test]
async fn a_page_that_is_just_full_is_the_last_one() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    insert(&world, "SELECT gen_random_uuid(), 'Org', NULL, NULL, 'pending', NULL, now(), now() FROM generate_series(1, 10)").await;
    let request = ListOrganizationsRequest {
        page_size: 10,
        ..ListOrganizationsRequest::default()
    };
    let page = org_svc
        .organizations
        .clone()
        .list_organizations(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(page.organizations.len(), 10);
    assert_eq!(page.next_page_token, "");
}

#[tokio::test]
async fn filters_pick() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    insert(&world, r"VALUES
        ('00000000-0000-4000-8000-00000000abcd', '100% Acme_Corp', 'acme.vaultai.eu', NULL, 'pending', NULL, '2024-01-04', now()),
        ('00000000-0000-4000-8000-000000000002', 'Beta\SARL', 'beta.eu', 'cus_2', 'trial', 'Billing@Beta.eu', '2024-01-03', now()),
        ('00000000-0000-4000-8000-000000000003', 'Gamma', NULL, 'cus_3', 'active', NULL, '2024-01-02', now()),
        ('00000000-0000-4000-8000-000000000004', '1000 Acmes', NULL, 'cus_4', 'canceled', NULL, '2024-01-01', now())").await;
    let (acme, beta, gamma, acmes) = ("100% Acme_Corp", r"Beta\SARL", "Gamma", "1000 Acmes");
    let query = |text: &str| ListOrganizationsRequest {
        query: text.to_owned(),
        ..ListOrganizationsRequest::default()
    };
    for (text, picked) in [
        ("", vec![acme, beta, gamma, acmes]),
        ("ACME", vec![acme, acmes]),
        ("100%", vec![acme]),
        ("e_c", vec![acme]),
        (r"a\s", vec![beta]),
        ("billing@beta", vec![beta]),
        ("VAULTAI.eu", vec![acme]),
        ("ABCD", vec![acme]),
        ("' OR 1=1 --", vec![]),
    ] {
        assert_eq!(names(&org_svc, query(text)).await, picked, "{text}");
    }
    for (filter, picked) in [
        (LinkFilter::Pending, vec![acme]),
        (LinkFilter::Linked, vec![beta, gamma, acmes]),
    ] {
        let request = ListOrganizationsRequest {
            link_filter: filter.into(),
            ..ListOrganizationsRequest::default()
        };
        assert_eq!(names(&org_svc, request).await, picked);
    }
    let request = ListOrganizationsRequest {
        statuses: vec![
            SubscriptionStatus::Trial.into(),
            SubscriptionStatus::Canceled.into(),
        ],
        link_filter: LinkFilter::Linked.into(),
        query: "a".to_owned(),
        ..ListOrganizationsRequest::default()
    };
    assert_eq!(names(&org_svc, request).await, [beta, acmes]);

    let mut organizations = org_svc.organizations.clone();
    let counts = organizations.count_organizations(CountOrganizationsRequest {});
    let counts = counts.await.unwrap().into_inner();
    assert_eq!(
        (
            counts.total_count,
            counts.linked_count,
            counts.pending_count
        ),
        (4, 3, 1)
    );
}

#[tokio::test]
async fn what_is_unknown_is_not_found_and_what_is_no_id_is_refused() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    let id = new_id();
    org_svc
        .observe(vec![observation(id, "Acme", "acme.eu", world.now())])
        .await;
    let organization = org_svc.get(id).await;
    assert_eq!(organization.name, "Acme");
    assert!(organization.link_operation.is_none());
    for (id, reason) in [
        (new_id().to_string(), ErrorReason::OrganizationNotFound),
        ("acme".to_owned(), ErrorReason::InvalidArgument),
    ] {
        let request = GetOrganizationRequest {
            organization_id: id,
        };
        let refused = fault(
            org_svc
                .organizations
                .clone()
                .get_organization(request)
                .await,
        );
        assert_eq!(refused.reason, reason);
    }
}
