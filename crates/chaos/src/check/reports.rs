//! Reports: what was acknowledged against what is stored.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::forged::is_forged;
use super::usage::is_missed;
use super::{Court, Harm, Life, acknowledged, sent_report};
use crate::journal::{ReportAnswer, SentReport, Told};
use crate::records::{Records, StoredReport};

impl Court {
    /// What was acknowledged is stored once, with that content and under that id; and nothing else
    /// is stored.
    pub(super) fn acknowledgements(&mut self, records: &Records) {
        let mut stored: BTreeMap<(Uuid, i64), Vec<&StoredReport>> = BTreeMap::new();
        for report in &records.reports {
            let key = (report.organization_id, report.at);
            stored.entry(key).or_default().push(report);
        }
        for ((organization, at), reports) in &stored {
            if reports.len() > 1 {
                let ids: Vec<_> = reports.iter().map(|report| report.id).collect();
                self.find(
                    Harm::Doubled,
                    format!("report {organization} {at} is stored as {ids:?}"),
                );
            }
        }
        for (sent, ids) in acknowledged(records) {
            let Some(reports) = stored.get(&(sent.organization, sent.at)) else {
                self.find(
                    Harm::Lost,
                    format!("{sent:?}, acknowledged as {ids:?}, is not stored"),
                );
                continue;
            };
            for report in reports {
                let is_told = ids.iter().all(|id| **id == report.id.to_string());
                if !is_told || report.user_count != sent.user_count {
                    self.wrong(format!(
                        "{sent:?}, acknowledged as {ids:?}, is stored as {report:?}"
                    ));
                }
            }
        }
        let sent: BTreeSet<_> = records.told.iter().filter_map(sent_report).collect();
        for report in &records.reports {
            let it = SentReport {
                organization: report.organization_id,
                at: report.at,
                user_count: report.user_count,
            };
            if !sent.contains(&it) {
                self.wrong(format!("nobody sent what is stored: {report:?}"));
            }
        }
    }

    /// No good report is refused: only one that has the timestamp of another.
    pub(super) fn refusals(&mut self, records: &Records) {
        let mut counts: BTreeMap<(Uuid, i64), BTreeSet<i64>> = BTreeMap::new();
        for sent in records.told.iter().filter_map(sent_report) {
            let key = (sent.organization, sent.at);
            counts.entry(key).or_default().insert(sent.user_count);
        }
        for told in &records.told {
            if let Told::Report { sent, answer } = told {
                let rivals = counts.get(&(sent.organization, sent.at));
                let has_rival = rivals.is_some_and(|counts| counts.len() > 1);
                match answer {
                    ReportAnswer::Recorded { .. } => {}
                    ReportAnswer::Refused { status: 409, .. } if has_rival => {}
                    ReportAnswer::Refused { .. } | ReportAnswer::None { .. } => {
                        self.wrong(format!("{sent:?} was answered {answer:?}"));
                    }
                }
            }
        }
    }

    /// How many users an organization has is what its latest report said that is not held.
    pub(super) fn seats(&mut self, records: &Records) {
        let mut latest: BTreeMap<Uuid, &StoredReport> = BTreeMap::new();
        for report in records.reports.iter().filter(|report| !is_forged(report)) {
            let known = latest.entry(report.organization_id).or_insert(report);
            if report.at > known.at {
                *known = report;
            }
        }
        for organization in &records.organizations {
            let reported = latest.get(&organization.id).map(|report| report.user_count);
            if organization.user_count != reported {
                self.wrong(format!("{organization:?} reported {reported:?} users last"));
            }
        }
    }

    /// Every report is where it must end.
    pub(super) fn states(&mut self, records: &Records) {
        let lives = Life::of_all(records);
        for report in records.reports.iter().filter(|report| !is_forged(report)) {
            let life = lives.get(&report.organization_id);
            let allowed = allowed_states(life, report.at);
            if !allowed.contains(&report.delivery_state.as_str()) && !is_missed(records, report) {
                self.wrong(format!("{report:?} should be {allowed:?}"));
            }
        }
    }
}

/// Where a report may end that is of this moment. Which of `sent` and `superseded` it is, the counted
/// events tell. What became of one that is of a subscription that has ended is not judged: whether it
/// was sent in time is nobody's to know from outside.
fn allowed_states(life: Option<&Life<'_>>, at: i64) -> &'static [&'static str] {
    let Some(life) = life else {
        return &["waiting"];
    };
    match (life.living, life.has_ended()) {
        (Some(living), _) if at >= living.start_date => &["sent", "superseded"],
        (Some(_), false) => &["not_billed"],
        (Some(_), true) => &["sent", "superseded", "not_billed"],
        (None, _) => &["sent", "superseded", "not_billed", "waiting"],
    }
}
