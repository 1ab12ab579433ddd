//! Which reports of a linked organization nobody would have expected, so that a person looks at them
//! before they are billed.
//!
//! All instances share a token, and any of them can say that it is another one. What gives a false
//! report away is that it differs: by its count, or by where it comes from. Each report is compared
//! with the baseline: the days that counted before it, and the URL of the reports that count. One that is
//! held moves no baseline, so a report like it is held too; one that is as expected is sent meanwhile.

use serde_json::{Value as Json, json};

use super::{
    baseline::Baseline,
    place::{self, Place},
    report::Report,
};

/// Why a report is held. The proto file says what each means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoldReason {
    CountJump,
    OtherUrl,
    CountDrop,
    NewNetwork,
    Unsigned,
    OtherKey,
}

impl HoldReason {
    pub(crate) const ALL: [Self; 6] = [
        Self::CountJump,
        Self::OtherUrl,
        Self::CountDrop,
        Self::NewNetwork,
        Self::Unsigned,
        Self::OtherKey,
    ];

    /// The word that the database keeps.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::CountJump => "count_jump",
            Self::OtherUrl => "other_url",
            Self::CountDrop => "count_drop",
            Self::NewNetwork => "new_network",
            Self::Unsigned => "unsigned",
            Self::OtherKey => "other_key",
        }
    }

    /// The reason behind a word of the database.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// What an admin says of a held report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Released,
    Discarded,
}

impl Decision {
    /// The word that the database keeps.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Discarded => "discarded",
        }
    }

    /// The decision behind a word of the database.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Released, Self::Discarded]
            .into_iter()
            .find(|decision| decision.as_str() == word)
    }
}

/// Why a report is held, for programs and for people.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hold {
    pub(crate) reason: HoldReason,
    /// A sentence.
    pub(crate) message: String,
    /// The values behind the sentence, so that a page says it in its own language.
    pub(crate) compared_with: Json,
    /// The change that it shows: held reports of one reason and cause are decided together.
    pub(crate) cause: String,
}

/// A count that is low, and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Low {
    /// What it is compared with.
    pub(crate) baseline: i32,
}

impl Low {
    pub(crate) fn compared_with(self) -> Json {
        json!({ BASELINE: self.baseline })
    }
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    Expected,
    /// It counts and is marked.
    Low(Low),
    Held(Hold),
}

/// The code of a report that an admin discarded.
pub(crate) const DISCARDED: &str = "discarded";

/// The keys of the values that a report was compared with.
pub(crate) const BASELINE: &str = "baseline_user_count";
pub(crate) const LIMIT: &str = "limit_user_count";
pub(crate) const KNOWN_URL: &str = "baseline_instance_url";

/// What is held, and what is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldRules {
    /// A count is held that is more than this many times the baseline; 0 holds none.
    pub jump_factor: u32,
    /// And that is more than this many seats above it; 0 holds none.
    pub jump_seats: u32,
    /// A count is held that is below this fraction of the baseline; 0 holds none.
    pub drop_factor: u32,
    /// And that is more than this many seats below it, or is 0 after that many; 0 holds none.
    pub drop_seats: u32,
    /// A count is marked that is below this fraction of the baseline; 0 marks none.
    pub low_factor: u32,
    /// Whether a report from another URL is held.
    pub other_url: bool,
    /// Whether a further report of a day is held that raises its count from a network that is not known.
    pub new_network: bool,
    /// Whether a late report is held that raises the count of a day that is over.
    pub late_raise: bool,
}

impl HoldRules {
    /// Whether reports may be held for this reason.
    pub(crate) fn is_on(self, reason: HoldReason) -> bool {
        match reason {
            HoldReason::CountJump => self.late_raise || self.jump_factor > 0 && self.jump_seats > 0,
            HoldReason::CountDrop => self.drop_factor > 0 && self.drop_seats > 0,
            HoldReason::OtherUrl => self.other_url,
            HoldReason::NewNetwork => self.new_network,
            // What is confirmed for an organization holds these.
            HoldReason::Unsigned | HoldReason::OtherKey => true,
        }
    }

    /// The rules without the one for this reason.
    pub(crate) fn without(self, reason: HoldReason) -> Self {
        match reason {
            HoldReason::CountJump => Self {
                jump_factor: 0,
                late_raise: false,
                ..self
            },
            HoldReason::CountDrop => Self {
                drop_factor: 0,
                ..self
            },
            HoldReason::OtherUrl => Self {
                other_url: false,
                ..self
            },
            HoldReason::NewNetwork => Self {
                new_network: false,
                ..self
            },
            // What is confirmed for an organization holds these.
            HoldReason::Unsigned | HoldReason::OtherKey => self,
        }
    }

