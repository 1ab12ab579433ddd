//! What can be asked of the gateway, one file per verb. REST, the dashboard and gRPC are three thin
//! faces on these functions.
//!
//! Architecture invariant: nothing here knows which face asked. There is no HTTP, HTML or JSON, and
//! no message of `billing.admin.v1`.

mod authenticate_admin;
mod batch_get_organizations;
mod cancel_subscription;
mod change_password;
mod create_api_key;
mod create_portal_session;
mod discard_reports;
mod dismiss_finding;
mod get_intake;
mod get_organization;
mod get_reconciliation;
mod get_reporting_summary;
mod get_session;
mod get_signing_keys;
mod held_groups;
mod ignore_organizations;
mod link_organization;
mod list_api_keys;
mod list_audit_events;
mod list_by_reporting;
mod list_findings;
mod list_held_reports;
mod list_invoices;
mod list_meter_errors;
mod list_notices;
mod list_organizations;
mod list_refused_reports;
mod list_usage_reports;
mod list_webhook_events;
mod pin_signing_key;
mod preview_link;
mod receive_webhook;
mod release_reports;
mod replace_report;
mod report_usage;
mod reset_signing_key;
mod retry_report;
mod retry_webhook_event;
mod revoke_api_key;
mod sign_in;
mod sign_out;
mod translate;
mod unlink_organization;
mod update_subscription;

use billing_kit::Clock;

use crate::{upstream::Upstream, worker::report_queue::ReportQueue};

pub(crate) use authenticate_admin::Admin;
pub(crate) use change_password::{NewPassword, PasswordChange};
pub(crate) use create_api_key::CreatedApiKey;
pub(crate) use get_session::{CurrentSession, Session, User};
pub(crate) use link_organization::Link;
pub(crate) use list_api_keys::ApiKeyPage;
pub(crate) use list_audit_events::AuditPage;
pub(crate) use list_findings::FindingsPage;
pub(crate) use list_held_reports::{HeldFilter, HeldReportPage};
pub(crate) use list_invoices::InvoicePage;
pub(crate) use list_meter_errors::MeterErrorPage;
pub(crate) use list_notices::NoticePage;
pub(crate) use list_organizations::{ListPage, Overview, OverviewRequest, PageRequest};
pub(crate) use list_refused_reports::RefusedReportPage;
pub(crate) use list_usage_reports::UsageReportPage;
pub(crate) use list_webhook_events::WebhookEventPage;
pub(crate) use report_usage::Recorded;
pub(crate) use sign_in::{Credentials, SignInClient, SignedIn};
pub(crate) use update_subscription::Change;

/// What every verb needs.
#[derive(Debug, Clone)]
pub(crate) struct App {
    upstream: Upstream,
    reports: ReportQueue,
    clock: Clock,
}

impl App {
    /// Verbs on these services, with reports going into this queue.
    pub(crate) fn new(upstream: Upstream, reports: ReportQueue, clock: Clock) -> Self {
        Self {
            upstream,
            reports,
            clock,
        }
    }

    /// The time, for what is shown.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }
}
