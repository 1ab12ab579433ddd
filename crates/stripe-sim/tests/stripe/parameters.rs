//! What is wrong with a request is named by status, code and parameter.

use reqwest::Method;

use crate::support::{Account, KEY, pairs};

const UNKNOWN: Option<&str> = Some("parameter_unknown");
const MISSING: Option<&str> = Some("parameter_missing");
const INTEGER: Option<&str> = Some("parameter_invalid_integer");
const EMPTY: Option<&str> = Some("parameter_invalid_empty");
const EXCLUSIVE: Option<&str> = Some("parameters_exclusive");

/// Path, form, and the code and parameter of the error.
type Case = (
    &'static str,
    &'static str,
    Option<&'static str>,
    &'static str,
);

const CUSTOMERS: &str = "/v1/customers";
const PRODUCTS: &str = "/v1/products";
const PRICES: &str = "/v1/prices";
const METERS: &str = "/v1/billing/meters";
const METER_EVENTS: &str = "/v1/billing/meter_events";
const SUBSCRIPTIONS: &str = "/v1/subscriptions";

#[rustfmt::skip]
const CASES: [Case; 27] = [
    (CUSTOMERS, "nmae=Acme", UNKNOWN, "nmae"),
    (CUSTOMERS, "address[streeet]=1", UNKNOWN, "address[streeet]"),
    (CUSTOMERS, "email=nobody", Some("email_invalid"), "email"),
    (CUSTOMERS, "name[first]=A", None, "name"),
    (CUSTOMERS, "balance=much", INTEGER, "balance"),
    (CUSTOMERS, "metadata=text", None, "metadata"),
    (CUSTOMERS, "tax_exempt=maybe", None, "tax_exempt"),
    (CUSTOMERS, "expand[]=nothing", None, "expand"),
    (PRODUCTS, "", MISSING, "name"),
    (PRODUCTS, "name=", EMPTY, "name"),
    (PRODUCTS, "name=A&active=yes", None, "active"),
    (PRICES, "", MISSING, "currency"),
    (PRICES, "currency=euro&unit_amount=1&product=p", None, "currency"),
    (PRICES, "currency=eur&product=p", MISSING, "unit_amount"),
    (PRICES, "currency=eur&product=p&unit_amount=1&unit_amount_decimal=1", EXCLUSIVE, "unit_amount"),
    (PRICES, "currency=eur&product=p&unit_amount=1&recurring[interval]=eon", None, "recurring[interval]"),
    (PRICES, "currency=eur&product=p&unit_amount=1&recurring[interval]=day&recurring[usage_type]=metered",
        MISSING, "recurring[meter]"),
    (METERS, "event_name=e", MISSING, "default_aggregation"),
    (METERS, "event_name=e&display_name=d&default_aggregation[formula]=max", None, "default_aggregation[formula]"),
    (METER_EVENTS, "event_name=e", MISSING, "payload"),
    (METER_EVENTS, "event_name=e&payload[value]=1&timestamp=noon", INTEGER, "timestamp"),
    (SUBSCRIPTIONS, "customer=c", MISSING, "items"),
    (SUBSCRIPTIONS, "items[0][price]=p", MISSING, "customer"),
    (SUBSCRIPTIONS, "customer=c&items[0][quantity]=1", MISSING, "items[0][price]"),
    (SUBSCRIPTIONS, "customer=c&items[0][price]=p&trial_period_days=731", INTEGER, "trial_period_days"),
    (SUBSCRIPTIONS, "customer=c&items[0][price]=p&trial_end=1", None, "trial_end"),
    (SUBSCRIPTIONS, "customer=c&items[0][pirce]=p", UNKNOWN, "items[0][pirce]"),
];

#[tokio::test]
async fn every_wrong_parameter_is_named() {
    let account = Account::open().await;
    for (path, form, code, param) in CASES {
        println!("{path} {form}");
        account
            .post(path, &pairs(form))
            .await
            .refused(400, code, Some(param));
    }
    let long = "x".repeat(501);
    let answer = account.post(CUSTOMERS, &[("metadata[k]", &long)]).await;
    answer.refused(400, None, Some("metadata[k]"));
    let ledger = account.sim.ledger();
    assert!(ledger.customers.is_empty() && ledger.products.is_empty() && ledger.prices.is_empty());
}

#[tokio::test]
async fn texts_of_errors_are_stripes() {
    let account = Account::open().await;
    let unknown = account
        .post("/v1/customers", &[("a", "1"), ("b", "2")])
        .await;
    assert_eq!(
        unknown.refused(400, UNKNOWN, Some("a")),
        "Received unknown parameters: a, b"
    );
    let missing = account.post("/v1/products", &[]).await;
    assert_eq!(
        missing.refused(400, MISSING, Some("name")),
        "Missing required param: name."
    );
    let nobody = account.get("/v1/customers/cus_1", &[]).await;
    let message = nobody.refused(404, Some("resource_missing"), Some("id"));
    assert_eq!(message, "No such customer: 'cus_1'");
}

#[tokio::test]
async fn unknown_objects_are_404_in_paths_and_400_in_parameters() {
    let account = Account::open().await;
    let missing = Some("resource_missing");
    for path in [
        "/v1/customers/x",
        "/v1/products/x",
        "/v1/prices/x",
        "/v1/subscriptions/x",
        "/v1/billing/meters/x",
    ] {
        account
            .get(path, &[])
            .await
            .refused(404, missing, Some("id"));
    }
    let customer = account.customer().await;
    let form = [
        ("customer", customer.as_str()),
        ("items[0][price]", "price_x"),
    ];
    account
        .post("/v1/subscriptions", &form)
        .await
        .refused(400, missing, Some("items[0][price]"));
    let form = [("customer", "cus_x"), ("items[0][price]", "price_x")];
    account
        .post("/v1/subscriptions", &form)
        .await
        .refused(400, missing, Some("customer"));
    let query = [("customer", "cus_x")];
    account
        .get("/v1/subscriptions", &query)
        .await
        .refused(400, missing, Some("customer"));
    account
        .get("/v1/customres", &[])
        .await
        .refused(404, None, None);
}

#[tokio::test]
async fn only_the_secret_key_lets_in() {
    let account = Account::open().await;
    let call = || account.request(Method::GET, "/v1/customers");
    let bearer = account.raw(call().bearer_auth(KEY)).await.unwrap();
    let basic = account.raw(call().basic_auth(KEY, Some(""))).await.unwrap();
    assert_eq!((bearer.status, basic.status), (200, 200));
    for request in [
        call(),
        call().bearer_auth("sk_test_wrong_key"),
        call().basic_auth("", Some(KEY)),
        call().header("Authorization", KEY),
    ] {
        let answer = account.raw(request).await.unwrap();
        assert!(answer.header("request-id").is_some());
        let message = answer.refused(401, None, None);
        assert!(!message.contains("sk_test_wrong_key"), "{message}");
    }
}
