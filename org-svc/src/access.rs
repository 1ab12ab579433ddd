//! Who may call what.

use billing_kit::access::{AccessTable, Caller};

const GATEWAY: &str = "gateway";
const INGEST_SVC: &str = "ingest-svc";

/// What admins do with organizations, by way of the gateway.
const OF_ADMINS: [&str; 7] = [
    "/billing.org.v1.OrganizationService/ListPendingGroups",
    "/billing.org.v1.OrganizationService/IgnoreOrganizations",
    "/billing.org.v1.OrganizationService/RestoreOrganizations",
    "/billing.org.v1.OrganizationService/LinkOrganization",
    "/billing.org.v1.OrganizationService/UnlinkOrganization",
    "/billing.org.v1.OrganizationService/UpdateSubscription",
    "/billing.org.v1.OrganizationService/CancelSubscription",
];
/// What ingest-svc does because of reports.
const OF_REPORTS: [&str; 4] = [
    "/billing.org.v1.OrganizationService/ObserveOrganizations",
    "/billing.org.v1.OrganizationService/ConfirmDrained",
    "/billing.org.v1.OrganizationService/ListExpiredOrganizations",
    "/billing.org.v1.OrganizationService/DeleteOrganizations",
];

/// The table. `readers` are other internal services, which may read organizations.
pub(crate) fn table(readers: &[String]) -> AccessTable {
    let and_readers = |own: &[&str]| -> Vec<String> {
        own.iter()
            .map(|identity| (*identity).to_owned())
            .chain(readers.iter().cloned())
            .collect()
    };
    let mut table = AccessTable::new();
    for method in OF_ADMINS {
        table = table.allow(method, [GATEWAY]);
    }
    for method in OF_REPORTS {
        table = table.allow(method, [INGEST_SVC]);
    }
    table
        .allow(
            "/billing.org.v1.OrganizationService/GetOrganization",
            and_readers(&[GATEWAY, INGEST_SVC]),
        )
        .allow(
            "/billing.org.v1.OrganizationService/BatchGetOrganizations",
            // ingest-svc: when the invoices of held reports are final.
            and_readers(&[GATEWAY, INGEST_SVC]),
        )
        .allow(
            "/billing.org.v1.OrganizationService/ListOrganizations",
            and_readers(&[GATEWAY]),
        )
        .allow(
            "/billing.org.v1.OrganizationService/CountOrganizations",
            and_readers(&[GATEWAY]),
        )
        .allow(
            "/billing.org.v1.OrganizationService/WatchOrganizations",
            and_readers(&[INGEST_SVC]),
        )
        .allow("/billing.org.v1.AdminSessionService/", [GATEWAY])
        .allow("/billing.org.v1.ApiKeyService/", [GATEWAY])
        .allow("/billing.org.v1.AuditService/ListAuditEvents", [GATEWAY])
        .allow(
            "/billing.org.v1.AuditService/RecordAuditEvents",
            [INGEST_SVC],
        )
        .allow("/billing.org.v1.NoticeService/RecordNotices", [INGEST_SVC])
        .allow("/billing.org.v1.NoticeService/ListNotices", [GATEWAY])
}

/// Whether a caller may read organizations on behalf of an admin only. The gateway has no business
/// of its own with them; who is on this machine without TLS is taken for a service that has.
pub(crate) fn reads_for_admins_only(caller: Option<&Caller>) -> bool {
    match caller {
        Some(Caller::Service(identity)) => identity == GATEWAY,
        Some(Caller::Loopback) => false,
        None => true,
    }
}
