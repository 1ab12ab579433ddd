//! What went wrong, once for the caller and once for the log.
//!
//! A [`Fault`] carries a reason, a public sentence and perhaps the fields at fault for the caller;
//! its cause stays here and is logged once, at the edge, when the fault becomes a status. No other
//! module makes statuses of its own for what went wrong.

use std::{error::Error, fmt, time::Duration};

use billing_proto::common::v1::{ErrorReason, FieldViolation};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The `domain` of every `google.rpc.ErrorInfo` of ours.
pub const ERROR_DOMAIN: &str = "billing.vaultai.eu";

/// When to come back, where nothing better is known.
pub const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(2);

type Cause = Box<dyn Error + Send + Sync>;

/// One field that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field, as the caller wrote it.
    pub field: String,
    /// What is wrong with it, as a sentence.
    pub message: String,
}

impl Violation {
    /// A field and what is wrong with it.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

impl From<Violation> for FieldViolation {
    fn from(Violation { field, message }: Violation) -> Self {
        Self { field, message }
    }
}

impl From<FieldViolation> for Violation {
    fn from(FieldViolation { field, message }: FieldViolation) -> Self {
        Self { field, message }
    }
}

/// Why a request failed.
#[derive(Debug)]
pub struct Fault {
    /// The reason, for programs.
    pub reason: ErrorReason,
    /// The reason, for the caller's eyes.
    pub message: String,
    /// Every field at fault.
    pub violations: Vec<Violation>,
    /// When the same request may be sent again.
    pub retry_after: Option<Duration>,
    /// Facts for programs beside the reason, for example `stripe_code`.
    pub metadata: Vec<(&'static str, String)>,
    cause: Option<Cause>,
    is_logged: bool,
}

impl Fault {
    /// A fault with its public sentence.
    pub fn new(reason: ErrorReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            violations: Vec::new(),
            retry_after: None,
            metadata: Vec::new(),
            cause: None,
            is_logged: false,
        }
    }

    /// One or more fields are at fault.
    pub fn invalid(violations: Vec<Violation>) -> Self {
        let names: Vec<_> = violations.iter().map(|v| v.field.as_str()).collect();
        let message = format!("These fields are invalid: {}.", names.join(", "));
        Self {
            violations,
            ..Self::new(ErrorReason::InvalidArgument, message)
        }
    }

    /// We are at fault. The cause goes to the log alone.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::new(ErrorReason::Internal, "Something is wrong on our side.").caused_by(cause)
    }

    /// A part that is needed cannot be reached now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self {
            retry_after: Some(RETRY_AFTER_DEFAULT),
            ..Self::new(ErrorReason::Unavailable, message)
        }
    }

    /// The same fault with its cause, for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Cause>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The same fault with one more fact for programs.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.metadata.push((key, value.into()));
        self
    }

    /// The fault that a called service answered with: its reason and public text, as they were.
    pub fn from_status(status: Status) -> Self {
        let details = status.get_error_details();
        let reason = details
            .error_info()
            .filter(|info| info.domain == ERROR_DOMAIN)
            .and_then(|info| ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason)))
            .unwrap_or_else(|| reason_of(status.code()));
        if reason == ErrorReason::CallerNotAdmitted {
            // It is our own identity that is not let in: whoever asked us can do nothing about it,
            // and must not take it for a word about themselves.
            return Self::internal(status);
        }
        let ours = details
            .error_info()
            .is_some_and(|info| info.domain == ERROR_DOMAIN);
        let message = if ours {
            status.message().to_owned()
        } else {
            message_of(reason).to_owned()
        };
        let violations = details.bad_request().map_or_else(Vec::new, |bad| {
            bad.field_violations
                .iter()
                .map(|v| Violation::new(v.field.clone(), v.description.clone()))
                .collect()
        });
        let retry_after = details.retry_info().and_then(|info| info.retry_delay);
        Self {
            violations,
            retry_after,
            ..Self::new(reason, message)
        }
        .caused_by(status)
    }

    /// The same fault, where the log has it already: it came from a handler within this process.
    #[must_use]
    pub fn logged(mut self) -> Self {
        self.is_logged = true;
        self
    }

    /// Writes the fault to the log: loud where it is ours, quiet where it is the caller's. Nothing is
    /// written twice.
    pub fn log(&self) {
        if self.is_logged {
            return;
        }
        let cause = self
            .cause
            .as_ref()
            .map(|cause| Chain(cause.as_ref()).to_string());
        match severity(self.reason) {
            Severity::Ours => {
                tracing::error!(reason = ?self.reason, cause, "{}", self.message);
            }
            Severity::Passing => {
                tracing::warn!(reason = ?self.reason, cause, "{}", self.message);
            }
            Severity::Callers => {
                tracing::debug!(reason = ?self.reason, cause, "{}", self.message);
            }
        }
    }

    /// The status that the caller gets, with `google.rpc` details; the cause is logged here.
    pub fn into_status(self) -> Status {
        self.log();
        let mut details = ErrorDetails::new();
        let reason = self
            .reason
            .as_str_name()
            .trim_start_matches("ERROR_REASON_");
        let metadata = self
            .metadata
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value));
        details.set_error_info(
            reason,
            ERROR_DOMAIN,
            metadata.collect::<std::collections::HashMap<_, _>>(),
        );
        for violation in self.violations {
            details.add_bad_request_violation(violation.field, violation.message);
        }
        if let Some(delay) = self.retry_after {
            details.set_retry_info(Some(delay));
        }
        Status::with_error_details(code_of(self.reason), self.message, details)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().map(|cause| {
            let cause: &(dyn Error + 'static) = cause.as_ref();
            cause
        })
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        fault.into_status()
    }
}

