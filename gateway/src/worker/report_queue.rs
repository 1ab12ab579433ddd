//! Coalesces concurrent usage reports: one request to ingest-svc carries whatever is waiting.
//!
//! Nobody waits for a batch to fill. A few senders take what is there now and send it; while they
//! are away the next batch gathers by itself, so batches are of one report when it is quiet, and as
//! large as they need to be when it is not.
//!
//! Architecture invariant: a report that is in the queue is sent, whether or not its client is still
//! there; and what happens to one client changes nothing for the others of its batch.

use std::sync::Arc;

use billing_kit::{Fault, client::ServiceChannel, context::RequestContext};
use billing_proto::{
    common::v1::ErrorReason,
    ingest::v1::{
        ReportOutcome, ReportUsageRequest, UsageReport,
        usage_report_service_client::UsageReportServiceClient,
    },
};
use prost::Message;
use tokio::sync::{Mutex, mpsc, oneshot};

/// The most reports that wait to be sent; more are turned away and come again.
pub(crate) const REPORTS_QUEUED_MAX: usize = 8_000;
/// The most reports of one request; ingest-svc takes 1,000.
pub(crate) const REPORTS_PER_BATCH_MAX: usize = 500;
/// The most bytes of one request's reports: half of what a message may have.
const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;
/// How many requests are on their way at once.
pub(crate) const SENDERS: usize = 4;

/// Why a report is not known to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFailure {
    /// Too many are waiting already. It was not sent.
    Full,
    /// ingest-svc could not be reached, or did not answer: it may be recorded or not.
    Unknown,
    /// ingest-svc answered with what no contract allows.
    Broken,
}

impl From<ReportFailure> for Fault {
    fn from(failure: ReportFailure) -> Self {
        match failure {
            ReportFailure::Full => {
                Self::unavailable("There are too many reports now. Send it again later.")
            }
            ReportFailure::Unknown => {
                Self::unavailable("The report is not known to be recorded. Send it again.")
            }
            ReportFailure::Broken => Self::internal("ingest-svc failed; see the batch's own line"),
        }
    }
}

type Answer = Result<ReportOutcome, ReportFailure>;

#[derive(Debug)]
struct Queued {
    report: UsageReport,
    answer: oneshot::Sender<Answer>,
}

/// Where reports wait. A clone is the same queue; once all are gone, its senders end.
#[derive(Debug, Clone)]
pub(crate) struct ReportQueue(mpsc::Sender<Queued>);

/// The senders' end of a queue. A clone is the same end.
#[derive(Debug, Clone)]
pub(crate) struct ReportSender {
    waiting: Arc<Mutex<mpsc::Receiver<Queued>>>,
    ingest: UsageReportServiceClient<ServiceChannel>,
}

/// A queue of at most `capacity` reports that go to `ingest`.
pub(crate) fn report_queue(
    capacity: usize,
    ingest: UsageReportServiceClient<ServiceChannel>,
) -> (ReportQueue, ReportSender) {
    let (queue, waiting) = mpsc::channel(capacity);
    let waiting = Arc::new(Mutex::new(waiting));
    (ReportQueue(queue), ReportSender { waiting, ingest })
}

impl ReportQueue {
    /// Has a report recorded and waits for its outcome.
    ///
    /// # Errors
    /// It is not known to be recorded.
    pub(crate) async fn record(&self, report: UsageReport) -> Result<ReportOutcome, ReportFailure> {
        let (answer, outcome) = oneshot::channel();
        self.0
            .try_send(Queued { report, answer })
            .map_err(|_| ReportFailure::Full)?;
        outcome.await.unwrap_or(Err(ReportFailure::Unknown))
    }
}

impl ReportSender {
    /// Sends until the last [`ReportQueue`] is gone and nothing waits any more.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            // The lock is held while there is nothing to send: whoever waits for it is next.
            let taken = self
                .waiting
                .lock()
                .await
                .recv_many(&mut batch, REPORTS_PER_BATCH_MAX)
                .await;
            if taken == 0 {
                return;
            }
            for part in split(&mut batch) {
                RequestContext::fresh().scope(self.send(part)).await;
            }
        }
    }

    async fn send(&mut self, batch: Vec<Queued>) {
        let (reports, answers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|Queued { report, answer }| (report, answer))
            .unzip();
        let count = reports.len();
        let outcomes = match self
            .ingest
            .report_usage(ReportUsageRequest { reports })
            .await
        {
            Ok(response) => response.into_inner().outcomes,
            Err(status) => {
                let fault = Fault::from_status(status);
                fault.log();
                return answer_all(answers, failure_of(&fault));
            }
        };
        if outcomes.len() != count {
            tracing::error!(
                count,
                outcomes = outcomes.len(),
                "ingest-svc did not answer one outcome per report"
            );
            return answer_all(answers, ReportFailure::Broken);
        }
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // A client that is gone misses its answer and nothing else.
            let _gone = answer.send(Ok(outcome));
        }
    }
}

fn answer_all(answers: Vec<oneshot::Sender<Answer>>, failure: ReportFailure) {
    for answer in answers {
        let _gone = answer.send(Err(failure));
    }
}

/// Takes the batch apart where it would be too large for one message: a few bodies near their limit
/// must not keep the others from being taken.
fn split(batch: &mut Vec<Queued>) -> Vec<Vec<Queued>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut bytes = 0;
    for queued in batch.drain(..) {
        let len = queued.report.encoded_len();
        if bytes + len > BATCH_BYTES_MAX && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += len;
        part.push(queued);
    }
    parts.push(part);
    parts
}

fn failure_of(fault: &Fault) -> ReportFailure {
    match fault.reason {
        ErrorReason::Unavailable | ErrorReason::DeadlineExceeded | ErrorReason::RateLimited => {
            ReportFailure::Unknown
        }
        ErrorReason::Unspecified
        | ErrorReason::InvalidArgument
        | ErrorReason::MalformedBody
        | ErrorReason::UnsupportedEncoding
        | ErrorReason::BodyTooLarge
        | ErrorReason::Unauthenticated
        | ErrorReason::PermissionDenied
        | ErrorReason::CallerNotAdmitted
        | ErrorReason::UserBanned
        | ErrorReason::SecondFactorNeeded
        | ErrorReason::OriginNotTrusted
        | ErrorReason::OrganizationNotFound
        | ErrorReason::NotFound
        | ErrorReason::ReportConflict
        | ErrorReason::ReportNotReplaceable
        | ErrorReason::ReportNotRetryable
        | ErrorReason::LinkConflict
        | ErrorReason::ApiKeyReadOnly
        | ErrorReason::SessionRequired
        | ErrorReason::ApiKeyNotFound
        | ErrorReason::ReportNotFound
        | ErrorReason::StripeRefused
        | ErrorReason::PriceNotFound
        | ErrorReason::ReportSignatureInvalid
        | ErrorReason::SignatureInvalid
        | ErrorReason::Internal => ReportFailure::Broken,
    }
}

#[cfg(test)]
mod tests;
