//! Get, List and Count.

use billing_proto::{
    common::v1::{DeploymentType, LinkFilter, OrganizationOrder, PlanType, SubscriptionStatus},
    org::v1::{
        CountOrganizationsRequest, GetOrganizationRequest, ListOrganizationsRequest, StatusCount,
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
        ("00000000-0000-4000-8000-00000000ABCD", vec![acme]),
        ("00000000-0000-4000-8", vec![acme, beta, gamma, acmes]),
        // Two letters are looked for at the beginning.
        ("GA", vec![gamma]),
        ("be", vec![beta]),
        ("co", vec![]),
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
        query: "eta".to_owned(),
        ..ListOrganizationsRequest::default()
    };
    assert_eq!(names(&org_svc, request).await, [beta]);
}

#[tokio::test]
async fn counts_tell_of_every_status() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    insert(
        &world,
        "SELECT gen_random_uuid(), 'Org', NULL, customer, status, NULL, now(), now() FROM (VALUES
            (NULL, 'pending'), ('cus_2', 'trial'), ('cus_3', 'active'), ('cus_4', 'canceled')) AS made (customer, status)",
    )
    .await;
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
    let by_status = [
        (SubscriptionStatus::Active, 1),
        (SubscriptionStatus::Canceled, 1),
        (SubscriptionStatus::Trial, 1),
    ];
    let by_status = by_status.map(|(status, linked_count)| StatusCount {
        subscription_status: status.into(),
        linked_count,
    });
    assert_eq!(counts.status_counts, by_status);
    assert!(counts.count_time.is_some());
}

/// Every order, and the same in SQL.
const ORDERS: [(OrganizationOrder, &str); 5] = [
    (OrganizationOrder::Unspecified, "created_at DESC, id DESC"),
    (OrganizationOrder::OldestFirst, "created_at, id"),
    (OrganizationOrder::Name, "lower(name), id"),
    (
        OrganizationOrder::NameDescending,
        "lower(name) DESC, id DESC",
    ),
    (
        OrganizationOrder::Status,
        "stripe_customer_id IS NOT NULL, array_position(ARRAY['past_due', 'trial', 'active', 'canceled'], subscription_status::text), created_at DESC, id DESC",
    ),
];

/// Filters, and the same in SQL.
fn filters() -> [(ListOrganizationsRequest, &'static str); 6] {
    let nothing = ListOrganizationsRequest {
        page_size: 3,
        ..ListOrganizationsRequest::default()
    };
    let plan = vec![i32::from(PlanType::SelfHosted)];
    [
        (nothing.clone(), "true"),
        (
            ListOrganizationsRequest {
                link_filter: LinkFilter::Linked.into(),
                statuses: vec![
                    SubscriptionStatus::Trial.into(),
                    SubscriptionStatus::PastDue.into(),
                    SubscriptionStatus::Trial.into(),
                ],
                ..nothing.clone()
            },
            "stripe_customer_id IS NOT NULL AND subscription_status IN ('trial', 'past_due')",
        ),
        (
            ListOrganizationsRequest {
                plan_types: plan.clone(),
                ..nothing.clone()
            },
            "plan_type = 'self-hosted'",
        ),
        (
            ListOrganizationsRequest {
                statuses: vec![SubscriptionStatus::Pending.into()],
                ..nothing.clone()
            },
            "subscription_status = 'pending'",
        ),
        (
            ListOrganizationsRequest {
                plan_types: plan,
                deployment_types: vec![DeploymentType::OnPremise.into()],
                link_filter: LinkFilter::Linked.into(),
                ..nothing.clone()
            },
            "plan_type = 'self-hosted' AND deployment_type = 'on-premise' AND stripe_customer_id IS NOT NULL",
        ),
        (
            ListOrganizationsRequest {
                query: ".EU".to_owned(),
                statuses: vec![
                    SubscriptionStatus::Active.into(),
                    SubscriptionStatus::Canceled.into(),
                ],
                ..nothing
            },
            "instance_url ILIKE '%.eu' AND subscription_status IN ('active', 'canceled')",
        ),
    ]
}

/// Whatever the filter and the order: the pages together are what one list of all would be. Three
/// to a page, so that pages end within and between statuses.
#[tokio::test]
async fn pages_of_every_filter_and_order_are_the_whole_list_in_order() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    world
        .rows(
            "INSERT INTO organizations (id, name, instance_url, stripe_customer_id, stripe_subscription_id, plan_type, deployment_type, subscription_status, created_at, updated_at)
             SELECT gen_random_uuid(), chr(65 + n % 7) || CASE WHEN n % 2 = 0 THEN 'lpha' ELSE 'LPHA' END, 'i' || n || '.eu',
                 CASE WHEN n % 5 > 0 THEN 'cus_' || n END, CASE WHEN n % 5 > 0 THEN 'sub_' || n END,
                 CASE WHEN n % 5 > 0 OR n = 20 THEN (ARRAY['managed-cloud', 'self-hosted', NULL])[1 + n % 3] END,
                 CASE WHEN n % 5 > 0 THEN (ARRAY['managed-cloud', 'on-premise'])[1 + n % 2] END,
                 CASE WHEN n % 5 > 0 THEN (ARRAY['active', 'trial', 'past_due', 'canceled'])[1 + n % 4] ELSE 'pending' END,
                 timestamptz '2024-01-01' + (n / 3) * interval '1 day', now()
             FROM generate_series(1, 60) AS n RETURNING id",
        )
        .await;
    for (filter, condition) in filters() {
        for (order, order_by) in ORDERS {
            let sql =
                format!("SELECT id::text FROM organizations WHERE {condition} ORDER BY {order_by}");
            let rows = world.rows(&sql).await;
            let expected = rows.iter().map(|row| row.try_get_by_index(0).unwrap());
            let expected: Vec<String> = expected.collect();
            let request = ListOrganizationsRequest {
                order_by: order.into(),
                ..filter.clone()
            };
            let found = all_pages(&org_svc, request).await;
            assert!(expected.len() > 3, "{sql}");
            assert_eq!(found, expected, "{sql}");
        }
    }
}

async fn all_pages(org_svc: &OrgSvc, mut request: ListOrganizationsRequest) -> Vec<String> {
    const PAGES_MAX: usize = 100;
    let mut found = Vec::new();
    for _ in 0..PAGES_MAX {
        let mut organizations = org_svc.organizations.clone();
        let page = organizations.list_organizations(request.clone()).await;
        let page = page.unwrap().into_inner();
        found.extend(page.organizations.into_iter().map(|o| o.id));
        if page.next_page_token.is_empty() {
            return found;
        }
        request.page_token = page.next_page_token;
    }
    unreachable!("the list never ends");
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
