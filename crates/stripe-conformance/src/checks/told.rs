//! What Stripe tells beside its answers: in headers, by webhook, in thin events. Only the simulator
//! can be made to.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{Router, extract::State, http::HeaderMap, routing::post};
use bytes::Bytes;
use serde_json::{Value, json};
use stripe_svc::conformance::{Event, EventSaid, Said};
use tokio::{
    net::TcpListener,
    sync::mpsc::{self, UnboundedSender},
    time::{Instant, timeout},
};

use crate::account::{Account, expect, id_of};

/// How long a webhook may be on its way.
const DELIVERY_MAX: Duration = Duration::from_secs(20);
const RETRY_AFTER_S: u64 = 2;

async fn strike(account: &Account, respond: Value) -> anyhow::Result<()> {
    let fault = json!({ "route": "POST /v1/customers", "count": 1, "respond": respond });
    account.control("/_sim/faults", &fault).await
}

pub(crate) async fn retry_after_is_waited_for(account: &Account) -> anyhow::Result<()> {
    strike(
        account,
        json!({ "status": 429, "retry_after_s": RETRY_AFTER_S }),
    )
    .await?;
    let link = account.link("retry-after");
    let started = Instant::now();
    let said = account
        .ours
        .send(&account.ours.customer(&link), &account.fresh())
        .await;
    let waited = started.elapsed();
    let Said::Done(customer) = said else {
        anyhow::bail!("expected a customer at the second attempt, got {said:?}");
    };
    account.made_customer(&id_of(&customer)?);
    anyhow::ensure!(
        waited >= Duration::from_secs(RETRY_AFTER_S),
        "expected a pause of {RETRY_AFTER_S} s, got {waited:?}"
    );
    Ok(())
}

pub(crate) async fn should_retry_goes_before_the_status(account: &Account) -> anyhow::Result<()> {
    let again = json!({ "status": 400, "headers": { "Stripe-Should-Retry": "true" } });
    strike(account, again).await?;
    let link = account.link("should-retry");
    let request = account.ours.customer(&link);
    let said = account.ours.send(&request, &account.fresh()).await;
    let Said::Done(customer) = said else {
        anyhow::bail!("expected a customer after a 400 to be tried again, got {said:?}");
    };
    account.made_customer(&id_of(&customer)?);
    let never = json!({ "status": 500, "headers": { "Stripe-Should-Retry": "false" } });
    strike(account, never).await?;
    match account.ours.send(&request, &account.fresh()).await {
        Said::Unknown { kind: "broken", .. } => Ok(()),
        said @ (Said::Done(_) | Said::Refused(_) | Said::Unknown { .. }) => {
            anyhow::bail!("expected a 500 that is not tried again, got {said:?}")
        }
    }
}

/// A delivery as it came.
type Letter = (String, Bytes);

async fn receive(
    State(inbox): State<Arc<UnboundedSender<Letter>>>,
    headers: HeaderMap,
    body: Bytes,
) {
    let signature = headers.get("stripe-signature");
    let signature = signature.and_then(|value| value.to_str().ok());
    // Whoever does not listen any more needs no letter.
    let _ = inbox.send((signature.unwrap_or_default().to_owned(), body));
}

pub(crate) async fn webhooks_are_signed_as_we_verify(account: &Account) -> anyhow::Result<()> {
    let (inbox, mut letters) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let router = Router::new().route("/", post(receive));
    let router = router.with_state(Arc::new(inbox));
    let server = tokio::spawn(axum::serve(listener, router).into_future());

    let form = [("url", &*url), ("enabled_events[0]", "customer.created")];
    let endpoint = account.post("/v1/webhook_endpoints", &form).await?.done()?;
    account.made_webhook_endpoint(&id_of(&endpoint)?);
    let secret = endpoint.get("secret").and_then(Value::as_str);
    let secret = secret.context("expected the endpoint's secret, got none")?;
    let customer = account.customer_of(&account.link("webhook")).await?;
    let letter = timeout(DELIVERY_MAX, letters.recv()).await;
    server.abort();
    let letter = letter.ok().flatten();
    let (signature, body) = letter.context("expected a delivery, got none")?;
    let event: Value = serde_json::from_slice(&body)?;
    let of = event.pointer("/data/object/id").and_then(Value::as_str);
    expect("whom it is about", Some(customer.as_str()), of)?;
    let ours = &account.ours;
    expect(
        "to be believed",
        true,
        ours.believes(&body, &signature, secret),
    )?;
    let other = ours.believes(&body, &signature, "whsec_other");
    expect("to be believed with another secret", false, other)?;
    let changed = [&body[..], b" "].concat();
    let changed = ours.believes(&changed, &signature, secret);
    expect("to be believed once it was changed", false, changed)
}

pub(crate) async fn a_report_of_bad_usage_is_fetched_with_its_data(
    account: &Account,
) -> anyhow::Result<()> {
    let (settings, later) = ("/_sim/settings", json!({ "meter_errors": "reported" }));
    account.control(settings, &later).await?;
    let identifier = account.fresh();
    let event = Event {
        event_name: account.ours.event_name().to_owned(),
        identifier: identifier.clone(),
        customer: "cus_conformance00".to_owned(),
        seats: 3,
        at: account.clock.now(),
    };
    let said = account.ours.meter_event(&event, &account.fresh()).await;
    let at_once = json!({ "meter_errors": "refused" });
    account.control(settings, &at_once).await?;
    let said = said.map_err(anyhow::Error::msg)?;
    expect("our reading", EventSaid::Accepted, said)?;
    // Reports are made of ten seconds of usage.
    account
        .control("/_sim/clock/advance", &json!({ "seconds": 11 }))
        .await?;
    let list = account.get("/v2/core/events", &[]).await?.done()?;
    let reports = list.get("data").and_then(Value::as_array);
    let newest = reports.and_then(|reports| reports.first());
    let newest = id_of(newest.context("expected a report, got none")?)?;
    let errors = account.ours.meter_errors(&newest).await;
    let errors = errors.map_err(anyhow::Error::msg)?;
    let expected = vec![(
        "meter_event_customer_not_found".to_owned(),
        vec![identifier],
    )];
    expect("what it tells", expected, errors)
}
