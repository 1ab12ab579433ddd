//! Which identity may call which method. What is not named is closed.

use billing_kit::access::AccessTable;

pub(crate) fn table() -> AccessTable {
    AccessTable::new()
        // A link, as org-svc stored it.
        .allow(
            "/billing.stripe.v1.SubscriptionService/ProvisionSubscription",
            ["org-svc"],
        )
        // Its changes and its end, likewise.
        .allow(
            "/billing.stripe.v1.SubscriptionService/UpdateSubscription",
            ["org-svc"],
        )
        .allow(
            "/billing.stripe.v1.SubscriptionService/CancelSubscription",
            ["org-svc"],
        )
        // How subscriptions stand, whoever changed them.
        .allow(
            "/billing.stripe.v1.SubscriptionService/WatchSubscriptions",
            ["org-svc"],
        )
        // What Stripe told, as it came to the gateway; and what became of it, for admins.
        .allow("/billing.stripe.v1.WebhookService/", ["gateway"])
        // What a link would make, and what Stripe holds for a customer, for admins.
        .allow("/billing.stripe.v1.CustomerService/", ["gateway"])
        // Usage, as ingest-svc recorded it.
        .allow(
            "/billing.stripe.v1.MeterEventService/RecordMeterEvents",
            ["ingest-svc"],
        )
        // What became of it.
        .allow(
            "/billing.stripe.v1.MeterEventService/GetUsageSummaries",
            ["ingest-svc"],
        )
        // What was invoiced for it.
        .allow(
            "/billing.stripe.v1.MeterEventService/ListInvoicedUsage",
            ["ingest-svc"],
        )
}
