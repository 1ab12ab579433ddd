//! The pages' two languages: one catalogue each, complete by the compiler's word, and what differs
//! between them beside the words: numbers, dates, plurals.
//!
//! Architecture invariant: no sentence for a person stands anywhere else in the dashboard. What comes
//! from Stripe or from the services is shown as it is, and marked as English.

mod en;
mod fr;

use std::{fmt::Write, time::Duration};

use billing_proto::{
    common::v1::{DeploymentType, ErrorReason, PlanType, SubscriptionStatus},
    org::v1::ApiKeyAccess,
    stripe::v1::WebhookEventState,
};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::domain::{organization::LinkState, reconciliation::FindingKind, usage_report::Delivery};

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
    French,
}

/// A text with a number in it, `{n}`, for one and for several. French says one of zero, too.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    pub(super) one: &'static str,
    pub(super) other: &'static str,
}

impl Language {
    pub(super) const ALL: [Self; 2] = [Self::French, Self::English];

    /// Its code, as HTML and HTTP have it.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
        }
    }

    /// The language of a code.
    pub(super) fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }

    /// Its name in itself.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::French => "Français",
        }
    }

    /// The one of the two that a browser likes better, by its `Accept-Language`; English where it
    /// likes neither.
    pub(super) fn of_browser(accept_language: &str) -> Self {
        let wish = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let language = parts.next()?.split('-').next()?.to_ascii_lowercase();
            let language = Self::from_code(&language)?;
            // In thousandths, as exact as the header may be.
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            let weight = weight.map_or(Some(1000), thousandths)?;
            (weight > 0).then_some((language, weight))
        };
        let mut best: Option<(Self, u32)> = None;
        for (language, weight) in accept_language.split(',').filter_map(wish) {
            // Of equals the first.
            if best.is_none_or(|(_, least)| weight > least) {
                best = Some((language, weight));
            }
        }
        best.map_or(Self::English, |(language, _)| language)
    }

    /// Its catalogue.
    pub(super) fn messages(self) -> &'static Messages {
        match self {
            Self::English => &en::MESSAGES,
            Self::French => &fr::MESSAGES,
        }
    }

    /// A number as people write it.
    pub(super) fn number(self, number: i64) -> String {
        let separator = match self {
            Self::English => ',',
            Self::French => '\u{202f}',
        };
        let digits = number.unsigned_abs().to_string();
        let mut text = String::new();
        if number < 0 {
            text.push('\u{2212}');
        }
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(separator);
            }
            text.push(digit);
        }
        text
    }

    /// A decimal number that a service wrote, with the language's own sign.
    pub(super) fn decimal(self, text: &str) -> String {
        match self {
            Self::English => text.to_owned(),
            Self::French => text.replace('.', ","),
        }
    }

    /// The text for so many, the number in it.
    pub(super) fn count(self, text: Counted, number: i64) -> String {
        let is_one = match self {
            Self::English => number.abs() == 1,
            Self::French => number.abs() < 2,
        };
        let text = if is_one { text.one } else { text.other };
        text.replace("{n}", &self.number(number))
    }

    /// How long something has lasted, in its largest unit.
    pub(super) fn age(self, age: Duration) -> String {
        let minutes = age.as_secs() / 60;
        let day = match self {
            Self::English => "d",
            Self::French => "j",
        };
        match minutes {
            0..120 => format!("{minutes} min"),
            120..2_880 => format!("{} h", minutes / 60),
            _ => format!("{} {day}", minutes / 1_440),
        }
    }

    /// A day.
    pub(super) fn day(self, time: DateTime<Utc>, zone: Tz) -> String {
        let format = match self {
            Self::English => "%Y-%m-%d",
            Self::French => "%d/%m/%Y",
        };
        time.with_timezone(&zone).format(format).to_string()
    }

    /// Day and minute; where the zone is not known they are UTC's, and say so.
    pub(super) fn minute(self, time: DateTime<Utc>, zone: Option<Tz>) -> String {
        let local = time.with_timezone(&zone.unwrap_or(Tz::UTC));
        let mut text = self.day(time, zone.unwrap_or(Tz::UTC));
        // Writing into a text never fails.
        let _written = write!(text, " {}", local.format("%H:%M"));
        if zone.is_none() {
            text.push_str(" UTC");
        }
        text
    }
}

