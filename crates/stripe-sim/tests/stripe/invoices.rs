//! What becomes of an invoice: paid, overdue, failed, void; and how one is found and previewed.

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::Config;

use crate::support::{Account, DAY, NOON, id};

/// 2026-04-02 12:00:00 UTC, the end of the month that begins at noon.
const END: i64 = NOON + 31 * DAY;
const HOUR: i64 = 3_600;
const SENT: [(&str, &str); 2] = [
    ("collection_method", "send_invoice"),
    ("days_until_due", "10"),
];

struct Billed {
    account: Account,
    clock: String,
    customer: String,
    subscription: String,
}

impl Billed {
    /// A customer who used three units of one euro since noon.
    async fn by(more: &[(&str, &str)]) -> Self {
        let account = Account::open().await;
        let meter = account.meter("sum", &[]).await;
        let price = account.metered_price(&meter).await;
        let (clock, customer) = account.clock(NOON).await;
        account.event(&customer, "r-1", "3", NOON).await.ok();
        let mut form = vec![
            ("customer", customer.as_str()),
            ("items[0][price]", price.as_str()),
        ];
        form.extend(more);
        let subscription = id(&account.post("/v1/subscriptions", &form).await.ok());
        Self {
            account,
            clock,
            customer,
            subscription,
        }
    }

    async fn advance(&self, to: i64) {
        self.account.advance(&self.clock, to).await;
    }

    async fn set(&self, settings: Value) {
        let path = "/_sim/settings";
        self.account
            .control(Method::POST, path, &settings)
            .await
            .ok();
    }

    async fn status(&self) -> String {
        let path = format!("/v1/subscriptions/{}", self.subscription);
        let subscription = self.account.get(&path, &[]).await.ok();
        subscription["status"].as_str().unwrap().to_owned()
    }

    async fn invoice(&self) -> Value {
        let query = [("subscription", self.subscription.as_str())];
        let list = self.account.get("/v1/invoices", &query).await.ok();
        list["data"].as_array().unwrap().last().unwrap().clone()
    }

    async fn act(&self, action: &str, form: &[(&str, &str)]) -> Value {
        let path = format!("/v1/invoices/{}/{action}", id(&self.invoice().await));
        self.account.post(&path, form).await.ok()
    }
}

#[tokio::test]
async fn a_sent_invoice_is_overdue_until_it_is_paid() {
    let billed = Billed::by(&SENT).await;
    billed.advance(END + HOUR + 10 * DAY - 1).await;
    let open = billed.invoice().await;
    assert_eq!(
        (&open["status"], &open["amount_remaining"]),
        (&json!("open"), &json!(300))
    );
    assert_eq!(billed.status().await, "active");
    billed.advance(END + HOUR + 10 * DAY).await;
    assert_eq!(billed.status().await, "past_due");
    let path = format!("/v1/invoices/{}/pay", id(&open));
    billed
        .account
        .post(&path, &[])
        .await
        .refused(400, None, None);
    let paid = billed.act("pay", &[("paid_out_of_band", "true")]).await;
    assert_eq!(
        (&paid["status"], &paid["amount_paid"]),
        (&json!("paid"), &json!(300))
    );
    assert_eq!(billed.status().await, "active");
    let again = billed.account.post(&path, &[]).await;
    again.refused(400, None, None);
}

#[tokio::test]
async fn a_charge_fails_until_charges_are_made_to_succeed() {
    for succeeds in [false, true] {
        let billed = Billed::by(&[]).await;
        billed.set(json!({ "charges_succeed": succeeds })).await;
        billed.advance(END + HOUR).await;
        let invoice = billed.invoice().await;
        let (invoice_status, status) = if succeeds {
            ("paid", "active")
        } else {
            ("open", "past_due")
        };
        assert_eq!(invoice["status"], invoice_status);
        assert_eq!(invoice["attempted"], !succeeds);
        assert_eq!(billed.status().await, status);
        if !succeeds {
            let void = billed.act("void", &[]).await;
            assert_eq!(void["status"], "void");
            assert_eq!(billed.status().await, "active");
        }
    }
}

#[tokio::test]
async fn paused_collection_keeps_voids_or_gives_up() {
    for (behavior, status) in [
        ("keep_as_draft", "draft"),
        ("void", "void"),
        ("mark_uncollectible", "uncollectible"),
    ] {
        let billed = Billed::by(&SENT).await;
        let path = format!("/v1/subscriptions/{}", billed.subscription);
        let form = [("pause_collection[behavior]", behavior)];
        billed.account.post(&path, &form).await.ok();
        billed.advance(END + DAY).await;
        assert_eq!(billed.invoice().await["status"], status);
        if status == "draft" {
            let open = billed.act("finalize", &[]).await;
            assert_eq!(
                (&open["status"], &open["total"]),
                (&json!("open"), &json!(300))
            );
        }
    }
}

