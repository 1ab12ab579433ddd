"""Reads the simulator with Stripe's own Python client, its strictest reader.

usage: official_sdk.py BASE_URL SECRET_KEY
Prints one line for each step and exits with 1 at the first that fails.
"""

import sys
import time

import stripe

base_url, secret_key = sys.argv[1:3]
client = stripe.StripeClient(
    secret_key, base_addresses={"api": base_url}, max_network_retries=0
)
v1 = client.v1


def step(name, holds):
    print(f"{'ok' if holds else 'FAILED'}: {name}")
    if not holds:
        sys.exit(1)


customer = v1.customers.create(
    {
        "name": "Acme",
        "email": "billing@acme.example",
        "metadata": {"organization_id": "org-1"},
    }
)
step("customer", customer.id.startswith("cus_") and customer.metadata["organization_id"] == "org-1")
found = v1.customers.search({"query": "metadata['organization_id']:'org-1'"})
step("customer search", [it.id for it in found.data] == [customer.id])

product = v1.products.create({"name": "Seats"})
step("product", product.active and product.name == "Seats")

meter = v1.billing.meters.create(
    {
        "display_name": "Seat days",
        "event_name": "seat_days",
        "default_aggregation": {"formula": "sum"},
        "event_time_window": "day",
    }
)
step("meter", meter.status == "active" and meter.event_time_window == "day")

price = v1.prices.create(
    {
        "product": product.id,
        "currency": "eur",
        "unit_amount_decimal": "12.5",
        "lookup_key": "seats_monthly",
        "recurring": {"interval": "month", "usage_type": "metered", "meter": meter.id},
    }
)
step("price", price.unit_amount is None and str(price.unit_amount_decimal) == "12.5")
listed = v1.prices.list({"lookup_keys": ["seats_monthly"], "expand": ["data.product"]})
step("price by lookup key", listed.data[0].id == price.id and listed.data[0].product.id == product.id)

subscription = v1.subscriptions.create(
    {
        "customer": customer.id,
        "items": [{"price": price.id}],
        "trial_period_days": 14,
        "collection_method": "send_invoice",
        "days_until_due": 30,
        "billing_mode": {"type": "flexible"},
        "trial_settings": {"end_behavior": {"missing_payment_method": "pause"}},
        "metadata": {"organization_id": "org-1"},
    }
)
step("trial subscription", subscription.status == "trialing")
step("trial of 14 days", subscription.trial_end - subscription.trial_start == 14 * 86400)
item = subscription["items"].data[0]
step("subscription item", item.price.id == price.id and item["plan"]["id"] == price.id)

event = v1.billing.meter_events.create(
    {
        "event_name": "seat_days",
        "identifier": "report-1",
        "payload": {"stripe_customer_id": customer.id, "value": "42"},
    }
)
step("meter event", event.identifier == "report-1" and event.payload["value"] == "42")

start = int(time.time()) // 86400 * 86400
summaries = v1.billing.meters.event_summaries.list(
    meter.id,
    {
        "customer": customer.id,
        "start_time": start - 86400,
        "end_time": start + 2 * 86400,
        "value_grouping_window": "day",
    },
)
step("summaries", [it.aggregated_value for it in summaries.data] == [42])

try:
    v1.customers.create({"nmae": "typo"})
    step("unknown parameter", False)
except stripe.InvalidRequestError as error:
    step("unknown parameter", error.param == "nmae" and error.code == "parameter_unknown")
try:
    v1.customers.retrieve("cus_nobody")
    step("missing customer", False)
except stripe.InvalidRequestError as error:
    step("missing customer", error.http_status == 404 and error.code == "resource_missing")
try:
    stripe.StripeClient("sk_test_wrong", base_addresses={"api": base_url}).v1.customers.list()
    step("wrong key", False)
except stripe.AuthenticationError as error:
    step("wrong key", error.http_status == 401)

options = {"idempotency_key": "op-1"}
first = v1.customers.create({"name": "Once"}, options)
again = v1.customers.create({"name": "Once"}, options)
step("idempotent replay", first.id == again.id)
step("replay header", again.last_response.headers.get("idempotent-replayed") == "true")
try:
    v1.customers.create({"name": "Twice"}, options)
    step("key reused", False)
except stripe.IdempotencyError as error:
    step("key reused", error.http_status == 400)

names = [f"page-{number}" for number in range(25)]
for name in names:
    v1.customers.create({"name": name, "email": "page@acme.example"})
pages = v1.customers.list({"email": "page@acme.example", "limit": 10})
step("auto paging", [it.name for it in pages.auto_paging_iter()] == names[::-1])

canceled = v1.subscriptions.cancel(subscription.id)
step("cancel", canceled.status == "canceled" and canceled.ended_at is not None)

DAY = 86400
clock = v1.test_helpers.test_clocks.create({"frozen_time": 1830297600})
tenant = v1.customers.create({"email": "billing@acme.example", "test_clock": clock.id})
billed = v1.subscriptions.create(
    {
        "customer": tenant.id,
        "items": [{"price": price.id}],
        "collection_method": "send_invoice",
        "days_until_due": 10,
    }
)
v1.billing.meter_events.create(
    {
        "event_name": "seat_days",
        "timestamp": clock.frozen_time,
        "payload": {"stripe_customer_id": tenant.id, "value": "7"},
    }
)
preview = v1.invoices.create_preview({"subscription": billed.id})
# 7 seat-days at 12.5 cents are 87.5, so 88.
step("preview", preview.total == 88 and preview.lines.data[0].quantity == 7)
advancing = v1.test_helpers.test_clocks.advance(
    clock.id, {"frozen_time": clock.frozen_time + 32 * DAY}
)
step("advance", advancing.status == "advancing")
step("advanced", v1.test_helpers.test_clocks.retrieve(clock.id).status == "ready")
invoice = v1.invoices.list({"subscription": billed.id}).data[0]
step("invoice", invoice.status == "open" and invoice.amount_due == 88)
line = invoice.lines.data[0]
step("invoice line", line.pricing.price_details.price == price.id and line.amount == 88)
paid = v1.invoices.pay(invoice.id, {"paid_out_of_band": True})
step("paid", paid.status == "paid" and paid.amount_remaining == 0)
changed = v1.subscriptions.update(
    billed.id, {"pause_collection": {"behavior": "keep_as_draft"}}
)
step("pause", changed.pause_collection.behavior == "keep_as_draft")
events = v1.events.list({"types": ["invoice.paid"]})
step("event", events.data[0].data.object.id == invoice.id)
session = v1.billing_portal.sessions.create({"customer": tenant.id})
step("portal", session.url.startswith("https://billing.stripe.com/"))
endpoint = v1.webhook_endpoints.create(
    {"url": "http://127.0.0.1:9/hooks", "enabled_events": ["invoice.paid"]}
)
step("webhook endpoint", endpoint.secret.startswith("whsec_") and endpoint.status == "enabled")
step("endpoint deleted", v1.webhook_endpoints.delete(endpoint.id).deleted)
step("thin events", client.v2.core.events.list().data == [])
step("clock deleted", v1.test_helpers.test_clocks.delete(clock.id).deleted)