/// `0.8` as 800; three decimals at most.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let whole: u32 = whole.parse().ok().filter(|whole| *whole <= 1)?;
    let rest = rest.get(..3).unwrap_or(rest);
    let rest: u32 = format!("{rest:0<3}").parse().ok()?;
    Some((whole * 1000 + rest).min(1000))
}

/// The actions of the audit trail that have a name in each language, in the order of these names. One
/// that is newer than this gateway is shown by its own word.
pub(super) const ACTIONS: [&str; 21] = [
    "organization.link_requested",
    "organization.linked",
    "organization.link_refused",
    "organization.unlinked",
    "subscription.update_requested",
    "subscription.updated",
    "subscription.update_refused",
    "subscription.cancel_requested",
    "subscription.canceled",
    "subscription.cancel_refused",
    "subscription.changed",
    "admin.created",
    "admin.adopted",
    "admin.disabled",
    "admin.password_set",
    "api_key.created",
    "api_key.revoked",
    "held_reports.released",
    "held_reports.discarded",
    "report.retried",
    "finding.dismissed",
];

/// Every sentence and word of the pages. A language that lacks one does not compile.
#[derive(Debug)]
pub(super) struct Messages {
    pub(super) site: &'static str,
    pub(super) skip: &'static str,
    pub(super) nothing: &'static str,
    // Around every page.
    pub(super) main_menu: &'static str,
    pub(super) overview: &'static str,
    pub(super) pending: &'static str,
    pub(super) billed: &'static str,
    pub(super) held_menu: &'static str,
    pub(super) reconciliation: &'static str,
    pub(super) language: &'static str,
    pub(super) theme: &'static str,
    pub(super) theme_auto: &'static str,
    pub(super) theme_light: &'static str,
    pub(super) theme_dark: &'static str,
    pub(super) account: &'static str,
    pub(super) sign_out: &'static str,
    pub(super) as_of: &'static str,
    pub(super) counted_at: &'static str,
    // Signing in.
    pub(super) sign_in: &'static str,
    pub(super) sign_in_intro: &'static str,
    pub(super) email: &'static str,
    pub(super) password: &'static str,
    pub(super) remember: &'static str,
    pub(super) wrong_credentials: &'static str,
    pub(super) invalid_email: &'static str,
    // Overview.
    pub(super) organizations: &'static str,
    pub(super) users: &'static str,
    pub(super) attention: &'static str,
    pub(super) all_well: &'static str,
    pub(super) all_pending: Counted,
    pub(super) all_billed: Counted,
    pub(super) pending_now: Counted,
    pub(super) by_status: &'static str,
    pub(super) dead_letters: &'static str,
    pub(super) findings: &'static str,
    pub(super) compared_last: &'static str,
    pub(super) not_compared: &'static str,
    pub(super) problems: &'static str,
    // Lists.
    pub(super) pending_title: &'static str,
    pub(super) billed_title: &'static str,
    pub(super) name: &'static str,
    pub(super) instance: &'static str,
    pub(super) since: &'static str,
    pub(super) action: &'static str,
    pub(super) plan: &'static str,
    pub(super) status: &'static str,
    pub(super) deployment: &'static str,
    pub(super) link: &'static str,
    pub(super) link_of: &'static str,
    pub(super) linking: &'static str,
    pub(super) search: &'static str,
    pub(super) search_hint: &'static str,
    pub(super) filter: &'static str,
    pub(super) filters: &'static str,
    pub(super) any: &'static str,
    pub(super) sort: &'static str,
    pub(super) newest_first: &'static str,
    pub(super) oldest_first: &'static str,
    pub(super) name_up: &'static str,
    pub(super) name_down: &'static str,
    pub(super) status_first: &'static str,
    pub(super) show_all: &'static str,
    pub(super) next_page: &'static str,
    pub(super) first_page: &'static str,
    pub(super) pages: &'static str,
    pub(super) export: &'static str,
    pub(super) none_pending: &'static str,
    pub(super) none_pending_hint: &'static str,
    pub(super) none_billed: &'static str,
    pub(super) none_billed_hint: &'static str,
    pub(super) none_match: &'static str,
    pub(super) none_match_hint: &'static str,
    pub(super) users_not_known: &'static str,
    // Notices.
    pub(super) notice_linked: &'static str,
    pub(super) notice_linking: &'static str,
    pub(super) notice_unlinked: &'static str,
    pub(super) look_at_it: &'static str,
    // One organization.
    pub(super) facts: &'static str,
    pub(super) reports: &'static str,
    pub(super) id: &'static str,
    pub(super) last_report: &'static str,
    pub(super) first_report: &'static str,
    pub(super) invoice_email: &'static str,
    pub(super) trial_end: &'static str,
    pub(super) period_start: &'static str,
    pub(super) period_end: &'static str,
    pub(super) subscription_end: &'static str,
    pub(super) stripe_customer: &'static str,
    pub(super) stripe_subscription: &'static str,
    pub(super) reported_name: &'static str,
    pub(super) reported_instance: &'static str,
    pub(super) latest_operation: &'static str,
    pub(super) reported: &'static str,
    pub(super) delivery: &'static str,
    pub(super) meter_event: &'static str,
    pub(super) reports_not_known: &'static str,
    pub(super) no_report: &'static str,
    pub(super) earlier_reports: &'static str,
    pub(super) problem_of_link: &'static str,
    pub(super) billing_problem: &'static str,
    // A link.
    pub(super) link_title: &'static str,
    pub(super) link_intro: &'static str,
    pub(super) link_button: &'static str,
    pub(super) choose: &'static str,
    pub(super) trial_days: &'static str,
    pub(super) trial_days_hint: &'static str,
    pub(super) form_again: &'static str,
    pub(super) email_wrong: &'static str,
    pub(super) choice_wrong: &'static str,
    pub(super) trial_days_wrong: &'static str,
    pub(super) cancel: &'static str,
    // Unlinking.
    pub(super) unlink: &'static str,
    pub(super) unlink_title: &'static str,
    pub(super) unlink_intro: &'static str,
    pub(super) unlink_button: &'static str,
    pub(super) reason: &'static str,
    pub(super) reason_hint: &'static str,
    pub(super) reason_wrong: &'static str,
    pub(super) cannot_undo: &'static str,
    // Reconciliation.
    pub(super) reconciliation_intro: &'static str,
    pub(super) days_that_differ: &'static str,
    pub(super) compared_last_short: &'static str,
    pub(super) skipped: Counted,
    pub(super) day_utc: &'static str,
    pub(super) organization: &'static str,
    pub(super) expected: &'static str,
    pub(super) in_stripe: &'static str,
    pub(super) sent_again: &'static str,
    pub(super) first_seen: &'static str,
    pub(super) last_seen: &'static str,
    pub(super) no_findings: &'static str,
    pub(super) no_findings_hint: &'static str,
    pub(super) earlier_days: &'static str,
    // How the instances report.
    pub(super) reporting: &'static str,
    pub(super) silent: &'static str,
    pub(super) late: &'static str,
    pub(super) silent_first: &'static str,
    pub(super) silent_instances: &'static str,
    pub(super) late_instances: &'static str,
    pub(super) held_reports: &'static str,
    pub(super) urgent_held_reports: &'static str,
    pub(super) urgent_short: &'static str,
    pub(super) none_urgent: &'static str,
    pub(super) refused_reports: &'static str,
    pub(super) queue_age: &'static str,
    pub(super) reporting_not_known: &'static str,
    pub(super) users_in_all: &'static str,
    pub(super) last_days: &'static str,
    // What is done to a subscription.
    pub(super) notice_changed: &'static str,
    pub(super) notice_changing: &'static str,
    pub(super) notice_unchanged: &'static str,
    pub(super) notice_canceled: &'static str,
    pub(super) notice_canceling: &'static str,
    pub(super) notice_released: &'static str,
    pub(super) notice_discarded: &'static str,
    pub(super) running_link: &'static str,
    pub(super) running_update: &'static str,
    pub(super) running_cancel: &'static str,
    pub(super) refused_link: &'static str,
    pub(super) refused_update: &'static str,
    pub(super) refused_cancel: &'static str,
    pub(super) change: &'static str,
    pub(super) change_title: &'static str,
    pub(super) change_intro: &'static str,
    pub(super) change_button: &'static str,
    pub(super) end_subscription: &'static str,
    pub(super) end_title: &'static str,
    pub(super) end_when: &'static str,
    pub(super) end_period: &'static str,
    pub(super) end_period_hint: &'static str,
    pub(super) end_now: &'static str,
    pub(super) end_now_hint: &'static str,
    pub(super) end_button: &'static str,
    pub(super) portal: &'static str,
    pub(super) portal_title: &'static str,
    pub(super) portal_intro: &'static str,
    pub(super) back_to_organization: &'static str,
    // Users by day.
    pub(super) chart_title: &'static str,
    pub(super) chart_table: &'static str,
    pub(super) chart_none: &'static str,
    pub(super) chart_partial: &'static str,
    pub(super) chart_counted: &'static str,
    pub(super) chart_gap: &'static str,
    pub(super) chart_summary: Counted,
    // Invoices.
    pub(super) invoices: &'static str,
    pub(super) invoices_of: &'static str,
    pub(super) invoices_not_known: &'static str,
    pub(super) no_invoice: &'static str,
    pub(super) next_invoice: &'static str,
    pub(super) past_invoices: &'static str,
    pub(super) invoice_draft_name: &'static str,
    pub(super) due: &'static str,
    pub(super) still_due: &'static str,
    pub(super) line: &'static str,
    pub(super) quantity: &'static str,
    pub(super) unit_price: &'static str,
    pub(super) amount_before_tax: &'static str,
    pub(super) open_in_stripe: &'static str,
    pub(super) earlier_invoices: &'static str,
    pub(super) invoice_upcoming: &'static str,
    pub(super) invoice_draft: &'static str,
    pub(super) invoice_open: &'static str,
    pub(super) invoice_paid: &'static str,
    pub(super) invoice_uncollectible: &'static str,
    pub(super) invoice_void: &'static str,
    // Held reports.
    pub(super) held_intro: &'static str,
    pub(super) none_held: &'static str,
    pub(super) none_held_hint: &'static str,
    pub(super) held_of: &'static str,
    pub(super) hold_jump: &'static str,
    pub(super) hold_url: &'static str,
    pub(super) counted_before: &'static str,
    pub(super) decide_until: &'static str,
    pub(super) release: &'static str,
    pub(super) discard: &'static str,
    pub(super) release_all: &'static str,
    pub(super) discard_all: &'static str,
    pub(super) release_title: &'static str,
    pub(super) discard_title: &'static str,
    pub(super) release_intro: &'static str,
    pub(super) discard_intro: &'static str,
    pub(super) release_button: &'static str,
    pub(super) discard_button: &'static str,
    pub(super) decide_count: Counted,
    // A link before it is made.
    pub(super) preview_button: &'static str,
    pub(super) preview_title: &'static str,
    pub(super) preview_intro: &'static str,
    pub(super) preview_new: &'static str,
    pub(super) preview_price: &'static str,
    pub(super) preview_seat_day: &'static str,
    pub(super) preview_seat_period: &'static str,
    pub(super) preview_days_due: &'static str,
    pub(super) preview_no_trial: &'static str,
    pub(super) preview_first_period: &'static str,
    pub(super) preview_estimate: &'static str,
    pub(super) preview_similar: &'static str,
    pub(super) preview_similar_hint: &'static str,
    pub(super) preview_billed: &'static str,
    pub(super) preview_back: &'static str,
    // The audit trail.
    pub(super) audit: &'static str,
    pub(super) audit_title: &'static str,
    pub(super) when: &'static str,
    pub(super) what: &'static str,
    pub(super) who: &'static str,
    pub(super) from_where: &'static str,
    pub(super) before: &'static str,
    pub(super) after: &'static str,
    pub(super) from_day: &'static str,
    pub(super) to_day: &'static str,
    pub(super) actor_hint: &'static str,
    pub(super) user_id: &'static str,
    pub(super) api_key: &'static str,
    pub(super) none_audited: &'static str,
    pub(super) timeline: &'static str,
    pub(super) timeline_all: &'static str,
    pub(super) timeline_not_known: &'static str,
    // API keys.
    pub(super) api_keys: &'static str,
    pub(super) all_keys: &'static str,
    pub(super) new_key: &'static str,
    pub(super) new_key_intro: &'static str,
    pub(super) access: &'static str,
    pub(super) access_read: &'static str,
    pub(super) access_full: &'static str,
    pub(super) lifetime_days: &'static str,
    pub(super) lifetime_wrong: &'static str,
    pub(super) key_name_wrong: &'static str,
    pub(super) create_key: &'static str,
    pub(super) key_created: &'static str,
    pub(super) key_created_intro: &'static str,
    pub(super) secret: &'static str,
    pub(super) secret_hint: &'static str,
    pub(super) no_key: &'static str,
    pub(super) created: &'static str,
    pub(super) expires: &'static str,
    pub(super) last_used: &'static str,
    pub(super) never: &'static str,
    pub(super) state: &'static str,
    pub(super) key_good: &'static str,
    pub(super) key_expired: &'static str,
    pub(super) key_revoked: &'static str,
    pub(super) revoke: &'static str,
    pub(super) revoke_title: &'static str,
    pub(super) revoke_intro: &'static str,
    pub(super) revoke_button: &'static str,
    pub(super) notice_revoked: &'static str,
    // What Stripe sent.
    pub(super) webhooks: &'static str,
    pub(super) webhooks_title: &'static str,
    pub(super) events: &'static str,
    pub(super) event: &'static str,
    pub(super) received: &'static str,
    pub(super) attempts: &'static str,
    pub(super) ended_or_next: &'static str,
    pub(super) event_queued: &'static str,
    pub(super) event_processed: &'static str,
    pub(super) event_ignored: &'static str,
    pub(super) event_dead: &'static str,
    pub(super) no_event: &'static str,
    pub(super) no_event_hint: &'static str,
    pub(super) retry: &'static str,
    pub(super) notice_retried: &'static str,
    pub(super) meter_errors: &'static str,
    pub(super) meter_errors_title: &'static str,
    pub(super) no_meter_error: &'static str,
    pub(super) no_meter_error_hint: &'static str,
    pub(super) meter_events: &'static str,
    pub(super) meter: &'static str,
    pub(super) samples: &'static str,
    // Findings, and what was said of them.
    pub(super) open_findings: &'static str,
    pub(super) all_findings: &'static str,
    pub(super) finding_day: &'static str,
    pub(super) finding_missed: &'static str,
    pub(super) finding_invoice: &'static str,
    pub(super) dismiss: &'static str,
    pub(super) dismiss_button: &'static str,
    pub(super) dismiss_hint: &'static str,
    pub(super) dismissed: &'static str,
    pub(super) resolved: &'static str,
    pub(super) notice_dismissed: &'static str,
    // Refused reports.
    pub(super) refused_short: &'static str,
    pub(super) refused_intro: &'static str,
    pub(super) send_again: &'static str,
    pub(super) notice_report_retried: &'static str,
    pub(super) none_refused: &'static str,
    // A customer that is in Stripe already.
    pub(super) adopt_none: &'static str,
    pub(super) adopt_none_hint: &'static str,
    pub(super) adopt_reuse: &'static str,
    pub(super) adopt_hint: &'static str,
    // Errors.
    pub(super) request: &'static str,
    pub(super) back: &'static str,
    pub(super) details: &'static str,
    pub(super) stale_form: &'static str,
    pub(super) not_admin: &'static str,
    pub(super) banned: &'static str,
    pub(super) second_factor: &'static str,
    pub(super) not_found: &'static str,
    pub(super) not_allowed: &'static str,
    pub(super) not_now: &'static str,
    pub(super) does_not_work: &'static str,
    pub(super) cannot_be_done: &'static str,
    pub(super) our_fault: &'static str,
    pub(super) not_found_text: &'static str,
    pub(super) not_allowed_text: &'static str,
    pub(super) not_now_text: &'static str,
    pub(super) too_many_text: &'static str,
    pub(super) does_not_work_text: &'static str,
    pub(super) cannot_be_done_text: &'static str,
    pub(super) our_fault_text: &'static str,
    /// What [`ACTIONS`] are called.
    pub(super) actions: [&'static str; ACTIONS.len()],
    // The contract's words.
    pub(super) words: Words,
}

/// The contract's words, as people read them.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) unknown: &'static str,
    pub(super) pending: &'static str,
    pub(super) trial: &'static str,
    pub(super) active: &'static str,
    pub(super) past_due: &'static str,
    pub(super) unpaid: &'static str,
    pub(super) incomplete: &'static str,
    pub(super) expired: &'static str,
    pub(super) paused: &'static str,
    pub(super) canceled: &'static str,
    pub(super) plan_managed: &'static str,
    pub(super) plan_self_hosted: &'static str,
    pub(super) on_premise: &'static str,
    pub(super) managed_cloud: &'static str,
    pub(super) waiting: &'static str,
    pub(super) queued: &'static str,
    pub(super) sent: &'static str,
    pub(super) superseded: &'static str,
    pub(super) refused: &'static str,
    pub(super) not_billed: &'static str,
    pub(super) too_late: &'static str,
    pub(super) held: &'static str,
    pub(super) missed_invoice: &'static str,
    pub(super) running: &'static str,
    pub(super) succeeded: &'static str,
}

