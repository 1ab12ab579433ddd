//! The services behind the gateway: a client for each kind of call, with its deadline.

use std::time::Duration;

use billing_kit::{
    Fault,
    client::{MESSAGE_BYTES_MAX, ServiceChannel, channel},
    tls::TlsFiles,
};
use billing_proto::{
    common::v1::ErrorReason,
    ingest::v1::{
        held_report_service_client::HeldReportServiceClient,
        reconciliation_service_client::ReconciliationServiceClient,
        reporting_service_client::ReportingServiceClient,
        usage_report_service_client::UsageReportServiceClient,
    },
    org::v1::{
        admin_session_service_client::AdminSessionServiceClient,
        api_key_service_client::ApiKeyServiceClient, audit_service_client::AuditServiceClient,
        notice_service_client::NoticeServiceClient,
        organization_service_client::OrganizationServiceClient,
    },
    stripe::v1::{
        customer_service_client::CustomerServiceClient,
        webhook_service_client::WebhookServiceClient,
    },
};
use tonic::Status;
use url::Url;

/// A batch of reports is recorded, or its fate unknown, within this time.
pub(crate) const REPORT_DEADLINE: Duration = Duration::from_secs(10);
/// What is only read.
const READ_DEADLINE: Duration = Duration::from_secs(5);
/// A sign-in hashes a password, and only a few are hashed at once.
const SIGN_IN_DEADLINE: Duration = Duration::from_secs(10);
/// A webhook is stored within this time, or Stripe sends it again.
const INBOX_DEADLINE: Duration = Duration::from_secs(10);
/// What is asked of Stripe each time: a preview makes several calls.
const STRIPE_DEADLINE: Duration = Duration::from_secs(15);
/// A link waits for Stripe; past this it goes on in the background.
const LINK_DEADLINE: Duration = Duration::from_secs(25);

/// Clients that connect when they are first used. A clone shares the connections.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    /// stripe-svc, to look at what Stripe holds.
    pub customers: CustomerServiceClient<ServiceChannel>,
    /// stripe-svc's inbox.
    pub webhooks: WebhookServiceClient<ServiceChannel>,
    /// ingest-svc, to record.
    pub recording: UsageReportServiceClient<ServiceChannel>,
    /// ingest-svc, to read.
    pub reports: UsageReportServiceClient<ServiceChannel>,
    /// ingest-svc, to read what was compared with Stripe.
    pub reconciliation: ReconciliationServiceClient<ServiceChannel>,
    /// ingest-svc, to read how instances report.
    pub reporting: ReportingServiceClient<ServiceChannel>,
    /// ingest-svc, to look at held reports and decide on them.
    pub held_reports: HeldReportServiceClient<ServiceChannel>,
    /// org-svc, to read.
    pub organizations: OrganizationServiceClient<ServiceChannel>,
    /// org-svc, to link.
    pub linking: OrganizationServiceClient<ServiceChannel>,
    /// org-svc, for the keys of admins' scripts.
    pub api_keys: ApiKeyServiceClient<ServiceChannel>,
    /// org-svc, for who changed what.
    pub audit: AuditServiceClient<ServiceChannel>,
    /// org-svc, for what the operator's own channel was not told.
    pub notices: NoticeServiceClient<ServiceChannel>,
    /// org-svc, for a session that is there.
    pub sessions: AdminSessionServiceClient<ServiceChannel>,
    /// org-svc, where a password is hashed.
    pub sign_in: AdminSessionServiceClient<ServiceChannel>,
}

impl Upstream {
    /// Clients of the services at these addresses.
    ///
    /// # Errors
    /// An address or the certificates cannot be used.
    pub(crate) fn new(
        ingest: &Url,
        org: &Url,
        stripe: &Url,
        tls: Option<&TlsFiles>,
    ) -> Result<Self, String> {
        let ingest = |deadline| channel(ingest, tls, deadline);
        let org = |deadline| channel(org, tls, deadline);
        Ok(Self {
            customers: CustomerServiceClient::new(channel(stripe, tls, STRIPE_DEADLINE)?),
            webhooks: WebhookServiceClient::new(channel(stripe, tls, INBOX_DEADLINE)?),
            recording: UsageReportServiceClient::new(ingest(REPORT_DEADLINE)?)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
            reports: UsageReportServiceClient::new(ingest(READ_DEADLINE)?),
            reconciliation: ReconciliationServiceClient::new(ingest(READ_DEADLINE)?),
            reporting: ReportingServiceClient::new(ingest(READ_DEADLINE)?),
            held_reports: HeldReportServiceClient::new(ingest(READ_DEADLINE)?),
            organizations: OrganizationServiceClient::new(org(READ_DEADLINE)?),
            linking: OrganizationServiceClient::new(org(LINK_DEADLINE)?),
            api_keys: ApiKeyServiceClient::new(org(READ_DEADLINE)?),
            audit: AuditServiceClient::new(org(READ_DEADLINE)?),
            notices: NoticeServiceClient::new(org(READ_DEADLINE)?),
            sessions: AdminSessionServiceClient::new(org(READ_DEADLINE)?),
            sign_in: AdminSessionServiceClient::new(org(SIGN_IN_DEADLINE)?),
        })
    }
}

/// The fault of a call that the gateway made with an assertion just given to it, or as itself. If
/// *that* is not let in, or the method is not there, the caller can do nothing about it: the
/// services' keys, identities or versions do not fit.
pub(crate) fn internal_fault(status: Status) -> Fault {
    let fault = Fault::from_status(status);
    match fault.reason {
        ErrorReason::Unauthenticated | ErrorReason::PermissionDenied | ErrorReason::NotFound => {
            Fault::internal(fault)
        }
        ErrorReason::Unspecified
        | ErrorReason::InvalidArgument
        | ErrorReason::MalformedBody
        | ErrorReason::UnsupportedEncoding
        | ErrorReason::BodyTooLarge
        | ErrorReason::CallerNotAdmitted
        | ErrorReason::UserBanned
        | ErrorReason::SecondFactorNeeded
        | ErrorReason::OriginNotTrusted
        | ErrorReason::ApiKeyReadOnly
        | ErrorReason::SessionRequired
        | ErrorReason::OrganizationNotFound
        | ErrorReason::ApiKeyNotFound
        | ErrorReason::ReportNotFound
        | ErrorReason::ReportConflict
        | ErrorReason::ReportNotReplaceable
        | ErrorReason::ReportNotRetryable
        | ErrorReason::LinkConflict
        | ErrorReason::StripeRefused
        | ErrorReason::PriceNotFound
        | ErrorReason::Unavailable
        | ErrorReason::DeadlineExceeded
        | ErrorReason::RateLimited
        | ErrorReason::ReportSignatureInvalid
        | ErrorReason::SignatureInvalid
        | ErrorReason::Internal => fault,
    }
}

/// Gives a field of the fault the name that our own caller knows it by.
pub(crate) fn rename_field(mut fault: Fault, from: &str, to: &str) -> Fault {
    for violation in &mut fault.violations {
        if violation.field == from {
            to.clone_into(&mut violation.field);
            // The sentence names the fields too.
            fault.message = fault.message.replace(from, to);
        }
    }
    fault
}
