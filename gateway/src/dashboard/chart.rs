//! Users by day, drawn here as SVG: the browser computes nothing.

use std::{collections::BTreeMap, fmt::Write};

use billing_proto::common::v1::{DeliveryState, RecordedReport, UsageDay};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::{labels, ui::Ui};
use crate::domain::time_text;

/// The days of a trend, without the one that goes on.
const TREND_DAYS: i64 = 30;
/// Height of a trend, and the step from day to day, in units of the drawing.
const TREND_HEIGHT: i64 = 30;
const TREND_STEP: i64 = 10;

/// The days of a chart, with the one that goes on.
pub(super) const CHART_DAYS: i64 = 90;
/// Its measures, in units of the drawing: the room for the numbers on the left, a day's step, a bar,
/// and the height of the bars with the room above them.
const LEFT: i64 = 52;
const STEP: i64 = 9;
const BAR: i64 = 7;
/// The room of a date below, which is not to reach over the end.
const TICK: i64 = 64;
const TOP: i64 = 16;
const HEIGHT: i64 = 140;

/// A line with the area below it; days that are missing are bridged.
#[derive(Debug)]
pub(super) struct Trend {
    pub(super) line: String,
    pub(super) area: String,
}

impl Trend {
    /// The trend of the days before today, which is not over; `None` where there are not two.
    pub(super) fn of(days: &[UsageDay], now: DateTime<Utc>) -> Option<Self> {
        let today = now.date_naive();
        let first = today - TimeDelta::days(TREND_DAYS);
        let days = days.iter().filter_map(|day| {
            let start = time_text::known(day.day_start_time)?;
            Some((start.date_naive(), day))
        });
        let days: Vec<_> = days
            .filter(|(date, _)| (first..today).contains(date))
            .collect();
        let most = days.iter().map(|(_, day)| day.user_count).max()?.max(1);
        let mut line = String::new();
        for (date, day) in &days {
            let x = (*date - first).num_days() * TREND_STEP;
            let y = TREND_HEIGHT - height(day.user_count, most, TREND_HEIGHT - 2);
            let verb = if line.is_empty() { 'M' } else { 'L' };
            // Writing into a text never fails.
            let _written = write!(line, "{verb}{x} {y}");
        }
        let (from, _) = days.first()?;
        let (to, _) = days.last().filter(|(to, _)| to != from)?;
        let x = |date: NaiveDate| (date - first).num_days() * TREND_STEP;
        let area = format!(
            "{line}L{} {TREND_HEIGHT}L{} {TREND_HEIGHT}Z",
            x(*to),
            x(*from)
        );
        Some(Self { line, area })
    }
}

/// How high something is that is `value` of `most`.
fn height(value: i64, most: i64, full: i64) -> i64 {
    value.saturating_mul(full).checked_div(most).unwrap_or(0)
}

/// The chart of one organization.
#[derive(Debug)]
pub(super) struct Chart {
    /// From the first day with a report on, the earliest first.
    pub(super) bars: Vec<Bar>,
    /// The lines across, with their numbers.
    pub(super) levels: Vec<Level>,
    /// The days below, some of them.
    pub(super) ticks: Vec<Tick>,
    pub(super) width: i64,
    /// The drawing ends here, below the days.
    pub(super) below: i64,
    pub(super) left: i64,
    /// How many days are missing.
    pub(super) gaps: i64,
}

/// A day of the chart.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) day: String,
    pub(super) users: String,
    pub(super) state: &'static str,
    pub(super) state_class: &'static str,
    /// The look of the bar.
    pub(super) class: &'static str,
    pub(super) x: i64,
    pub(super) y: i64,
    pub(super) width: i64,
    pub(super) height: i64,
    /// The middle, for the mark above a bar that is not as the others.
    pub(super) middle: i64,
    pub(super) is_marked: bool,
}

/// A line across.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) y: i64,
    pub(super) text_y: i64,
    pub(super) text: String,
}

/// A day that is named below.
#[derive(Debug)]
pub(super) struct Tick {
    pub(super) x: i64,
    pub(super) text: String,
}

impl Chart {
    /// The chart of these reports, the latest first; `None` where none is of its days. Of each UTC
    /// day the latest report that counts is drawn; where none does, the latest one, as what it is.
    pub(super) fn of(ui: &Ui, reports: &[RecordedReport], now: DateTime<Utc>) -> Option<Self> {
        let today = now.date_naive();
        let first = today - TimeDelta::days(CHART_DAYS - 1);
        let mut days: BTreeMap<NaiveDate, &RecordedReport> = BTreeMap::new();
        for report in reports {
            let time = time_text::known(report.report_time);
            let Some(date) = time.map(|time| time.date_naive()) else {
                continue;
            };
            if (first..=today).contains(&date) {
                let latest = days.entry(date).or_insert(report);
                let rank = |it: &RecordedReport| (it.counts, time_text::known(it.report_time));
                if rank(report) > rank(latest) {
                    *latest = report;
                }
            }
        }
        let (begin, _) = days.first_key_value()?;
        // What does not count does not set the scale.
        let counted = days.values().filter(|report| report.counts);
        let most = counted.map(|report| report.user_count).max();
        let most = most.or_else(|| days.values().map(|report| report.user_count).max())?;
        let most = round_up(most);
        let mut bars = Vec::new();
        let (mut gaps, mut ticks) = (0, Vec::new());
        for number in (*begin - first).num_days()..CHART_DAYS {
            let date = first + TimeDelta::days(number);
            let x = LEFT + number * STEP;
            if number % 15 == 14 {
                ticks.push(Tick {
                    x: (x + BAR / 2).min(LEFT + CHART_DAYS * STEP - TICK / 2),
                    text: ui.utc_day(midnight(date)),
                });
            }
            let report = days.get(&date).copied();
            // Today's may still come.
            if report.is_none() && date == today {
                continue;
            }
            gaps += i64::from(report.is_none());
            bars.push(bar(ui, date, report, x, most));
        }
        let level = |value: i64| {
            let y = TOP + HEIGHT - height(value, most, HEIGHT);
            Level {
                y,
                text_y: y + 4,
                text: ui.number(&value),
            }
        };
        Some(Self {
            bars,
            levels: vec![level(0), level(most / 2), level(most)],
            ticks,
            width: LEFT + CHART_DAYS * STEP,
            below: TOP + HEIGHT + 18,
            left: LEFT,
            gaps,
        })
    }
}

