//! Organizations as the specification's JSON, made of the messages of `billing.admin.v1`.

use billing_kit::Fault;
use billing_proto::{
    admin::v1::{LinkOperation, Organization, OrganizationsSummary},
    common::v1::CollectionPause,
};
use prost_types::Timestamp;
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema, schema::AnyOfBuilder},
};

use super::openapi::words as schema_words;
use crate::domain::{
    organization::is_linked,
    time_text,
    words::{self, filled},
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
    #[schema(value_type = Uuid)]
    id: String,
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
    #[schema(value_type = Uuid)]
    id: String,
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
    reporting_state: Option<String>,
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

impl TryFrom<Organization> for OrganizationJson {
    type Error = Fault;

    fn try_from(organization: Organization) -> Result<Self, Fault> {
        let (deployment_type, plan_type) =
            (organization.deployment_type(), organization.plan_type());
        let subscription_status = words::status(organization.subscription_status());
        let more = MoreJson::try_from(&organization)?;
        let is_linked = is_linked(&organization);
        let Organization {
            id,
            name,
            instance_url,
            stripe_customer_id,
            stripe_subscription_id,
            deployment_type: _,
            plan_type: _,
            subscription_status: _,
            trial_end_time,
            admin_email,
            create_time,
            // `MoreJson` has these.
            user_count: _,
            last_report_time: _,
            reported_name: _,
            reported_instance_url: _,
            billing_problem: _,
            link_operation: _,
            cancel_time: _,
            current_period_start_time: _,
            current_period_end_time: _,
            collection_pause: _,
            reporting_state: _,
            report_due_time: _,
            held_report_count: _,
            source_network: _,
            ignore_time: _,
        } = organization;
        let instance_url = filled(instance_url);
        let created_at = time(create_time).ok_or_else(|| lacking("create_time"))?;
        if !is_linked {
            return Ok(Self::Pending(PendingJson {
                id,
                name,
                instance_url,
                subscription_status,
                created_at,
                more,
            }));
        }
        Ok(Self::Linked(LinkedJson {
            id,
            name,
            instance_url,
            stripe_customer_id: filled(stripe_customer_id),
            stripe_subscription_id: filled(stripe_subscription_id),
            deployment_type: words::deployment_type(deployment_type),
            plan_type: words::plan_type(plan_type),
            subscription_status,
            admin_email: filled(admin_email),
            created_at,
            trial_end: time(trial_end_time),
            more,
        }))
    }
}

impl TryFrom<&Organization> for MoreJson {
    type Error = Fault;

    fn try_from(organization: &Organization) -> Result<Self, Fault> {
        let text = |text: &String| filled(text.clone());
        let operation = organization.link_operation.clone();
        let pause = organization.collection_pause;
        let held_report_count = organization.held_report_count;
        Ok(Self {
            user_count: organization.user_count,
            last_report_at: time(organization.last_report_time),
            reported_name: text(&organization.reported_name),
            reported_instance_url: text(&organization.reported_instance_url),
            billing_problem: text(&organization.billing_problem),
            link_operation: operation.map(TryInto::try_into).transpose()?,
            cancel_at: time(organization.cancel_time),
            current_period_end: time(organization.current_period_end_time),
            collection_pause: pause.map(TryInto::try_into).transpose()?,
            reporting_state: words::reporting_state(organization.reporting_state()),
            report_due_at: time(organization.report_due_time),
            held_report_count: (held_report_count > 0).then_some(held_report_count),
            source_network: text(&organization.source_network),
            ignored_at: time(organization.ignore_time),
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

impl TryFrom<CollectionPause> for CollectionPauseJson {
    type Error = Fault;

    fn try_from(pause: CollectionPause) -> Result<Self, Fault> {
        Ok(Self {
            behavior: words::collection_pause(pause.behavior()),
            since: time(pause.first_seen_time).ok_or_else(|| lacking("first_seen_time"))?,
            resumes_at: time(pause.resume_time),
        })
    }
}

/// An organization in the answer to its link: exactly the specification's sample.
#[derive(Serialize, ToSchema)]
#[schema(as = JustLinkedOrganization)]
pub(super) struct JustLinkedJson {
    #[schema(value_type = Uuid)]
    id: String,
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
        let subscription_status = words::status(organization.subscription_status());
        Self {
            id: organization.id,
            name: organization.name,
            stripe_customer_id: filled(organization.stripe_customer_id),
            stripe_subscription_id: filled(organization.stripe_subscription_id),
            subscription_status,
            trial_end: time(organization.trial_end_time),
        }
    }
}

/// A link as it was asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = LinkOperation)]
pub(super) struct LinkOperationJson {
    #[schema(value_type = Uuid)]
    id: String,
    #[schema(schema_with = schema_words::link_kinds)]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema_words::cancel_modes)]
    cancel_mode: Option<&'static str>,
    #[schema(schema_with = schema_words::link_states)]
    state: String,
    #[schema(format = DateTime)]
    created_at: String,
    error: Option<TroubleJson>,
}

impl TryFrom<LinkOperation> for LinkOperationJson {
    type Error = Fault;

    fn try_from(operation: LinkOperation) -> Result<Self, Fault> {
        let kind = words::link_kind(operation.kind());
        let state = words::link_state(operation.state());
        let cancel_mode = words::cancel_mode(operation.cancel_mode());
        let LinkOperation {
            id,
            state: _,
            create_time,
            error_code,
            error_message,
            kind: _,
            cancel_mode: _,
        } = operation;
        let is_wrong = !error_code.is_empty() || !error_message.is_empty();
        Ok(Self {
            id,
            kind: kind.ok_or_else(|| lacking("kind"))?,
            cancel_mode,
            state: state.ok_or_else(|| lacking("state"))?,
            created_at: time(create_time).ok_or_else(|| lacking("create_time"))?,
            error: is_wrong.then_some(TroubleJson {
                code: error_code,
                message: error_message,
            }),
        })
    }
}

/// What went wrong on the way to Stripe.
#[derive(Serialize, ToSchema)]
#[schema(as = Trouble)]
pub(super) struct TroubleJson {
    code: String,
    message: String,
}

/// How many organizations there are, whatever the filters.
#[derive(Serialize, ToSchema)]
#[schema(as = OrganizationsSummary)]
pub(super) struct SummaryJson {
    total: i64,
    linked: i64,
    pending: i64,
}

impl From<&OrganizationsSummary> for SummaryJson {
    fn from(summary: &OrganizationsSummary) -> Self {
        // The specification's summary has the sums alone; the others stand beside.
        Self {
            total: summary.total_count,
            linked: summary.linked_count,
            pending: summary.pending_count,
        }
    }
}

pub(super) fn time(time: Option<Timestamp>) -> Option<String> {
    time_text::known(time).map(time_text::short)
}

fn lacking(field: &str) -> Fault {
    Fault::internal(format!("an answer lacks {field}"))
}