    /// Compares a report with the baseline.
    pub(crate) fn judge(self, baseline: &Baseline, report: &Report) -> Verdict {
        let found = self
            .other_place(baseline, report)
            .or_else(|| self.other_count(baseline, report));
        if let Some(hold) = found {
            return Verdict::Held(hold);
        }
        let before = baseline.user_count_for(report.reported_at);
        let is_low = self.low_factor > 0
            && i64::from(report.content.user_count) * i64::from(self.low_factor)
                < i64::from(before);
        if is_low {
            Verdict::Low(Low { baseline: before })
        } else {
            Verdict::Expected
        }
    }

    fn other_place(self, baseline: &Baseline, report: &Report) -> Option<Hold> {
        let known = baseline
            .instance_url
            .as_deref()
            .filter(|_| self.other_url)?;
        let url = &report.content.instance_url;
        let (from, to) = (Place::of(known), Place::of(url));
        (from != to).then(|| Hold {
            reason: HoldReason::OtherUrl,
            message: format!("It comes from {url}, not from {known}."),
            compared_with: json!({ KNOWN_URL: known }),
            cause: place::change(&from, &to),
        })
    }

    fn other_count(self, baseline: &Baseline, report: &Report) -> Option<Hold> {
        let before = i64::from(baseline.user_count_for(report.reported_at));
        let now = i64::from(report.content.user_count);
        let (reason, limit) = if self.is_jump(before, now) {
            (HoldReason::CountJump, self.jump_limit(before))
        } else if self.is_drop(before, now) {
            (HoldReason::CountDrop, self.drop_limit(before))
        } else {
            return None;
        };
        let relation = match reason {
            HoldReason::CountDrop => "fewer than",
            HoldReason::CountJump
            | HoldReason::OtherUrl
            | HoldReason::NewNetwork
            | HoldReason::Unsigned
            | HoldReason::OtherKey => "more than",
        };
        Some(Hold {
            reason,
            message: format!(
                "It reports {now} users, {relation} {limit}; the baseline is {before}."
            ),
            compared_with: json!({ BASELINE: before, LIMIT: limit }),
            cause: times(before, now),
        })
    }

    fn jump_limit(self, before: i64) -> i64 {
        let many_times = before.saturating_mul(self.jump_factor.into());
        many_times.max(before + i64::from(self.jump_seats))
    }

    fn is_jump(self, before: i64, now: i64) -> bool {
        self.jump_factor > 0 && self.jump_seats > 0 && now > self.jump_limit(before)
    }

    /// The least count that is not held.
    fn drop_limit(self, before: i64) -> i64 {
        let fraction = before.div_euclid(i64::from(self.drop_factor.max(1)));
        let least = fraction + i64::from(fraction * i64::from(self.drop_factor) < before);
        least.min(before - i64::from(self.drop_seats)).max(1)
    }

    fn is_drop(self, before: i64, now: i64) -> bool {
        if self.drop_factor == 0 || self.drop_seats == 0 {
            return false;
        }
        let seats = i64::from(self.drop_seats);
        let is_far = before - now > seats && before > now.saturating_mul(self.drop_factor.into());
        let is_gone = now == 0 && before >= seats;
        is_far || is_gone
    }
}

