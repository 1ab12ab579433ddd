//! The demo's organizations. The companies are invented, and their mail goes to `.example`.
use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime, TimeDelta, Utc, Weekday};
use uuid::Uuid;

use crate::deterministic;
use crate::report::UsageReport;

/// Says which fleet this is; the ids follow from it.
const SEED: u64 = 0xDE30;

/// A company and its story, told in days before the demo was first brought.
#[derive(Debug, Clone, Copy)]
pub(super) struct Company {
    /// Its name.
    pub(super) name: &'static str,
    /// The first label of its instance's host.
    pub(super) slug: &'static str,
    /// Users in its first report.
    pub(super) users: i64,
    /// New users a week, in thousandths of the first count; they come on working days.
    pub(super) weekly_growth_permille: i64,
    /// Users that are gone at the weekend, in thousandths.
    pub(super) weekend_dip_permille: i64,
    /// Days since its first report.
    pub(super) history_days: i64,
    /// Days since its last report; zero while it still reports.
    pub(super) silent_days: i64,
    /// Its link; none while it is pending.
    pub(super) link: Option<Link>,
}

/// How a company was linked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    /// Days since its billing began, of which [`BILLED_DAYS_MAX`] are brought.
    pub(super) billed_days: i64,
    /// Where it is deployed.
    pub(super) deployment_type: &'static str,
    /// What it pays for.
    pub(super) plan_type: &'static str,
    /// How it stands.
    pub(super) stands: Stands,
}

/// The first billing period goes on when the demo is brought: what it reports at once could not be
/// on the final invoice of a period that is over.
const BILLED_DAYS_MAX: i64 = 25;

/// How a linked company stands with Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    /// In a trial that goes on for this many days.
    Trial(u32),
    /// Paying.
    Active,
    /// With an overdue invoice.
    PastDue,
}

impl Stands {
    /// The value of `subscription_status`.
    pub(super) fn status(self) -> &'static str {
        match self {
            Self::Trial(_) => "trial",
            Self::Active => "active",
            Self::PastDue => "past_due",
        }
    }

    /// The `trial_days` to link with, so many days ago.
    pub(super) fn trial_days(self, days_ago: i64) -> i64 {
        match self {
            Self::Trial(days) => days_ago + i64::from(days),
            Self::Active | Self::PastDue => 0,
        }
    }
}

const ON: &str = "on-premise";
const CLOUD: &str = "managed-cloud";
const HOSTED: &str = "self-hosted";

const fn company(
    name: &'static str,
    slug: &'static str,
    users: i64,
    growth: i64,
    dip: i64,
) -> Company {
    Company {
        name,
        slug,
        users,
        weekly_growth_permille: growth,
        weekend_dip_permille: dip,
        history_days: 0,
        silent_days: 0,
        link: None,
    }
}

impl Company {
    const fn pending(mut self, history_days: i64) -> Self {
        self.history_days = history_days;
        self
    }

    const fn linked(
        mut self,
        history_days: i64,
        billed_days: i64,
        deployment_type: &'static str,
        plan_type: &'static str,
        stands: Stands,
    ) -> Self {
        self.history_days = history_days;
        self.link = Some(Link {
            billed_days,
            deployment_type,
            plan_type,
            stands,
        });
        self
    }

    const fn silent(mut self, days: i64) -> Self {
        self.silent_days = days;
        self
    }
}

