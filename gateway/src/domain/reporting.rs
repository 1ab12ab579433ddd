//! How instances report, and the reports that are held, for the admin's eyes.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{organization::Organization, usage_report::UsageReport};

/// How long after the end of its period an invoice becomes final: what Stripe gives it as a draft.
const DRAFT_TIME: TimeDelta = TimeDelta::hours(1);
/// A held report whose deadline is nearer is urgent.
const URGENT: TimeDelta = TimeDelta::hours(24);

/// Whether an instance reports as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportingState {
    /// Its next report is not due yet.
    OnTime,
    /// It missed its day.
    Late,
    /// It has missed more than that.
    Silent,
}

impl ReportingState {
    /// Every one of them.
    pub(crate) const ALL: [Self; 3] = [Self::OnTime, Self::Late, Self::Silent];

    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::OnTime => "on_time",
            Self::Late => "late",
            Self::Silent => "silent",
        }
    }
}

/// What is to be watched of an organization.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Watch {
    /// Whether it reports as it should; `None` where no report is expected, or this cannot be told
    /// now.
    pub state: Option<ReportingState>,
    /// When its next report is late.
    pub due_at: Option<DateTime<Utc>>,
    /// How many of its reports are held.
    pub held_count: i64,
}

/// What was reported of one UTC day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UsageDay {
    /// The day's first moment.
    pub start: DateTime<Utc>,
    /// Users in all.
    pub user_count: i64,
    /// How many organizations reported.
    pub organization_count: i64,
}

/// How the instances report, as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReportingSummary {
    /// Users in all.
    pub user_count: i64,
    /// When that was counted; `None` before the first time.
    pub counted_at: Option<DateTime<Utc>>,
    /// The last 30 days, the earliest first.
    pub days: Vec<UsageDay>,
    /// How many organizations are late.
    pub late_count: i64,
    /// How many organizations are silent.
    pub silent_count: i64,
    /// How many reports are held.
    pub held_report_count: i64,
    /// Of how many organizations these are.
    pub held_organization_count: i64,
    /// How many of them are urgent.
    pub urgent_held_report_count: i64,
    /// How many organizations did not sign their latest report.
    pub unsigned_organization_count: i64,
    /// How many reports Stripe refused.
    pub refused_report_count: i64,
    /// How many reports are to be sent.
    pub queued_report_count: i64,
    /// How long the oldest of these has waited.
    pub oldest_queued_age: Option<Duration>,
}

/// Why a report is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoldReason {
    /// Its count is far above the baseline.
    CountJump,
    /// It comes from another URL.
    OtherUrl,
    /// Its count is far below the baseline.
    CountDrop,
    /// It raises a day's count and comes from a network that never counted.
    NewNetwork,
    /// It is not signed, and a key is confirmed.
    Unsigned,
    /// It is signed with another key than the confirmed one.
    OtherKey,
}

impl HoldReason {
    /// Every one of them.
    pub(crate) const ALL: [Self; 6] = [
        Self::CountJump,
        Self::OtherUrl,
        Self::CountDrop,
        Self::NewNetwork,
        Self::Unsigned,
        Self::OtherKey,
    ];

    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::CountJump => "count_jump",
            Self::OtherUrl => "other_url",
            Self::CountDrop => "count_drop",
            Self::NewNetwork => "new_network",
            Self::Unsigned => "unsigned",
            Self::OtherKey => "other_key",
        }
    }

    /// The reason behind a word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.word() == word)
    }
}

/// Held reports of one reason that show the same change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldGroup {
    /// Why they are held.
    pub reason: HoldReason,
    /// The change that they show.
    pub cause: String,
    /// How many reports these are.
    pub report_count: i64,
    /// Of how many organizations.
    pub organization_count: i64,
    /// When the last of them was taken in.
    pub last_received_at: DateTime<Utc>,
    /// One of the organizations.
    pub example: Uuid,
    /// The name of that, where it can be told.
    pub example_name: Option<String>,
}

/// What becomes of held reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoldDecision {
    /// They are sent.
    Release,
    /// They are never billed.
    Discard,
}

impl HoldDecision {
    /// Every one of them.
    pub(crate) const ALL: [Self; 2] = [Self::Release, Self::Discard];

    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Discard => "discard",
        }
    }

    /// The decision behind a word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.word() == word)
    }
}

/// A decision on a group of held reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupDecision {
    /// Why they are held.
    pub reason: HoldReason,
    /// The change that they show.
    pub cause: String,
    /// What becomes of them.
    pub decision: HoldDecision,
    /// Those that came later are not decided.
    pub received_until: DateTime<Utc>,
}

/// How far a decision on a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupProgress {
    /// How many reports are decided.
    pub report_count: i64,
    /// Whether these are all; the rest follows by itself.
    pub is_finished: bool,
}

/// A report that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldReport {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub organization_id: Uuid,
    /// The name of that, where it can be told.
    pub organization_name: Option<String>,
    /// Number of users (seats) reported.
    pub user_count: i64,
    /// The URL that it came from.
    pub instance_url: String,
    /// The moment that the count is of.
    pub reported_at: DateTime<Utc>,
    /// When it was taken in.
    pub received_at: DateTime<Utc>,
    /// Why it is held.
    pub reason: HoldReason,
    /// The same as a sentence.
    pub message: String,
    /// What its count was compared with; if its count is not the reason, that of the latest report that
    /// counts.
    pub baseline_user_count: i64,
    /// The URL that it was compared with.
    pub baseline_instance_url: Option<String>,
    /// The last count that would not have been held, where its count is the reason.
    pub limit_user_count: Option<i64>,
    /// When the invoice that it belongs on becomes final.
    pub deadline: Option<DateTime<Utc>>,
}

impl HeldReport {
    /// Takes from its organization what ingest-svc does not know.
    pub(crate) fn belong_to(&mut self, organization: &Organization) {
        self.organization_name = Some(organization.name.clone());
        // A report of an earlier period belongs on an invoice that ended, at the latest, where the
        // present one begins.
        let period_end = match organization.current_period_start {
            Some(start) if self.reported_at < start => Some(start),
            Some(_) | None => organization.current_period_end,
        };
        self.deadline = period_end.map(|end| end + DRAFT_TIME);
    }

    /// Whether it has to be decided soon.
    pub(crate) fn is_urgent(&self, now: DateTime<Utc>) -> bool {
        self.deadline
            .is_some_and(|deadline| deadline <= now + URGENT)
    }
}

/// Which held reports of an organization an admin decides on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeldSelection {
    /// These.
    Reports(Vec<String>),
    /// All of them.
    All,
}

/// Reports as they are after an admin has decided.
#[derive(Debug, Clone)]
pub(crate) struct DecidedReports {
    /// The reports, the earliest first.
    pub reports: Vec<UsageReport>,
    /// How many of the organization's are still held.
    pub held_report_count: i64,
}