fn bar(ui: &Ui, date: NaiveDate, report: Option<&RecordedReport>, x: i64, most: i64) -> Bar {
    let (users, state, state_class, class, is_marked, high) = match report {
        None => (
            ui.t.nothing.to_owned(),
            ui.t.chart_gap,
            "bad",
            "gap",
            true,
            0,
        ),
        Some(report) => {
            let (class, is_marked) = look(report.delivery_state());
            (
                ui.number(&report.user_count),
                ui.t.delivery_word(report.delivery_state()),
                labels::delivery_class(report.delivery_state()),
                class,
                is_marked,
                // Of very few something is still to be seen.
                height(report.user_count.min(most), most, HEIGHT).max(2),
            )
        }
    };
    Bar {
        day: ui.utc_day(midnight(date)),
        users,
        state,
        state_class,
        class,
        x,
        y: TOP + HEIGHT - high,
        width: BAR,
        height: high,
        middle: x + BAR / 2,
        is_marked,
    }
}

/// How a bar looks, and whether it is marked besides, because colours are not seen by all.
fn look(delivery: DeliveryState) -> (&'static str, bool) {
    match delivery {
        DeliveryState::Sent
        | DeliveryState::Queued
        | DeliveryState::Waiting
        | DeliveryState::Superseded => ("counted", false),
        DeliveryState::NotBilled | DeliveryState::Unspecified => ("idle", false),
        DeliveryState::Held => ("held", true),
        DeliveryState::Refused | DeliveryState::TooLate | DeliveryState::MissedInvoice => {
            ("refused", true)
        }
    }
}

/// The next of 2, 4, 10, 20, 40, 100, …: it and its half are easily read.
fn round_up(most: i64) -> i64 {
    let mut unit: i64 = 1;
    loop {
        for step in [2, 4, 10] {
            let level = unit.saturating_mul(step);
            if level >= most {
                return level;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

fn midnight(date: NaiveDate) -> DateTime<Utc> {
    date.and_time(chrono::NaiveTime::MIN).and_utc()
}

#[cfg(test)]
pub(super) mod tests {
    use billing_kit::proto_time;

    use super::*;
    use crate::dashboard::ui::tests::readers;

    pub(in crate::dashboard) fn report(
        at: DateTime<Utc>,
        user_count: i64,
        delivery: DeliveryState,
    ) -> RecordedReport {
        RecordedReport {
            user_count,
            report_time: Some(proto_time::to_proto(at)),
            delivery_state: delivery.into(),
            counts: delivery != DeliveryState::Held,
            ..RecordedReport::default()
        }
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_730_419_200 + 3_600, 0).unwrap()
    }

    #[test]
    fn of_a_day_the_latest_report_is_drawn_and_a_day_without_is_a_gap() {
        let [_, ui] = readers();
        let days = |days| now() - TimeDelta::days(days);
        let reports = [
            report(days(1), 90_000, DeliveryState::Held),
            report(days(3) + TimeDelta::hours(3), 9_000, DeliveryState::Held),
            report(days(3) + TimeDelta::hours(2), 45, DeliveryState::Sent),
            report(days(3), 44, DeliveryState::Superseded),
            report(days(4), 0, DeliveryState::Refused),
            report(days(200), 7, DeliveryState::Sent),
        ];
        let chart = Chart::of(&ui, &reports, now()).unwrap();
        let shown: Vec<_> = chart
            .bars
            .iter()
            .map(|b| (b.users.as_str(), b.class))
            .collect();
        let dash = ui.t.nothing;
        let held = ui.number(&90_000);
        assert_eq!(
            shown,
            [
                ("0", "refused"),
                ("45", "counted"),
                (dash, "gap"),
                (held.as_str(), "held")
            ]
        );
        assert_eq!(chart.gaps, 1);
        let levels: Vec<_> = chart.levels.iter().map(|l| l.text.as_str()).collect();
        assert_eq!(levels, ["0", "50", "100"]);
        assert!(Chart::of(&ui, &reports[5..], now()).is_none());
    }

    #[test]
    fn a_level_is_easily_read() {
        for (most, level) in [
            (0, 2),
            (3, 4),
            (5, 10),
            (11, 20),
            (1_245, 2_000),
            (i64::MAX, i64::MAX),
        ] {
            assert_eq!(round_up(most), level, "{most}");
        }
    }

    #[test]
    fn a_trend_ends_before_today_and_needs_two_days() {
        let day = |days, user_count| UsageDay {
            day_start_time: Some(proto_time::to_proto(
                now() - TimeDelta::days(days) - TimeDelta::hours(1),
            )),
            user_count,
            organization_count: 1,
        };
        let trend = Trend::of(&[day(2, 50), day(1, 100), day(0, 1)], now()).unwrap();
        assert_eq!(trend.line, "M280 16L290 2");
        assert_eq!(trend.area, "M280 16L290 2L290 30L280 30Z");
        assert!(Trend::of(&[day(1, 100), day(0, 100)], now()).is_none());
        assert!(Trend::of(&[], now()).is_none());
    }
}
