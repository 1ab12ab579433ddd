//! Which identity may call which method. What is not named is closed.

use billing_kit::access::AccessTable;

pub(crate) fn table() -> AccessTable {
    let table = AccessTable::new()
        // What instances report.
        .allow(
            "/billing.ingest.v1.UsageReportService/ReportUsage",
            ["gateway"],
        )
        // What admins look at: the gateway's call also carries the admin's assertion.
        .allow(
            "/billing.ingest.v1.UsageReportService/ListUsageReports",
            ["gateway"],
        )
        .allow(
            "/billing.ingest.v1.UsageReportService/BatchGetReporting",
            ["gateway"],
        )
        .allow(
            "/billing.ingest.v1.UsageReportService/GetDelivery",
            ["gateway"],
        )
        .allow(
            "/billing.ingest.v1.ReconciliationService/GetReconciliation",
            ["gateway"],
        )
        .allow(
            "/billing.ingest.v1.ReconciliationService/ListFindings",
            ["gateway"],
        )
        .allow(
            "/billing.ingest.v1.ReportingService/ListReporting",
            ["gateway"],
        )
        .allow(
            "/billing.ingest.v1.ReportingService/GetReportingSummary",
            ["gateway"],
        )
        .allow(
            "/billing.ingest.v1.ReportingService/ListRefusedReports",
            ["gateway"],
        )
        .allow("/billing.ingest.v1.ReportingService/GetIntake", ["gateway"])
        .allow(
            "/billing.ingest.v1.ReportingService/GetSigningKeys",
            ["gateway"],
        )
        .allow(
            "/billing.ingest.v1.HeldReportService/ListHeldReports",
            ["gateway"],
        )
        .allow(
            "/billing.ingest.v1.HeldReportService/ListHeldGroups",
            ["gateway"],
        );
    decisions(table)
}

/// What admins decide, likewise.
fn decisions(table: AccessTable) -> AccessTable {
    table
        .allow(
            "/billing.ingest.v1.HeldReportService/DecideHeldGroup",
            ["gateway"],
        )
        .allow(
            "/billing.ingest.v1.HeldReportService/ReleaseReports",
            ["gateway"],
        )
        .allow(
            "/billing.ingest.v1.HeldReportService/DiscardReports",
            ["gateway"],
        )
        .allow(
            "/billing.ingest.v1.ReportingService/RetryReport",
            ["gateway"],
        )
        .allow(
            "/billing.ingest.v1.ReportingService/ReplaceReport",
            ["gateway"],
        )
        .allow(
            "/billing.ingest.v1.ReportingService/PinSigningKey",
            ["gateway"],
        )
        .allow(
            "/billing.ingest.v1.ReportingService/ResetSigningKey",
            ["gateway"],
        )
        .allow(
            "/billing.ingest.v1.ReconciliationService/DismissFinding",
            ["gateway"],
        )
}
