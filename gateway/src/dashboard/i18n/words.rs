//! What the contract's words, and faults, are called in a catalogue.

use billing_proto::common::v1::{
    ApiKeyAccess, DeliveryState, DeploymentType, ErrorReason, FindingKind, LinkOperationState,
    NoticeState, PlanType, SubscriptionStatus, WebhookEventState,
};

use super::messages::{ACTIONS, Messages, NOTICE_KINDS};

impl Messages {
    /// How an organization stands.
    pub(in crate::dashboard) fn status_word(&self, status: SubscriptionStatus) -> &'static str {
        match status {
            SubscriptionStatus::Unspecified => self.words.unknown,
            SubscriptionStatus::Pending => self.words.pending,
            SubscriptionStatus::Trial => self.words.trial,
            SubscriptionStatus::Active => self.words.active,
            SubscriptionStatus::PastDue => self.words.past_due,
            SubscriptionStatus::Unpaid => self.words.unpaid,
            SubscriptionStatus::Incomplete => self.words.incomplete,
            SubscriptionStatus::IncompleteExpired => self.words.expired,
            SubscriptionStatus::Paused => self.words.paused,
            SubscriptionStatus::Canceled => self.words.canceled,
        }
    }

    /// A plan.
    pub(in crate::dashboard) fn plan_word(&self, plan: PlanType) -> &'static str {
        match plan {
            PlanType::Unspecified => self.nothing,
            PlanType::ManagedCloud => self.words.plan_managed,
            PlanType::SelfHosted => self.words.plan_self_hosted,
        }
    }

    /// A deployment type.
    pub(in crate::dashboard) fn deployment_word(&self, deployment: DeploymentType) -> &'static str {
        match deployment {
            DeploymentType::Unspecified => self.nothing,
            DeploymentType::OnPremise => self.words.on_premise,
            DeploymentType::ManagedCloud => self.words.managed_cloud,
        }
    }

    /// Where a report is on its way to Stripe.
    pub(in crate::dashboard) fn delivery_word(&self, delivery: DeliveryState) -> &'static str {
        match delivery {
            DeliveryState::Unspecified => self.words.unknown,
            DeliveryState::Waiting => self.words.waiting,
            DeliveryState::Queued => self.words.queued,
            DeliveryState::Sent => self.words.sent,
            DeliveryState::Superseded => self.words.superseded,
            DeliveryState::Refused => self.words.refused,
            DeliveryState::NotBilled => self.words.not_billed,
            DeliveryState::TooLate => self.words.too_late,
            DeliveryState::Held => self.words.held,
            DeliveryState::MissedInvoice => self.words.missed_invoice,
        }
    }

    /// Where an operation is.
    pub(in crate::dashboard) fn operation_word(&self, state: LinkOperationState) -> &'static str {
        match state {
            LinkOperationState::Unspecified => self.words.unknown,
            LinkOperationState::Running => self.words.running,
            LinkOperationState::Succeeded => self.words.succeeded,
            LinkOperationState::Refused => self.words.refused,
        }
    }

    /// What an action of the audit trail is called; `None` of one that is newer than this gateway.
    pub(in crate::dashboard) fn action_word(&self, action: &str) -> Option<&'static str> {
        let at = ACTIONS.iter().position(|known| *known == action)?;
        self.actions.get(at).copied()
    }

    /// What an API key may do.
    pub(in crate::dashboard) fn access_word(&self, access: ApiKeyAccess) -> &'static str {
        match access {
            ApiKeyAccess::Unspecified => self.words.unknown,
            ApiKeyAccess::ReadOnly => self.access_read,
            ApiKeyAccess::Full => self.access_full,
        }
    }

    /// What became of an event that Stripe sent; of no state the word for all.
    pub(in crate::dashboard) fn webhook_word(&self, state: WebhookEventState) -> &'static str {
        match state {
            WebhookEventState::Unspecified => self.any,
            WebhookEventState::Queued => self.event_queued,
            WebhookEventState::Processed => self.event_processed,
            WebhookEventState::Ignored => self.event_ignored,
            WebhookEventState::Dead => self.event_dead,
        }
    }

    /// What became of a notice that is not sent; of no state the word for all.
    pub(in crate::dashboard) fn notice_state_word(&self, state: NoticeState) -> &'static str {
        match state {
            NoticeState::Unspecified => self.any,
            NoticeState::Queued => self.notice_queued,
            NoticeState::GivenUp => self.notice_given_up,
        }
    }

    /// What a notice tells of; `None` of a kind that is newer than this gateway.
    pub(in crate::dashboard) fn notice_kind_word(&self, kind: &str) -> Option<&'static str> {
        let at = NOTICE_KINDS.iter().position(|known| *known == kind)?;
        self.notice_kinds.get(at).copied()
    }

    /// What differs.
    pub(in crate::dashboard) fn finding_word(&self, kind: FindingKind) -> &'static str {
        match kind {
            FindingKind::Unspecified => self.words.unknown,
            FindingKind::MeterDay => self.finding_day,
            FindingKind::MissedInvoice => self.finding_missed,
            FindingKind::Invoice => self.finding_invoice,
        }
    }

    /// What a fault is called, and what it means to whoever meets it.
    pub(in crate::dashboard) fn fault(&self, reason: ErrorReason) -> (&'static str, &'static str) {
        match reason {
            ErrorReason::OrganizationNotFound
            | ErrorReason::ApiKeyNotFound
            | ErrorReason::ReportNotFound
            | ErrorReason::NotFound => (self.not_found, self.not_found_text),
            ErrorReason::PermissionDenied => (self.not_allowed, self.not_admin),
            ErrorReason::UserBanned => (self.not_allowed, self.banned),
            ErrorReason::SecondFactorNeeded => (self.not_allowed, self.second_factor),
            ErrorReason::OriginNotTrusted
            | ErrorReason::ApiKeyReadOnly
            | ErrorReason::SessionRequired => (self.not_allowed, self.not_allowed_text),
            ErrorReason::Unauthenticated => (self.sign_in, self.sign_in_intro),
            ErrorReason::Unavailable | ErrorReason::DeadlineExceeded => {
                (self.not_now, self.not_now_text)
            }
            ErrorReason::RateLimited => (self.not_now, self.too_many_text),
            ErrorReason::InvalidArgument
            | ErrorReason::MalformedBody
            | ErrorReason::UnsupportedEncoding
            | ErrorReason::BodyTooLarge
            | ErrorReason::ReportSignatureInvalid
            | ErrorReason::SignatureInvalid => (self.does_not_work, self.does_not_work_text),
            ErrorReason::ReportConflict
            | ErrorReason::ReportNotReplaceable
            | ErrorReason::ReportNotRetryable
            | ErrorReason::LinkConflict
            | ErrorReason::StripeRefused
            | ErrorReason::PriceNotFound => (self.cannot_be_done, self.cannot_be_done_text),
            ErrorReason::Unspecified | ErrorReason::CallerNotAdmitted | ErrorReason::Internal => {
                (self.our_fault, self.our_fault_text)
            }
        }
    }
}
