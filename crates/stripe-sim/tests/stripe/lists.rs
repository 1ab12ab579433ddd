//! Customers, pages of them, and the search for them.

use std::time::Duration;

use serde_json::Value;
use stripe_sim::Config;

use crate::support::{Account, Pairs, id};

fn ids(list: &Value) -> Vec<String> {
    list["data"].as_array().unwrap().iter().map(id).collect()
}

#[tokio::test]
async fn pages_walk_both_ways_and_tell_whether_more_follow() {
    let account = Account::open().await;
    let mut all = Vec::new();
    for _ in 0..7 {
        all.push(account.customer().await);
    }
    all.reverse();
    let cases: &[(Pairs<'_>, &[String], bool)] = &[
        (&[], &all[..], false),
        (&[("limit", "3")], &all[..3], true),
        (
            &[("limit", "3"), ("starting_after", &all[2])],
            &all[3..6],
            true,
        ),
        (
            &[("limit", "3"), ("starting_after", &all[5])],
            &all[6..],
            false,
        ),
        (
            &[("limit", "2"), ("ending_before", &all[4])],
            &all[2..4],
            true,
        ),
        (
            &[("limit", "9"), ("ending_before", &all[4])],
            &all[..4],
            false,
        ),
        (&[("email", "someone@acme.example")], &[], false),
    ];
    for (query, page, has_more) in cases {
        let list = account.get("/v1/customers", query).await.ok();
        assert_eq!(
            (ids(&list).as_slice(), &list["has_more"]),
            (*page, &Value::Bool(*has_more))
        );
    }
    let integer = Some("parameter_invalid_integer");
    for limit in ["0", "101", "many"] {
        let query = [("limit", limit)];
        account
            .get("/v1/customers", &query)
            .await
            .refused(400, integer, Some("limit"));
    }
    let query = [("starting_after", "cus_x")];
    let list = account.get("/v1/customers", &query).await;
    list.refused(400, Some("resource_missing"), Some("starting_after"));
}

#[tokio::test]
async fn search_reads_stripes_language() {
    let account = Account::open().await;
    let create = async |email: &str, org: &str| {
        let form = [("email", email), ("metadata[organization_id]", org)];
        id(&account.post("/v1/customers", &form).await.ok())
    };
    let one = create("one@acme.example", "o'1").await;
    let two = create("two@acme.example", "o2").await;
    let none = account.customer().await;
    for (query, found) in [
        ("metadata['organization_id']:'o2'", vec![&two]),
        ("metadata[\"organization_id\"]:\"o'1\"", vec![&one]),
        ("email:'ONE@acme.example'", vec![&one]),
        ("email~'acme'", vec![&none, &two, &one]),
        ("metadata['organization_id']:null", vec![&none]),
        (
            "email~'acme' AND -metadata['organization_id']:'o2'",
            vec![&none, &one],
        ),
        (
            "email:'one@acme.example' OR email:'two@acme.example'",
            vec![&two, &one],
        ),
        ("created>0 email:'two@acme.example'", vec![&two]),
        ("email:'three@acme.example'", vec![]),
    ] {
        let result = account
            .get("/v1/customers/search", &[("query", query)])
            .await
            .ok();
        assert_eq!(ids(&result).iter().collect::<Vec<_>>(), found, "{query}");
        assert_eq!(result["object"], "search_result");
    }
    for bad in ["email", "email:one", "shoe_size:'42'"] {
        let result = account.get("/v1/customers/search", &[("query", bad)]).await;
        result.refused(400, None, Some("query"));
    }
    let query = [("query", "email~'acme'"), ("limit", "2")];
    let first = account.get("/v1/customers/search", &query).await.ok();
    let page = first["next_page"].as_str().unwrap();
    let query = [("query", "email~'acme'"), ("limit", "2"), ("page", page)];
    let second = account.get("/v1/customers/search", &query).await.ok();
    assert_eq!(
        (ids(&second), &second["has_more"]),
        (vec![one], &Value::Bool(false))
    );
}

#[tokio::test]
async fn search_lags_as_far_as_it_is_told_to() {
    let config = Config {
        search_lag: Duration::from_secs(60),
        ..Config::default()
    };
    let account = Account::open_with(config).await;
    let customer = account.customer().await;
    let found = async || {
        let query = [("query", "name:'acme'")];
        ids(&account.get("/v1/customers/search", &query).await.ok())
    };
    assert!(found().await.is_empty());
    account.sim.advance_clock(Duration::from_secs(61));
    assert_eq!(found().await, [customer]);
}

#[tokio::test]
async fn a_customer_changes_and_goes() {
    let account = Account::open().await;
    let customer = account.customer().await;
    let path = format!("/v1/customers/{customer}");
    let form = [
        ("name", ""),
        ("address[city]", "Lyon"),
        ("metadata[k]", "v"),
        ("phone", "+33"),
    ];
    let changed = account.post(&path, &form).await.ok();
    assert!(changed["name"].is_null());
    assert_eq!(changed["address"]["city"], "Lyon");
    assert_eq!(changed["email"], "billing@acme.example");
    assert_eq!(account.get(&path, &[]).await.ok(), changed);
    assert_eq!(account.delete(&path, &[]).await.ok()["deleted"], true);
    assert_eq!(account.get(&path, &[]).await.ok()["deleted"], true);
    assert!(ids(&account.get("/v1/customers", &[]).await.ok()).is_empty());
    account
        .post(&path, &form)
        .await
        .refused(404, Some("resource_missing"), Some("id"));
}