impl Messages {
    /// How an organization stands.
    pub(super) fn status_word(&self, status: SubscriptionStatus) -> &'static str {
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
    pub(super) fn plan_word(&self, plan: PlanType) -> &'static str {
        match plan {
            PlanType::Unspecified => self.nothing,
            PlanType::ManagedCloud => self.words.plan_managed,
            PlanType::SelfHosted => self.words.plan_self_hosted,
        }
    }

    /// A deployment type.
    pub(super) fn deployment_word(&self, deployment: DeploymentType) -> &'static str {
        match deployment {
            DeploymentType::Unspecified => self.nothing,
            DeploymentType::OnPremise => self.words.on_premise,
            DeploymentType::ManagedCloud => self.words.managed_cloud,
        }
    }

    /// Where a report is on its way to Stripe.
    pub(super) fn delivery_word(&self, delivery: Delivery) -> &'static str {
        match delivery {
            Delivery::Waiting => self.words.waiting,
            Delivery::Queued => self.words.queued,
            Delivery::Sent => self.words.sent,
            Delivery::Superseded => self.words.superseded,
            Delivery::Refused => self.words.refused,
            Delivery::NotBilled => self.words.not_billed,
            Delivery::TooLate => self.words.too_late,
            Delivery::Held => self.words.held,
            Delivery::MissedInvoice => self.words.missed_invoice,
        }
    }

    /// Where an operation is.
    pub(super) fn operation_word(&self, state: LinkState) -> &'static str {
        match state {
            LinkState::Running => self.words.running,
            LinkState::Succeeded => self.words.succeeded,
            LinkState::Refused => self.words.refused,
        }
    }

    /// What an action of the audit trail is called; `None` of one that is newer than this gateway.
    pub(super) fn action_word(&self, action: &str) -> Option<&'static str> {
        let at = ACTIONS.iter().position(|known| *known == action)?;
        self.actions.get(at).copied()
    }

    /// What an API key may do.
    pub(super) fn access_word(&self, access: ApiKeyAccess) -> &'static str {
        match access {
            ApiKeyAccess::Unspecified => self.words.unknown,
            ApiKeyAccess::ReadOnly => self.access_read,
            ApiKeyAccess::Full => self.access_full,
        }
    }

    /// What became of an event that Stripe sent; of no state the word for all.
    pub(super) fn webhook_word(&self, state: WebhookEventState) -> &'static str {
        match state {
            WebhookEventState::Unspecified => self.any,
            WebhookEventState::Queued => self.event_queued,
            WebhookEventState::Processed => self.event_processed,
            WebhookEventState::Ignored => self.event_ignored,
            WebhookEventState::Dead => self.event_dead,
        }
    }

    /// What differs.
    pub(super) fn finding_word(&self, kind: FindingKind) -> &'static str {
        match kind {
            FindingKind::MeterDay => self.finding_day,
            FindingKind::MissedInvoice => self.finding_missed,
            FindingKind::Invoice => self.finding_invoice,
        }
    }

    /// What a fault is called, and what it means to whoever meets it.
    pub(super) fn fault(&self, reason: ErrorReason) -> (&'static str, &'static str) {
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
            | ErrorReason::BodyTooLarge
            | ErrorReason::SignatureInvalid => (self.does_not_work, self.does_not_work_text),
            ErrorReason::ReportConflict
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browsers_wish_is_heard() {
        for (header, language) in [
            ("", Language::English),
            ("de-DE, de;q=0.9", Language::English),
            ("fr", Language::French),
            ("fr-CH, fr;q=0.9, en;q=0.8, *;q=0.5", Language::French),
            ("de, en;q=0.7, fr;q=0.75", Language::French),
            ("en-GB,en;q=0.9,fr;q=0.9", Language::English),
            ("FR;q=0, en;q=0.1", Language::English),
            ("fr;q=nonsense, en;q=0.001", Language::English),
        ] {
            assert_eq!(Language::of_browser(header), language, "{header}");
        }
    }

    #[test]
    fn numbers_are_grouped_as_each_language_does() {
        for (number, english, french) in [
            (0, "0", "0"),
            (999, "999", "999"),
            (1_000, "1,000", "1\u{202f}000"),
            (
                -1_234_567,
                "\u{2212}1,234,567",
                "\u{2212}1\u{202f}234\u{202f}567",
            ),
        ] {
            assert_eq!(Language::English.number(number), english);
            assert_eq!(Language::French.number(number), french);
        }
        assert_eq!(Language::French.decimal("46.5"), "46,5");
    }

    #[test]
    fn french_says_one_of_nothing() {
        let text = Counted {
            one: "{n} day",
            other: "{n} days",
        };
        for (number, english, french) in [(0, "0 days", "0 day"), (1, "1 day", "1 day")] {
            assert_eq!(Language::English.count(text, number), english);
            assert_eq!(Language::French.count(text, number), french);
        }
        assert_eq!(Language::French.count(text, 2_000), "2\u{202f}000 days");
    }

    /// Every text with a number has a place for it, in both forms, where more than one is said.
    #[test]
    fn a_counted_text_has_a_place_for_its_number() {
        for language in Language::ALL {
            let t = language.messages();
            for text in [
                t.all_pending,
                t.all_billed,
                t.pending_now,
                t.skipped,
                t.chart_summary,
                t.decide_count,
            ] {
                assert!(text.other.contains("{n}"), "{text:?}");
            }
            assert!(t.link_title.contains("{x}") && t.link_of.contains("{x}"));
            for about in [
                t.unlink_title,
                t.change_title,
                t.end_title,
                t.portal_title,
                t.invoices_of,
                t.held_of,
                t.release_title,
                t.discard_title,
                t.key_created,
                t.revoke_title,
            ] {
                assert!(about.contains("{x}"), "{about}");
            }
        }
    }

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        for (minutes, english, french) in [
            (0, "0 min", "0 min"),
            (119, "119 min", "119 min"),
            (120, "2 h", "2 h"),
            (2_880, "2 d", "2 j"),
        ] {
            let age = Duration::from_secs(60 * minutes);
            assert_eq!(Language::English.age(age), english);
            assert_eq!(Language::French.age(age), french);
        }
    }

    #[test]
    fn times_are_the_admins_own_where_the_zone_is_known() {
        let time = DateTime::from_timestamp(1_730_602_800, 0).unwrap();
        let (paris, french, english) = (Tz::Europe__Paris, Language::French, Language::English);
        assert_eq!(french.minute(time, Some(paris)), "03/11/2024 04:00");
        assert_eq!(english.minute(time, None), "2024-11-03 03:00 UTC");
        let summer = DateTime::from_timestamp(1_719_784_800, 0).unwrap();
        assert_eq!(french.day(summer, paris), "01/07/2024");
        assert_eq!(french.day(summer, Tz::UTC), "30/06/2024");
    }
}