/// An error and everything behind it, on one line.
struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            write!(f, ": {error}")?;
            next = error.source();
        }
        Ok(())
    }
}

enum Severity {
    Ours,
    Passing,
    Callers,
}

fn severity(reason: ErrorReason) -> Severity {
    match reason {
        ErrorReason::Unspecified | ErrorReason::Internal | ErrorReason::CallerNotAdmitted => {
            Severity::Ours
        }
        // Stripe goes on sending what is not believed, and nobody else sees why.
        ErrorReason::Unavailable
        | ErrorReason::DeadlineExceeded
        | ErrorReason::StripeRefused
        | ErrorReason::PriceNotFound
        | ErrorReason::SignatureInvalid => Severity::Passing,
        ErrorReason::InvalidArgument
        | ErrorReason::MalformedBody
        | ErrorReason::UnsupportedEncoding
        | ErrorReason::BodyTooLarge
        | ErrorReason::Unauthenticated
        | ErrorReason::PermissionDenied
        | ErrorReason::UserBanned
        | ErrorReason::SecondFactorNeeded
        | ErrorReason::ApiKeyReadOnly
        | ErrorReason::SessionRequired
        | ErrorReason::OriginNotTrusted
        | ErrorReason::OrganizationNotFound
        | ErrorReason::ApiKeyNotFound
        | ErrorReason::ReportNotFound
        | ErrorReason::NotFound
        | ErrorReason::ReportConflict
        | ErrorReason::ReportNotReplaceable
        | ErrorReason::ReportNotRetryable
        | ErrorReason::ReportSignatureInvalid
        | ErrorReason::LinkConflict
        | ErrorReason::RateLimited => Severity::Callers,
    }
}

/// The gRPC code of each reason.
fn code_of(reason: ErrorReason) -> Code {
    match reason {
        ErrorReason::InvalidArgument
        | ErrorReason::MalformedBody
        | ErrorReason::UnsupportedEncoding
        | ErrorReason::BodyTooLarge
        | ErrorReason::ReportSignatureInvalid
        | ErrorReason::SignatureInvalid => Code::InvalidArgument,
        ErrorReason::Unauthenticated => Code::Unauthenticated,
        ErrorReason::PermissionDenied
        | ErrorReason::CallerNotAdmitted
        | ErrorReason::UserBanned
        | ErrorReason::SecondFactorNeeded
        | ErrorReason::ApiKeyReadOnly
        | ErrorReason::SessionRequired
        | ErrorReason::OriginNotTrusted => Code::PermissionDenied,
        ErrorReason::OrganizationNotFound
        | ErrorReason::ApiKeyNotFound
        | ErrorReason::ReportNotFound => Code::NotFound,
        ErrorReason::NotFound => Code::Unimplemented,
        ErrorReason::ReportConflict | ErrorReason::LinkConflict => Code::AlreadyExists,
        ErrorReason::StripeRefused
        | ErrorReason::PriceNotFound
        | ErrorReason::ReportNotReplaceable
        | ErrorReason::ReportNotRetryable => Code::FailedPrecondition,
        ErrorReason::Unavailable => Code::Unavailable,
        ErrorReason::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorReason::RateLimited => Code::ResourceExhausted,
        ErrorReason::Unspecified | ErrorReason::Internal => Code::Internal,
    }
}

