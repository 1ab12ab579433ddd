//! Organizations and reports as the specification's JSON.

use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema, schema::AnyOfBuilder},
};
use uuid::Uuid;

use super::openapi::words as schema_words;
use crate::domain::{
    organization::{CollectionPause, LinkKind, LinkOperation, Organization, Summary, Trouble},
    reporting::ReportingState,
    time_text,
    usage_report::UsageReport,
    words,
};

/// An organization: a pending one has no Stripe fields yet.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum OrganizationJson {
    Pending(PendingJson),
    Linked(LinkedJson),
}

// By hand: what a pending one has a linked one has too, so it is any of the two and not one of them.
impl PartialSchema for OrganizationJson {
    fn schema() -> RefOr<Schema> {
        AnyOfBuilder::new()
            .item(LinkedJson::schema())
            .item(PendingJson::schema())
            .description(Some(
                "An organization: a pending one has no Stripe fields yet.",
            ))
            .into()
    }
}

impl ToSchema for OrganizationJson {
    fn name() -> std::borrow::Cow<'static, str> {
        "Organization".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        LinkedJson::schemas(schemas);
        PendingJson::schemas(schemas);
    }
}

/// An organization that is not linked to Stripe.
#[derive(Serialize, ToSchema)]
#[schema(as = PendingOrganization)]
pub(super) struct PendingJson {
    id: Uuid,
    name: String,
    instance_url: Option<String>,
    #[schema(schema_with = schema_words::statuses)]
    subscription_status: &'static str,
    #[schema(format = DateTime)]
    created_at: String,
    #[serde(flatten)]
    more: MoreJson,
}

/// An organization that is linked to Stripe.
#[derive(Serialize, ToSchema)]
#[schema(as = LinkedOrganization)]
pub(super) struct LinkedJson {
    id: Uuid,
    name: String,
    instance_url: Option<String>,
    stripe_customer_id: Option<String>,
    stripe_subscription_id: Option<String>,
    #[schema(schema_with = schema_words::deployment_types_or_null)]
    deployment_type: Option<&'static str>,
    #[schema(schema_with = schema_words::plan_types_or_null)]
    plan_type: Option<&'static str>,
    #[schema(schema_with = schema_words::statuses)]
    subscription_status: &'static str,
    admin_email: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    trial_end: Option<String>,
    #[serde(flatten)]
    more: MoreJson,
}

/// What the specification's samples do not have.
#[derive(Serialize, ToSchema)]
#[schema(as = OrganizationFacts)]
struct MoreJson {
    user_count: Option<i64>,
    #[schema(format = DateTime)]
    last_report_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reported_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reported_instance_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    billing_problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_operation: Option<LinkOperationJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    cancel_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    current_period_end: Option<String>,
    /// The pause of its collection in Stripe; left out while it is not paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    collection_pause: Option<CollectionPauseJson>,
    /// Whether it reports as it should; left out where no report is expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema_words::reporting_states)]
    reporting_state: Option<&'static str>,
    /// When its next report is late.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    report_due_at: Option<String>,
    /// How many of its reports are held; left out where none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_report_count: Option<i64>,
    /// The network that its first report came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_network: Option<String>,
    /// When an admin ignored it; left out unless it is ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    ignored_at: Option<String>,
}

impl From<Organization> for OrganizationJson {
    fn from(organization: Organization) -> Self {
        let is_linked = organization.is_linked();
        let Organization {
            id,
            name,
            instance_url,
            stripe_customer_id,
            stripe_subscription_id,
            deployment_type,
            plan_type,
            subscription_status,
            trial_end,
            admin_email,
            created_at,
            reported_name,
            reported_instance_url,
            billing_problem,
            link_operation,
            cancel_at,
            current_period_start: _,
            current_period_end,
            collection_pause,
            reporting,
            watch,
            source_network,
            ignored_at,
        } = organization;
        let created_at = time_text::short(created_at);
        let more = MoreJson {
            user_count: reporting.map(|known| known.user_count),
            last_report_at: reporting.map(|known| time_text::short(known.last_report_at)),
            reported_name,
            reported_instance_url,
            billing_problem,
            link_operation: link_operation.map(Into::into),
            cancel_at: cancel_at.map(time_text::short),
            current_period_end: current_period_end.map(time_text::short),
            collection_pause: collection_pause.map(Into::into),
            reporting_state: watch.state.map(ReportingState::word),
            report_due_at: watch.due_at.map(time_text::short),
            held_report_count: (watch.held_count > 0).then_some(watch.held_count),
            source_network,
            ignored_at: ignored_at.map(time_text::short),
        };
        if !is_linked {
            return Self::Pending(PendingJson {
                id,
                name,
                instance_url,
                subscription_status: words::status(subscription_status),
                created_at,
                more,
            });
        }
        Self::Linked(LinkedJson {
            id,
            name,
            instance_url,
            stripe_customer_id,
            stripe_subscription_id,
            deployment_type: words::deployment_type(deployment_type),
            plan_type: words::plan_type(plan_type),
            subscription_status: words::status(subscription_status),
            admin_email,
            created_at,
            trial_end: trial_end.map(time_text::short),
            more,
        })
    }
}

