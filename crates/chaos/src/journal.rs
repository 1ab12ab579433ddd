//! What instances and admins were told: kept in memory for the checkers, and on disk for whoever
//! wants to know what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use uuid::Uuid;

/// A report, as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct SentReport {
    pub(crate) organization: Uuid,
    /// Unix seconds.
    pub(crate) at: i64,
    pub(crate) user_count: i64,
}

/// How a report was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub(crate) enum ReportAnswer {
    /// It is recorded: from here on it must never be lost.
    Recorded { report_id: String, status: String },
    /// The service will not have it.
    Refused { status: u16, detail: String },
    /// There was no answer.
    None { last: String },
}

/// How a forged report was answered. Nobody sends it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub(crate) enum ForgedAnswer {
    Status { status: u16 },
    None { last: String },
}

/// How a request for a link was answered in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub(crate) enum LinkAnswer {
    Linked {
        customer: String,
        subscription: String,
    },
    /// Other terms were there first.
    Conflict,
    Refused {
        status: u16,
        detail: String,
    },
}

/// How a request to unlink was answered in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub(crate) enum UnlinkAnswer {
    Unlinked,
    Conflict,
    Refused { status: u16, detail: String },
}

/// What an admin does with a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    Update,
    CancelAtPeriodEnd,
    CancelNow,
}

/// How a request for a change was answered in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub(crate) enum ChangeAnswer {
    /// Of this subscription.
    Done { subscription: String },
    /// It ended meanwhile, or something else is being done with it.
    Conflict,
    /// Stripe will not have it, or it took too long.
    Refused { status: u16, detail: String },
}

/// One thing that was told to somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "told")]
pub(crate) enum Told {
    Report {
        sent: SentReport,
        #[serde(flatten)]
        answer: ReportAnswer,
    },
    /// A report that somebody else sent in the organization's name.
    Forged {
        sent: SentReport,
        #[serde(flatten)]
        answer: ForgedAnswer,
    },
    Link {
        organization: Uuid,
        trial_days: u32,
        #[serde(flatten)]
        answer: LinkAnswer,
    },
    Unlink {
        organization: Uuid,
        #[serde(flatten)]
        answer: UnlinkAnswer,
    },
    /// Told by an admin: from here on the subscription is to end at once.
    AskedToEnd { organization: Uuid },
    Change {
        organization: Uuid,
        change: Change,
        #[serde(flatten)]
        answer: ChangeAnswer,
    },
    /// Not to them but by us: a fault was injected, or could not be.
    Fault {
        fault: String,
        problem: Option<String>,
    },
}

#[derive(Debug)]
pub(crate) struct Journal {
    entries: Mutex<(Vec<Told>, File)>,
}

impl Journal {
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path)?;
        Ok(Self {
            entries: Mutex::new((Vec::new(), file)),
        })
    }

    pub(crate) fn note(&self, told: Told) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let at = instance_sim::now();
        let line = serde_json::json!({ "at": at, "entry": &told });
        // What is in memory is what is judged by.
        let _ = writeln!(entries.1, "{line}");
        entries.0.push(told);
    }

    /// How many organizations somebody was told are linked.
    pub(crate) fn linked_count(&self) -> usize {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let linked = entries.0.iter().filter_map(|told| match told {
            Told::Link {
                organization,
                answer: LinkAnswer::Linked { .. },
                ..
            } => Some(organization),
            Told::Link { .. }
            | Told::Report { .. }
            | Told::Forged { .. }
            | Told::Unlink { .. }
            | Told::AskedToEnd { .. }
            | Told::Change { .. }
            | Told::Fault { .. } => None,
        });
        linked.collect::<BTreeSet<_>>().len()
    }

    /// The latest reports of organizations that were answered as billed: one of each.
    pub(crate) fn known_as_billed(&self) -> Vec<SentReport> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = BTreeMap::new();
        for told in &entries.0 {
            if let Told::Report {
                sent,
                answer: ReportAnswer::Recorded { status, .. },
            } = told
                && status != "pending"
            {
                known.insert(sent.organization, *sent);
            }
        }
        known.into_values().collect()
    }

    /// Everything so far.
    pub(crate) fn told(&self) -> Vec<Told> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.0.clone()
    }
}