#[tokio::test]
async fn the_grace_can_be_set() {
    let config = Config {
        invoice_grace: std::time::Duration::from_secs(0),
        ..Config::default()
    };
    let account = Account::open_with(config).await;
    let get = account.control(Method::GET, "/_sim/settings", &Value::Null);
    assert_eq!(get.await.ok()["invoice_grace_s"], 0);
    for bad in [
        json!({ "invoice_grace_s": 73 * HOUR }),
        json!({ "nothing": 1 }),
        json!([]),
    ] {
        let answer = account.control(Method::POST, "/_sim/settings", &bad).await;
        assert_eq!(answer.status, 400, "{bad}");
    }
    let billed = Billed::by(&SENT).await;
    billed.set(json!({ "invoice_grace_s": 72 * HOUR })).await;
    billed.advance(END + 72 * HOUR - 1).await;
    assert_eq!(billed.invoice().await["status"], "draft");
    billed.advance(END + 72 * HOUR).await;
    assert_eq!(billed.invoice().await["status"], "open");
}

#[tokio::test]
async fn a_preview_shows_what_is_known_of_the_open_period() {
    let billed = Billed::by(&SENT).await;
    let form = [("subscription", billed.subscription.as_str())];
    let path = "/v1/invoices/create_preview";
    let preview = billed.account.post(path, &form).await.ok();
    assert_eq!(preview["total"], 300);
    assert_eq!(preview["billing_reason"], "upcoming");
    assert_eq!(preview["lines"]["data"][0]["period"]["end"], END);
    // It is kept nowhere.
    assert!(billed.account.sim.ledger().invoices.is_empty());
    billed.set(json!({ "summary_lag_s": 3_600 })).await;
    let form = [("customer", billed.customer.as_str())];
    let preview = billed.account.post(path, &form).await.ok();
    assert_eq!(
        preview["total"], 0,
        "what was just received is not seen yet"
    );
    billed
        .account
        .delete(&format!("/v1/subscriptions/{}", billed.subscription), &[])
        .await
        .ok();
    let none = billed.account.post(path, &form).await;
    none.refused(404, Some("invoice_upcoming_none"), None);
}

#[tokio::test]
async fn invoices_are_found_by_customer_subscription_and_status() {
    let billed = Billed::by(&SENT).await;
    billed.advance(END + HOUR).await;
    let invoice = id(&billed.invoice().await);
    let other = billed.account.customer().await;
    for (query, found) in [
        (("customer", billed.customer.as_str()), true),
        (("customer", other.as_str()), false),
        (("subscription", billed.subscription.as_str()), true),
        (("status", "open"), true),
        (("status", "draft"), false),
    ] {
        let list = billed.account.get("/v1/invoices", &[query]).await.ok();
        assert_eq!(
            list["data"][0]["id"] == invoice.as_str(),
            found,
            "{query:?}"
        );
    }
    let path = format!("/v1/invoices/{invoice}");
    assert_eq!(billed.account.get(&path, &[]).await.ok()["number"], {
        let customer = format!("/v1/customers/{}", billed.customer);
        let shown = billed.account.get(&customer, &[]).await.ok();
        format!("{}-0001", shown["invoice_prefix"].as_str().unwrap())
    });
    let subscription = format!("/v1/subscriptions/{}", billed.subscription);
    let expand = [("expand[]", "latest_invoice")];
    let expanded = billed.account.get(&subscription, &expand).await.ok();
    assert_eq!(expanded["latest_invoice"]["id"], invoice.as_str());
    billed
        .account
        .get("/v1/invoices/in_none", &[])
        .await
        .refused(404, Some("resource_missing"), Some("id"));
}

#[tokio::test]
async fn licensed_seats_are_billed_ahead() {
    let account = Account::open().await;
    let product = id(&account
        .post("/v1/products", &[("name", "Seats")])
        .await
        .ok());
    let form = [
        ("product", product.as_str()),
        ("currency", "eur"),
        ("unit_amount", "1000"),
        ("recurring[interval]", "month"),
    ];
    let price = id(&account.post("/v1/prices", &form).await.ok());
    let (clock, customer) = account.clock(NOON).await;
    let mut form = vec![
        ("customer", customer.as_str()),
        ("items[0][price]", price.as_str()),
        ("items[0][quantity]", "3"),
    ];
    form.extend(SENT);
    let subscription = account.post("/v1/subscriptions", &form).await.ok();
    let path = format!(
        "/v1/invoices/{}",
        subscription["latest_invoice"].as_str().unwrap()
    );
    let first = account.get(&path, &[]).await.ok();
    assert_eq!(
        (&first["status"], &first["total"], &first["billing_reason"]),
        (&json!("open"), &json!(3_000), &json!("subscription_create"))
    );
    account.advance(&clock, END).await;
    let query = [("status", "draft")];
    let list = account.get("/v1/invoices", &query).await.ok();
    assert_eq!(list["data"][0]["lines"]["data"][0]["period"]["start"], END);
    assert_eq!(list["data"][0]["total"], 3_000);
}