/// A pause of collection: Stripe makes invoices that nobody is asked to pay.
#[derive(Serialize, ToSchema)]
#[schema(as = CollectionPause)]
struct CollectionPauseJson {
    /// What Stripe does with them: `void`, `keep_as_draft` or `mark_uncollectible`.
    behavior: &'static str,
    /// When it was first seen here; it may have begun before.
    #[schema(format = DateTime)]
    since: String,
    /// When Stripe ends it by itself; null if a person has to.
    #[schema(format = DateTime)]
    resumes_at: Option<String>,
}

impl From<CollectionPause> for CollectionPauseJson {
    fn from(pause: CollectionPause) -> Self {
        let CollectionPause {
            behavior,
            since,
            resumes_at,
        } = pause;
        Self {
            behavior: words::collection_pause(behavior),
            since: time_text::short(since),
            resumes_at: resumes_at.map(time_text::short),
        }
    }
}

/// An organization in the answer to its link: exactly the specification's sample.
#[derive(Serialize, ToSchema)]
#[schema(as = JustLinkedOrganization)]
pub(super) struct JustLinkedJson {
    id: Uuid,
    name: String,
    stripe_customer_id: Option<String>,
    stripe_subscription_id: Option<String>,
    #[schema(schema_with = schema_words::statuses)]
    subscription_status: &'static str,
    #[schema(format = DateTime)]
    trial_end: Option<String>,
}

impl From<Organization> for JustLinkedJson {
    fn from(organization: Organization) -> Self {
        Self {
            id: organization.id,
            name: organization.name,
            stripe_customer_id: organization.stripe_customer_id,
            stripe_subscription_id: organization.stripe_subscription_id,
            subscription_status: words::status(organization.subscription_status),
            trial_end: organization.trial_end.map(time_text::short),
        }
    }
}

/// A link as it was asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = LinkOperation)]
pub(super) struct LinkOperationJson {
    id: Uuid,
    #[schema(schema_with = schema_words::link_kinds)]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema_words::cancel_modes)]
    cancel_mode: Option<&'static str>,
    #[schema(schema_with = schema_words::link_states)]
    state: &'static str,
    #[schema(format = DateTime)]
    created_at: String,
    error: Option<TroubleJson>,
}

impl From<LinkOperation> for LinkOperationJson {
    fn from(operation: LinkOperation) -> Self {
        let LinkOperation {
            id,
            kind,
            state,
            created_at,
            error,
        } = operation;
        Self {
            id,
            kind: kind.word(),
            cancel_mode: match kind {
                LinkKind::Link | LinkKind::Update => None,
                LinkKind::Cancel(mode) => words::cancel_mode(mode),
            },
            state: state.word(),
            created_at: time_text::short(created_at),
            error: error.map(Into::into),
        }
    }
}

/// What went wrong on the way to Stripe.
#[derive(Serialize, ToSchema)]
#[schema(as = Trouble)]
pub(super) struct TroubleJson {
    code: String,
    message: String,
}

impl From<Trouble> for TroubleJson {
    fn from(Trouble { code, message }: Trouble) -> Self {
        Self { code, message }
    }
}

/// How many organizations there are, whatever the filters.
#[derive(Serialize, ToSchema)]
#[schema(as = OrganizationsSummary)]
pub(super) struct SummaryJson {
    total: i64,
    linked: i64,
    pending: i64,
}

impl From<Summary> for SummaryJson {
    fn from(summary: Summary) -> Self {
        let Summary {
            total,
            linked,
            pending,
            // The specification's summary has the sums alone; the others stand beside.
            ignored: _,
            by_status: _,
            collection_paused: _,
            counted_at: _,
        } = summary;
        Self {
            total,
            linked,
            pending,
        }
    }
}

/// A report as it is recorded.
#[derive(Serialize, ToSchema)]
#[schema(as = UsageReport)]
pub(super) struct UsageReportJson {
    id: Uuid,
    user_count: i64,
    /// `unassigned` while the organization was pending.
    #[schema(schema_with = schema_words::recorded_deployment_types)]
    deployment_type: &'static str,
    #[schema(format = DateTime)]
    reported_at: String,
    #[schema(format = DateTime)]
    received_at: Option<String>,
    /// Where it is on its way to Stripe.
    #[schema(schema_with = schema_words::deliveries)]
    delivery_state: &'static str,
    stripe_meter_event_id: Option<String>,
    error: Option<TroubleJson>,
    /// Whether it counts: it is not held, was not discarded, and is not to be held once it could be sent.
    counts: bool,
    /// Whether it counts though its count is below half of the baseline.
    count_low: bool,
    /// The baseline that its count was compared with, where that was unusual.
    baseline_user_count: Option<i64>,
}

impl From<UsageReport> for UsageReportJson {
    fn from(report: UsageReport) -> Self {
        let UsageReport {
            id,
            user_count,
            deployment_type,
            reported_at,
            received_at,
            delivery,
            stripe_meter_event_id,
            error,
            counts,
            is_low,
            baseline,
        } = report;
        Self {
            id,
            user_count,
            // The word that the table has for a report of a pending organization.
            deployment_type: words::deployment_type(deployment_type).unwrap_or("unassigned"),
            reported_at: time_text::short(reported_at),
            received_at: received_at.map(time_text::short),
            delivery_state: delivery.word(),
            stripe_meter_event_id,
            error: error.map(Into::into),
            counts,
            count_low: is_low,
            baseline_user_count: baseline,
        }
    }
}