/// All of them: 6 pending, 4 in trial, 11 active, 3 past due; 4 of these are silent.
pub(super) const COMPANIES: [Company; 24] = [
    company("Atelier Mérivaux", "merivaux", 14, 20, 0).pending(1),
    company(
        "Brasserie du Canal Saint-Aubin",
        "canal-saint-aubin",
        9,
        0,
        0,
    )
    .pending(3),
    company("Hyvönlahti Oy", "hyvonlahti", 62, 15, 0).pending(5),
    company("Pépinières Loriol-Vert", "loriol-vert", 23, 40, 90).pending(8),
    company("Talleres Miraflor S.L.", "miraflor", 118, 10, 0).pending(16),
    company("Krajina Software s.r.o.", "krajina", 37, 25, 0)
        .pending(27)
        .silent(11),
    company("Clinique du Val d'Ambre", "val-ambre", 164, 18, 60).linked(
        9,
        5,
        CLOUD,
        CLOUD,
        Stands::Trial(9),
    ),
    company("Zorgcentrum De Wilgentuin", "wilgentuin", 86, 30, 40).linked(
        14,
        10,
        CLOUD,
        CLOUD,
        Stands::Trial(4),
    ),
    company("Skovbrynet Arkitekter ApS", "skovbrynet", 28, 55, 0).linked(
        6,
        2,
        ON,
        HOSTED,
        Stands::Trial(28),
    ),
    company("Institut Galatée", "galatee", 210, 12, 120).linked(
        31,
        27,
        ON,
        CLOUD,
        Stands::Trial(3),
    ),
    company("Mutuelle Horizon Bleu", "horizon-bleu", 842, 6, 25).linked(
        47,
        33,
        CLOUD,
        CLOUD,
        Stands::Active,
    ),
    company("Fonderies Valsoane", "valsoane", 316, 4, 0).linked(45, 32, ON, HOSTED, Stands::Active),
    company("Norrvik Logistik AB", "norrvik", 527, 14, 80).linked(
        44,
        33,
        CLOUD,
        CLOUD,
        Stands::Active,
    ),
    company("Bergmoos Präzision GmbH", "bergmoos", 1240, 3, 30).linked(
        47,
        33,
        ON,
        HOSTED,
        Stands::Active,
    ),
    company("Cabinet Orsennes & Associés", "orsennes", 19, 8, 0).linked(
        40,
        29,
        CLOUD,
        CLOUD,
        Stands::Active,
    ),
    company("Vela Cartografia S.r.l.", "vela-cartografia", 45, 35, 0).linked(
        36,
        26,
        CLOUD,
        CLOUD,
        Stands::Active,
    ),
    company("Coopérative Terres d'Iroise", "terres-iroise", 152, 9, 50).linked(
        38,
        24,
        ON,
        CLOUD,
        Stands::Active,
    ),
    company("Polarsund Energi AS", "polarsund", 690, 11, 20).linked(
        33,
        21,
        CLOUD,
        CLOUD,
        Stands::Active,
    ),
    company("Azulejos do Alvor, Lda.", "azulejos-alvor", 33, 16, 0).linked(
        29,
        19,
        ON,
        HOSTED,
        Stands::Active,
    ),
    company("Wielka Polana Sp. z o.o.", "wielka-polana", 274, 22, 35)
        .linked(42, 30, CLOUD, CLOUD, Stands::Active)
        .silent(4),
    company("Transports Garrigue-Lestang", "garrigue-lestang", 97, 5, 0)
        .linked(46, 31, ON, HOSTED, Stands::Active)
        .silent(13),
    company("Éditions de la Mésange", "mesange", 41, 0, 0).linked(
        43,
        33,
        CLOUD,
        CLOUD,
        Stands::PastDue,
    ),
    company("Laiterie des Trois Combes", "trois-combes", 73, 7, 110).linked(
        47,
        33,
        ON,
        CLOUD,
        Stands::PastDue,
    ),
    company("Kanzlei Hollerbusch", "hollerbusch", 16, 0, 0)
        .linked(41, 32, CLOUD, CLOUD, Stands::PastDue)
        .silent(6),
];

impl Company {
    /// The organization's id.
    pub(super) fn id(&self) -> Uuid {
        deterministic::organization_id(SEED, self.number())
    }

    /// Where its bills go.
    pub(super) fn admin_email(&self) -> String {
        format!("billing@{}.example", self.slug)
    }

    /// The address that its reports come from, of the fleet's.
    pub(super) fn address_index(&self) -> u64 {
        self.number() & 0xFF_FFFF
    }

    /// A number of its own.
    fn number(&self) -> u64 {
        self.slug.bytes().fold(SEED, |hash, byte| {
            deterministic::number(hash, u64::from(byte))
        })
    }

    /// The day of its first report, when the demo is first brought today.
    pub(super) fn first_day(&self, today: NaiveDate) -> NaiveDate {
        today - TimeDelta::days(self.history_days)
    }

    /// The moment that its billing began, if it is linked: a morning between two reports.
    pub(super) fn billing_start(&self, first_day: NaiveDate) -> Option<DateTime<Utc>> {
        let link = self.link?;
        let billed_days = link.billed_days.min(BILLED_DAYS_MAX);
        let day = first_day + TimeDelta::days(self.history_days - billed_days);
        let at = NaiveTime::from_hms_opt(9, 40, 0).unwrap_or(NaiveTime::MIN);
        Some(day.and_time(at).and_utc() - TimeDelta::days(1))
    }

