//! The use cases that ask several services, or keep a rule of the gateway's own; one file per verb. What
//! only one service knows is passed on by `grpc::admin_service`.
//!
//! Architecture invariant: nothing here knows who asked. There is no HTTP, HTML or JSON.

mod authenticate_admin;
mod batch_get_organizations;
mod cancel_subscription;
mod change_password;
mod create_portal_session;
mod get_organization;
mod get_reconciliation;
mod get_session;
mod get_signing_keys;
mod link_organization;
mod list_by_reporting;
mod list_held_groups;
mod list_held_reports;
mod list_invoices;
mod list_organizations;
mod list_refused_reports;
mod list_usage_reports;
mod preview_link;
mod receive_webhook;
mod report_usage;
mod retry_report;
mod sign_in;
mod sign_out;
mod translate;
mod unlink_organization;
mod update_subscription;

use billing_kit::Clock;

use crate::{upstream::Upstream, worker::report_queue::ReportQueue};

pub(crate) use authenticate_admin::Admin;
pub(crate) use change_password::{NewPassword, PasswordChange};
pub(crate) use get_session::{CurrentSession, Session, User};
pub(crate) use list_invoices::InvoicePage;
pub(crate) use list_organizations::{ListPage, Overview, OverviewRequest, PageRequest, is_away};
pub(crate) use report_usage::Recorded;
pub(crate) use sign_in::{Credentials, SignInClient, SignedIn};

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

    /// The services behind the gateway.
    pub(crate) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// The time, for what is shown.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }
}