/// Between which powers of two a count is above, or below, another one.
fn times(before: i64, now: i64) -> String {
    let (low, high) = (before.min(now), before.max(now));
    if low == 0 {
        return if now == 0 { "to 0" } else { "from 0" }.to_owned();
    }
    let (mut from, mut to) = (1_i64, 2_i64);
    while high >= low.saturating_mul(to) {
        (from, to) = (to, to.saturating_mul(2));
    }
    let sign = if now < before { "1/" } else { "" };
    format!("{sign}{from} to {sign}{to}")
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::domain::report::Content;

    const RULES: HoldRules = HoldRules {
        jump_factor: 2,
        jump_seats: 20,
        drop_factor: 10,
        drop_seats: 50,
        low_factor: 2,
        other_url: true,
        new_network: true,
        late_raise: true,
    };

    fn report(user_count: i32, instance_url: &str) -> Report {
        Report {
            organization_id: Uuid::nil(),
            content: Content {
                organization_name: "Acme".to_owned(),
                instance_url: instance_url.to_owned(),
                user_count,
            },
            reported_at: DateTime::UNIX_EPOCH,
            source: None,
            signature: None,
        }
    }

    fn judge(rules: HoldRules, before: &Report, now: &Report) -> Verdict {
        rules.judge(&Baseline::first(before), now)
    }

    fn word(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Expected => "",
            Verdict::Low(_) => "low",
            Verdict::Held(hold) => hold.reason.as_str(),
        }
    }

    fn of_counts(rules: HoldRules, before: i32, now: i32) -> &'static str {
        let url = "acme.example";
        word(&judge(rules, &report(before, url), &report(now, url)))
    }

    #[test]
    fn a_count_is_held_above_twice_and_twenty_more_marked_below_half_and_held_below_a_tenth() {
        let (jump, drop) = ("count_jump", "count_drop");
        for (before, now, expected) in [
            (45, 52, ""),
            (45, 90, ""),
            (45, 91, jump),
            (45, 450, jump),
            // Few users may double and more.
            (5, 25, ""),
            (5, 26, jump),
            (0, 20, ""),
            (0, 21, jump),
            (20, 40, ""),
            (20, 41, jump),
            (45, 23, ""),
            (45, 22, "low"),
            (100, 10, "low"),
            (100, 9, drop),
            // A tenth of few is too few seats to tell.
            (55, 5, "low"),
            (56, 5, drop),
            (49, 0, "low"),
            (50, 0, drop),
            (0, 0, ""),
            (1, 0, "low"),
            (10_000_000, 10_000_000, ""),
            (10_000_000, 999_999, drop),
            (3_000_000, 10_000_000, jump),
        ] {
            assert_eq!(of_counts(RULES, before, now), expected, "{before} {now}");
        }
    }

    #[test]
    fn each_threshold_switches_its_rule_off() {
        let off = [
            HoldRules {
                jump_factor: 0,
                ..RULES
            },
            HoldRules {
                jump_seats: 0,
                ..RULES
            },
        ];
        for rules in off {
            assert_eq!(of_counts(rules, 1, 1_000_000), "");
            assert_eq!(of_counts(rules, 1_000, 0), "count_drop");
        }
        let off = [
            HoldRules {
                drop_factor: 0,
                ..RULES
            },
            HoldRules {
                drop_seats: 0,
                ..RULES
            },
        ];
        for rules in off {
            assert_eq!(of_counts(rules, 1_000, 0), "low");
            assert_eq!(
                of_counts(
                    HoldRules {
                        low_factor: 0,
                        ..rules
                    },
                    1_000,
                    0
                ),
                ""
            );
        }
    }

    #[test]
    fn a_hold_has_its_values_and_its_cause() {
        let url = "acme.example";
        let hold = |before, now| match judge(RULES, &report(before, url), &report(now, url)) {
            Verdict::Held(hold) => hold,
            Verdict::Expected | Verdict::Low(_) => unreachable!("{before} {now}"),
        };
        let jump = hold(45, 450);
        assert_eq!(
            jump.compared_with,
            json!({"baseline_user_count": 45, "limit_user_count": 90})
        );
        assert_eq!(
            jump.message,
            "It reports 450 users, more than 90; the baseline is 45."
        );
        assert_eq!(jump.cause, "8 to 16");
        let fall = hold(1_000, 9);
        assert_eq!(
            fall.compared_with,
            json!({"baseline_user_count": 1_000, "limit_user_count": 100})
        );
        assert_eq!(fall.cause, "1/64 to 1/128");
        assert_eq!(hold(1_000, 0).cause, "to 0");
        assert_eq!(
            hold(55, 0).compared_with,
            json!({"baseline_user_count": 55, "limit_user_count": 5})
        );
    }

    #[test]
    fn another_place_is_another_place_however_it_is_written() {
        let of_urls =
            |rules, known: &str, url: &str| judge(rules, &report(45, known), &report(45, url));
        let known = "https://Acme.vaultai.eu/";
        assert_eq!(
            of_urls(RULES, known, "acme.vaultai.eu:443"),
            Verdict::Expected
        );
        let Verdict::Held(hold) = of_urls(RULES, known, "app.acme.vaultai.eu") else {
            unreachable!("it is another place");
        };
        assert_eq!(
            (hold.reason, hold.cause.as_str()),
            (HoldReason::OtherUrl, "* to app.*")
        );
        assert_eq!(hold.compared_with, json!({"baseline_instance_url": known}));
        let off = HoldRules {
            other_url: false,
            ..RULES
        };
        assert_eq!(of_urls(off, known, "anywhere.example"), Verdict::Expected);
        let mut unknown = Baseline::first(&report(45, known));
        unknown.instance_url = None;
        let verdict = RULES.judge(&unknown, &report(45, "anywhere.example"));
        assert_eq!(verdict, Verdict::Expected);
    }

    #[test]
    fn words_read_back() {
        for reason in HoldReason::ALL {
            assert_eq!(HoldReason::parse(reason.as_str()), Some(reason));
        }
        for decision in [Decision::Released, Decision::Discarded] {
            assert_eq!(Decision::parse(decision.as_str()), Some(decision));
        }
    }
}