    /// Every report from its first day up to now, the oldest first.
    pub(super) fn reports(&self, first_day: NaiveDate, now: DateTime<Utc>) -> Vec<UsageReport> {
        let last_day = if self.silent_days == 0 {
            now.date_naive()
        } else {
            first_day + TimeDelta::days(self.history_days - self.silent_days)
        };
        let past_three = i64::try_from(self.number() % 45).unwrap_or(0);
        let at = NaiveTime::from_hms_opt(3, 0, 0).unwrap_or(NaiveTime::MIN);
        first_day
            .iter_days()
            .take_while(|day| *day <= last_day)
            .map(|day| UsageReport {
                organization_id: self.id(),
                organization_name: self.name.to_owned(),
                instance_url: format!("{}.vaultai.eu", self.slug),
                user_count: self.user_count(first_day, day),
                timestamp: day.and_time(at).and_utc() + TimeDelta::seconds(past_three),
            })
            .filter(|report| report.timestamp <= now)
            .collect()
    }

    /// How many users it has on a day: it grows on working days and dips at the weekend.
    fn user_count(&self, first_day: NaiveDate, day: NaiveDate) -> i64 {
        let weekend = |day: NaiveDate| matches!(day.weekday(), Weekday::Sat | Weekday::Sun);
        let workdays: i64 = first_day
            .iter_days()
            .skip(1)
            .take_while(|each| *each <= day)
            .map(|each| i64::from(!weekend(each)))
            .sum();
        let grown = self.users + self.users * self.weekly_growth_permille * workdays / 5_000;
        if weekend(day) {
            grown - grown * self.weekend_dip_permille / 1_000
        } else {
            grown
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use chrono::TimeZone as _;

    use super::*;

    #[test]
    fn the_companies_are_the_fleet_that_is_promised() {
        let ids: HashSet<Uuid> = COMPANIES.iter().map(Company::id).collect();
        assert_eq!(ids.len(), COMPANIES.len());
        let count = |status: &str| {
            COMPANIES
                .iter()
                .filter(|company| {
                    company.link.map_or("pending", |link| link.stands.status()) == status
                })
                .count()
        };
        assert_eq!(
            [
                count("pending"),
                count("trial"),
                count("active"),
                count("past_due")
            ],
            [6, 4, 11, 3]
        );
        assert_eq!(
            COMPANIES
                .iter()
                .filter(|company| company.silent_days > 0)
                .count(),
            4
        );
        for company in &COMPANIES {
            let billed = company.link.map_or(0, |link| link.billed_days);
            assert!(
                billed <= 33 && billed < company.history_days,
                "{}",
                company.name
            );
            assert!(
                company.silent_days < company.history_days,
                "{}",
                company.name
            );
        }
    }

    /// The demo may be brought twice, on different days: what was reported stays what it was.
    #[test]
    fn a_later_run_only_adds_days() {
        let now = Utc.with_ymd_and_hms(2026, 10, 12, 15, 0, 0).unwrap();
        for company in &COMPANIES {
            let first_day = company.first_day(now.date_naive());
            let early = company.reports(first_day, now);
            let late = company.reports(first_day, now + TimeDelta::days(3));
            let added = if company.silent_days == 0 { 3 } else { 0 };
            assert_eq!(late.len(), early.len() + added, "{}", company.name);
            for (one, other) in early.iter().zip(&late) {
                assert_eq!(one.timestamp, other.timestamp);
                assert_eq!(one.user_count, other.user_count);
            }
            let silent = usize::try_from(company.history_days - company.silent_days).unwrap();
            assert_eq!(early.len(), silent + 1, "{}", company.name);
        }
    }

    #[test]
    fn every_linked_company_has_reports_before_and_after_its_link_that_stripe_takes() {
        for hour in [1, 4, 23] {
            let now = Utc.with_ymd_and_hms(2026, 10, 12, hour, 0, 0).unwrap();
            for company in COMPANIES.iter().filter(|company| company.link.is_some()) {
                let first_day = company.first_day(now.date_naive());
                let start = company.billing_start(first_day).unwrap();
                let reports = company.reports(first_day, now);
                let before = reports
                    .iter()
                    .filter(|report| report.timestamp < start)
                    .count();
                assert!(before > 0 && before < reports.len(), "{}", company.name);
                assert!(now - start < TimeDelta::days(35), "{}", company.name);
            }
        }
    }
}
