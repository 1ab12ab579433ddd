//! The three records of a run, read by ways of our own: what was told, what PostgreSQL holds, what
//! Stripe took in.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Deserialize;
use uuid::Uuid;

use crate::check::standing;
use crate::journal::{Journal, Told};
use crate::world::World;

const DAY_S: i64 = 86_400;
/// The metadata by which Stripe's objects name their organization.
pub(crate) const ORGANIZATION: &str = "organization_id";
/// What of Stripe's ledger is not looked at.
const OMITTED: &str = "recent_requests,products,prices";

/// A report in one of the two tables.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct StoredReport {
    pub(crate) id: Uuid,
    pub(crate) organization_id: Uuid,
    /// Unix seconds.
    pub(crate) at: i64,
    pub(crate) user_count: i64,
    /// `spooled` where it has not left the spool.
    pub(crate) delivery_state: String,
    pub(crate) stripe_meter_event_id: Option<String>,
    /// For the finding's reader.
    #[expect(dead_code, reason = "it is shown by Debug alone")]
    pub(crate) error_code: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct StoredOrganization {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) subscription_status: String,
    pub(crate) stripe_customer_id: Option<String>,
    pub(crate) stripe_subscription_id: Option<String>,
    pub(crate) deployment_type: Option<String>,
    pub(crate) plan_type: Option<String>,
    /// Unix seconds, as the next two.
    pub(crate) trial_end: Option<i64>,
    pub(crate) cancel_at: Option<i64>,
    pub(crate) current_period_end: Option<i64>,
    /// Seats by its latest report.
    pub(crate) user_count: Option<i64>,
}