/// What a status of foreign make (a proxy's, the transport's) means to us.
fn reason_of(code: Code) -> ErrorReason {
    match code {
        Code::InvalidArgument | Code::OutOfRange => ErrorReason::InvalidArgument,
        Code::Unauthenticated => ErrorReason::Unauthenticated,
        Code::ResourceExhausted => ErrorReason::RateLimited,
        // The transport says CANCELLED when its own time-out ends a call.
        Code::DeadlineExceeded | Code::Cancelled => ErrorReason::DeadlineExceeded,
        // Our own faults carry our details. Without them these are what the transport makes of a
        // connection that broke in the middle.
        Code::Unavailable | Code::Aborted | Code::Unknown | Code::Internal => {
            ErrorReason::Unavailable
        }
        Code::Unimplemented | Code::NotFound => ErrorReason::NotFound,
        // Who may do what is our services' to say. Anybody else who denies a call, such as a proxy,
        // means our process and not the person behind it.
        Code::PermissionDenied
        | Code::Ok
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::DataLoss => ErrorReason::Internal,
    }
}

fn message_of(reason: ErrorReason) -> &'static str {
    match reason {
        ErrorReason::Unavailable => "A part that is needed cannot be reached now.",
        ErrorReason::DeadlineExceeded => "There was no answer in time.",
        ErrorReason::Unauthenticated => "The credentials are missing or invalid.",
        ErrorReason::PermissionDenied => "This is not permitted.",
        ErrorReason::NotFound => "Nothing was found.",
        ErrorReason::RateLimited => "There are too many requests.",
        ErrorReason::InvalidArgument => "The request is not valid.",
        ErrorReason::Unspecified
        | ErrorReason::MalformedBody
        | ErrorReason::UnsupportedEncoding
        | ErrorReason::BodyTooLarge
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
        | ErrorReason::ReportSignatureInvalid
        | ErrorReason::SignatureInvalid
        | ErrorReason::CallerNotAdmitted
        | ErrorReason::UserBanned
        | ErrorReason::SecondFactorNeeded
        | ErrorReason::Internal => "Something is wrong on our side.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_survives_the_wire_without_its_cause() {
        let fault = Fault::invalid(vec![Violation::new("user_count", "It is negative.")])
            .caused_by("secret detail")
            .with("hint", "x");
        let status = fault.into_status();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(!format!("{status:?}").contains("secret detail"));
        let back = Fault::from_status(status);
        assert_eq!(back.reason, ErrorReason::InvalidArgument);
        assert_eq!(
            back.violations,
            [Violation::new("user_count", "It is negative.")]
        );
    }

    /// A gateway with the wrong certificate told people that they were no admins.
    #[test]
    fn that_a_service_is_not_let_in_is_no_word_about_who_asked_it() {
        let closed = Fault::new(
            ErrorReason::CallerNotAdmitted,
            "You may not call this method.",
        );
        let status = closed.into_status();
        assert_eq!(status.code(), Code::PermissionDenied);
        assert_eq!(Fault::from_status(status).reason, ErrorReason::Internal);
    }

    #[test]
    fn a_foreign_status_tells_the_caller_nothing_of_ours() {
        let fault = Fault::from_status(Status::unavailable("tcp connect error: 10.0.0.7"));
        assert_eq!(fault.reason, ErrorReason::Unavailable);
        assert!(!fault.message.contains("10.0.0.7"));
    }
}
