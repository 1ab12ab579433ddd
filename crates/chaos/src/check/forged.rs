//! Forged reports: refused or held, and never billed, shown, or a reason to rename.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{Court, Harm};
use crate::forger;
use crate::journal::{ForgedAnswer, ReportAnswer, SentReport, Told};
use crate::records::{Records, StoredReport};

/// The states in which a forged report may end. It is held, or its time cannot be billed any more: it is from
/// before the link, its invoice is final, or its day has a later report.
const NEVER_SENT: [&str; 4] = ["held", "not_billed", "missed_invoice", "superseded"];

/// Whether a stored report is one of the forged ones.
pub(super) fn is_forged(report: &StoredReport) -> bool {
    report.user_count >= forger::USERS_MIN
}

impl Court {
    /// A forged report that is stored is held, or came for a time that cannot be billed any more. One with the timestamp of a report that was acknowledged
    /// before is refused. Stripe has none, and no organization has its name.
    pub(super) fn forgeries(&mut self, records: &Records) {
        let mut answered: BTreeSet<(Uuid, i64)> = BTreeSet::new();
        for told in &records.told {
            match told {
                Told::Forged { sent, answer } => {
                    let is_taken = answered.contains(&(sent.organization, sent.at));
                    self.forged(*sent, answer, is_taken);
                }
                Told::Report {
                    sent,
                    answer: ReportAnswer::Recorded { .. },
                } => {
                    answered.insert((sent.organization, sent.at));
                }
                Told::Report { .. }
                | Told::Link { .. }
                | Told::Unlink { .. }
                | Told::AskedToEnd { .. }
                | Told::Change { .. }
                | Told::Fault { .. } => {}
            }
        }
        for report in records.reports.iter().filter(|report| is_forged(report)) {
            if !NEVER_SENT.contains(&report.delivery_state.as_str()) {
                self.wrong(format!("forged, and not held: {report:?}"));
            }
        }
        for event in &records.ledger.meter_events {
            let users = event.value.parse::<i64>().unwrap_or(i64::MAX);
            if users >= forger::USERS_MIN {
                self.find(
                    Harm::Wrong,
                    format!("Stripe was sent what is forged: {event:?}"),
                );
            }
        }
        for organization in &records.organizations {
            if organization.name == forger::NAME {
                self.wrong(format!("a forged report renamed {organization:?}"));
            }
        }
    }

    fn forged(&mut self, sent: SentReport, answer: &ForgedAnswer, is_taken: bool) {
        match answer {
            // Recorded or refused, limited, or there was no database.
            ForgedAnswer::Status { status: 200 } if is_taken => {
                self.wrong(format!(
                    "forged with a taken timestamp and recorded: {sent:?}"
                ));
            }
            ForgedAnswer::Status {
                status: 200 | 409 | 429 | 503,
            }
            | ForgedAnswer::None { .. } => {}
            ForgedAnswer::Status { .. } => {
                self.wrong(format!("forged: {sent:?} was answered {answer:?}"));
            }
        }
    }
}