/// What is not finished, by the table's name.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Unfinished {
    #[expect(dead_code, reason = "it is shown by Debug alone")]
    pub(crate) what: String,
    pub(crate) count: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) customers: Vec<LedgerCustomer>,
    pub(crate) subscriptions: Vec<LedgerSubscription>,
    pub(crate) meters: Vec<LedgerMeter>,
    pub(crate) meter_events: Vec<LedgerEvent>,
    pub(crate) invoices: Vec<LedgerInvoice>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LedgerCustomer {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LedgerSubscription {
    pub(crate) id: String,
    pub(crate) customer: String,
    /// In Stripe's words.
    pub(crate) status: String,
    /// Unix seconds, as all times here.
    pub(crate) start_date: i64,
    pub(crate) ended_at: Option<i64>,
    pub(crate) trial_end: Option<i64>,
    pub(crate) cancel_at: Option<i64>,
    pub(crate) items: List<LedgerItem>,
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
}

impl LedgerSubscription {
    pub(crate) fn organization(&self) -> Option<Uuid> {
        organization_in(&self.metadata)
    }

    pub(crate) fn is_living(&self) -> bool {
        self.ended_at.is_none()
    }
}

/// The organization that an object of Stripe's names.
pub(crate) fn organization_in(metadata: &BTreeMap<String, String>) -> Option<Uuid> {
    metadata.get(ORGANIZATION)?.parse().ok()
}

/// A list of Stripe's.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct List<T> {
    pub(crate) data: Vec<T>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LedgerItem {
    pub(crate) current_period_end: i64,
    pub(crate) price: LedgerPrice,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LedgerPrice {
    pub(crate) lookup_key: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LedgerInvoice {
    pub(crate) id: String,
    pub(crate) customer: String,
    pub(crate) status: String,
    pub(crate) lines: List<LedgerLine>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LedgerLine {
    pub(crate) period: Period,
}

/// From, and up to and without. Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Period {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LedgerMeter {
    pub(crate) id: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LedgerEvent {
    pub(crate) received_order: u64,
    pub(crate) identifier: String,
    pub(crate) customer: String,
    pub(crate) value: String,
    /// Unix seconds.
    pub(crate) timestamp: i64,
}

/// All three.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) told: Vec<Told>,
    pub(crate) reports: Vec<StoredReport>,
    pub(crate) organizations: Vec<StoredOrganization>,
    pub(crate) unfinished: Vec<Unfinished>,
    pub(crate) ledger: Ledger,
    /// What Stripe's meter counts, by customer and UTC day.
    pub(crate) summaries: BTreeMap<String, BTreeMap<i64, String>>,
    /// Lines of the services' logs that tell of an error nobody expects.
    pub(crate) error_lines: Vec<String>,
}

/// The number of a UTC day.
pub(crate) fn day_of(at: i64) -> i64 {
    at.div_euclid(DAY_S)
}

const REPORTS: &str = "
    SELECT id, organization_id, extract(epoch FROM reported_at)::bigint AS at, user_count,
        delivery_state, stripe_meter_event_id, error_code
    FROM usage_reports
    UNION ALL
    SELECT id, organization_id, extract(epoch FROM reported_at)::bigint, user_count,
        'spooled', NULL, NULL
    FROM usage_report_spool";
const ORGANIZATIONS: &str = "
    SELECT o.id, o.name, o.subscription_status, o.stripe_customer_id, o.stripe_subscription_id,
        o.deployment_type, o.plan_type, extract(epoch FROM o.trial_end)::bigint AS trial_end,
        extract(epoch FROM o.cancel_at)::bigint AS cancel_at,
        extract(epoch FROM o.current_period_end_at)::bigint AS current_period_end, r.user_count
    FROM organizations o LEFT JOIN organization_reporting r ON r.organization_id = o.id";
const UNFINISHED: &str = "
    SELECT 'usage_report_spool' AS what, count(*) FROM usage_report_spool
    UNION ALL SELECT 'queued reports', count(*) FROM usage_reports WHERE delivery_state = 'queued'
    UNION ALL SELECT 'waiting reports of linked organizations', count(*)
        FROM usage_reports r JOIN organizations o ON o.id = r.organization_id
        WHERE r.delivery_state = 'waiting' AND o.stripe_subscription_id IS NOT NULL
    UNION ALL SELECT 'running operations', count(*) FROM link_operations WHERE state = 'running'
    UNION ALL SELECT 'open calls', count(*) FROM stripe_calls WHERE state = 'open'
    UNION ALL SELECT 'open meter events', count(*) FROM stripe_meter_events WHERE state = 'open'
    UNION ALL SELECT 'queued webhook events', count(*) FROM stripe_events WHERE state = 'queued'";

/// What is not finished yet.
async fn unfinished(world: &World) -> anyhow::Result<Vec<Unfinished>> {
    let mut found: Vec<Unfinished> = world.database.rows(UNFINISHED).await?;
    found.retain(|unfinished| unfinished.count > 0);
    Ok(found)
}

/// Whether nothing is under way any more, and everybody has heard how Stripe stands.
pub(crate) async fn is_quiet(world: &World) -> anyhow::Result<bool> {
    let undelivered = world.stripe.flush_webhooks().await?;
    if undelivered > 0 || !unfinished(world).await?.is_empty() {
        return Ok(false);
    }
    let ledger = world
        .stripe
        .ledger("recent_requests,products,prices,meter_events,invoices");
    let ledger: Ledger = serde_json::from_value(ledger.await?)?;
    let organizations: Vec<StoredOrganization> = world.database.rows(ORGANIZATIONS).await?;
    Ok(standing::differences(&ledger, &organizations).is_empty())
}

/// Reads all records.
pub(crate) async fn read(
    world: &World,
    journal: &Journal,
    error_lines: Vec<String>,
) -> anyhow::Result<Records> {
    let ledger: Ledger = serde_json::from_value(world.stripe.ledger(OMITTED).await?)?;
    let reports: Vec<StoredReport> = world.database.rows(REPORTS).await?;
    let days = reports.iter().map(|report| day_of(report.at));
    let first = days.clone().min().unwrap_or_default();
    let last = days.max().unwrap_or_default();
    let meter = ledger.meters.first().context("the catalog has a meter")?;
    let mut summaries = BTreeMap::new();
    for customer in &ledger.customers {
        let of_days = world
            .stripe
            .summaries(&meter.id, &customer.id, first..last + 1)
            .await?;
        summaries.insert(customer.id.clone(), of_days.into_iter().collect());
    }
    Ok(Records {
        told: journal.told(),
        reports,
        organizations: world.database.rows(ORGANIZATIONS).await?,
        unfinished: unfinished(world).await?,
        ledger,
        summaries,
        error_lines,
    })
}
