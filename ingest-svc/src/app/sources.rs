//! Judging the reports of a batch by the networks that they come from, as they are recorded.

use std::collections::{HashMap, HashSet};

use billing_kit_db::StoreError;
use chrono::{DateTime, Utc};
use ipnet::IpNet;
use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use crate::{
    domain::{
        delivery::DeliveryState,
        hold::{Hold, HoldReason, HoldRules},
        report::Report,
        source::{self, Day, DayCount, day_of, network_of},
    },
    store::{
        reports::NewReport,
        sources::{self, Found},
    },
};

/// What is known of the days and networks of a batch's reports, under the locks of their organizations.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Whether reports are held for their network.
    holds_networks: bool,
    /// Whether late reports are held that raise a day's count.
    holds_late: bool,
    days: HashMap<Day, DayCount>,
    /// The networks that reports counted from, of those that were looked up.
    known: HashSet<(Uuid, IpNet)>,
    /// The organizations of which any network is known. Of the others nothing can be told.
    with_known: HashSet<Uuid>,
}

impl Sources {
    /// Looks up, by one statement, what is known of the reports of linked organizations whose day may have
    /// a report already: by the time of their organization's last report that counts, or because the
    /// batch has another one. On an ordinary night there is none, and nothing is asked.
    pub(super) async fn load<'a>(
        txn: &DatabaseTransaction,
        rules: HoldRules,
        linked: impl Iterator<Item = &'a Report>,
        last_counted: impl Fn(Uuid) -> Option<DateTime<Utc>>,
    ) -> Result<Self, StoreError> {
        let mut sources = Self {
            holds_networks: rules.is_on(HoldReason::NewNetwork),
            holds_late: rules.late_raise,
            ..Self::default()
        };
        let mut days = HashSet::new();
        let further: Vec<_> = linked
            .filter(|report| {
                let (organization_id, day) = day_of(report);
                let last = last_counted(organization_id);
                !days.insert((organization_id, day))
                    || last.is_some_and(|last| last.date_naive() >= day)
            })
            .collect();
        if !further.is_empty() {
            for found in sources::find(txn, &further).await? {
                sources.take(found);
            }
        }
        Ok(sources)
    }

    fn take(&mut self, found: Found) {
        let Found {
            day,
            count,
            network,
            is_known,
            has_known,
        } = found;
        if let Some(count) = count {
            self.days.insert(day, count);
        }
        if is_known {
            self.known.extend(network.map(|network| (day.0, network)));
        }
        if has_known {
            self.with_known.insert(day.0);
        }
    }

    /// Holds a report of a linked organization that raises its day's count late, or from a network that is
    /// not known. The reports of an organization come here in the order of their times.
    pub(super) fn judge(&self, report: &Report, received_at: DateTime<Utc>) -> Option<Hold> {
        let day = *self.days.get(&day_of(report))?;
        let late = source::judge_late(report, day, received_at);
        if let Some(hold) = late.filter(|_| self.holds_late) {
            return Some(hold);
        }
        let network = network_of(report.source.filter(|_| self.holds_networks)?);
        if self.is_known(report.organization_id, network) {
            return None;
        }
        source::judge(report, day, network)
    }

    /// Takes note of what became of a report. The first one of a day that is billed makes its network a
    /// known one; a further one does not, or a stranger would only have to repeat a count before raising it.
    /// Neither does one of another time, which nobody would miss.
    pub(super) fn follow(&mut self, new: &mut NewReport, is_linked: bool) {
        if !is_linked {
            new.makes_network_known = true;
            return;
        }
        if new.hold.is_some() {
            return;
        }
        let report = &new.report;
        let day = day_of(report);
        let network = report.source.map(network_of);
        let earlier = self.days.get(&day);
        let is_first = earlier.is_none()
            && new.state == DeliveryState::Queued
            && !source::is_late(report.reported_at, new.received_at);
        new.makes_network_known =
            network.is_some_and(|network| is_first || self.is_known(day.0, network));
        if earlier.is_none_or(|earlier| report.reported_at > earlier.reported_at) {
            let count = DayCount {
                user_count: report.content.user_count,
                reported_at: report.reported_at,
            };
            self.days.insert(day, count);
        }
        if let Some(network) = network.filter(|_| new.makes_network_known) {
            self.known.insert((day.0, network));
            self.with_known.insert(day.0);
        }
    }

    fn is_known(&self, organization_id: Uuid, network: IpNet) -> bool {
        self.known.contains(&(organization_id, network))
            || !self.with_known.contains(&organization_id)
    }
}
