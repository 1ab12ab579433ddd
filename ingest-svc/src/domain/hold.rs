//! Which reports of a linked organization nobody would have expected, so that a person looks at them
//! before they are billed.
//!
//! All instances share a token, and any of them can say that it is another one. What gives a false
//! report away is that it differs: by its count, or by where it comes from. Each report is compared
//! with the latest one that counts, the baseline. One that is held moves no baseline, so whatever is
//! like it is held too; one that is as expected goes its way meanwhile.

use chrono::{DateTime, Utc};

use super::report::{Content, Report};

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
    const ALL: [Self; 6] = [
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) reason: HoldReason,
    /// A sentence.
    pub(crate) message: String,
}

/// The latest report that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Baseline {
    /// Number of users (seats).
    pub(crate) user_count: i32,
    pub(crate) reported_at: DateTime<Utc>,
    /// Where it came from; none for one of an older database.
    pub(crate) instance_url: Option<String>,
}

impl Baseline {
    /// What is compared with once this report counts.
    pub(crate) fn of(report: &Report) -> Self {
        Self {
            user_count: report.content.user_count,
            reported_at: report.reported_at,
            instance_url: Some(report.content.instance_url.clone()),
        }
    }
}

/// What is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldRules {
    /// A count jumps that is more than this many times the one before, or less than its fraction; 0
    /// holds no jump.
    pub jump_factor: u32,
    /// And that is more than this many seats apart from it; 0 holds no jump.
    pub jump_seats: u32,
    /// Whether a report from another URL is held.
    pub other_url: bool,
    /// Whether a further report of a day is held that raises its count from a network that is not known.
    pub new_network: bool,
}

impl HoldRules {
    /// Compares a report with the baseline.
    pub(crate) fn judge(self, baseline: &Baseline, content: &Content) -> Option<Hold> {
        let known_url = baseline.instance_url.as_deref();
        if let Some(known) = known_url
            && self.other_url
            && !is_same_place(known, &content.instance_url)
        {
            return Some(Hold {
                reason: HoldReason::OtherUrl,
                message: format!("It comes from {}, not from {known}.", content.instance_url),
            });
        }
        let (before, now) = (baseline.user_count, content.user_count);
        self.is_jump(before, now).then(|| Hold {
            reason: if now < before {
                HoldReason::CountDrop
            } else {
                HoldReason::CountJump
            },
            message: format!("It reports {now} users after {before}."),
        })
    }

    fn is_jump(self, before: i32, now: i32) -> bool {
        if self.jump_factor == 0 || self.jump_seats == 0 {
            return false;
        }
        let (low, high) = (i64::from(before.min(now)), i64::from(before.max(now)));
        let seats = i64::from(self.jump_seats);
        let is_far = high - low > seats && high > low.saturating_mul(self.jump_factor.into());
        let is_gone = now == 0 && i64::from(before) >= seats;
        is_far || is_gone
    }
}

/// Whether two URLs name one place: people write them with a scheme and without.
fn is_same_place(one: &str, other: &str) -> bool {
    place(one) == place(other)
}

fn place(url: &str) -> String {
    let lower = url.to_lowercase();
    let bare = lower
        .strip_prefix("https://")
        .or_else(|| lower.strip_prefix("http://"))
        .unwrap_or(&lower);
    bare.trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: HoldRules = HoldRules {
        jump_factor: 10,
        jump_seats: 50,
        other_url: true,
        new_network: true,
    };

    fn content(user_count: i32, instance_url: &str) -> Content {
        Content {
            organization_name: "Acme".to_owned(),
            instance_url: instance_url.to_owned(),
            user_count,
        }
    }

    fn baseline(user_count: i32, instance_url: Option<&str>) -> Baseline {
        Baseline {
            user_count,
            reported_at: DateTime::UNIX_EPOCH,
            instance_url: instance_url.map(str::to_owned),
        }
    }

    fn verdict(rules: HoldRules, before: i32, now: i32) -> Option<HoldReason> {
        let hold = rules.judge(&baseline(before, None), &content(now, "acme.example"));
        hold.map(|hold| hold.reason)
    }

    #[test]
    fn a_jump_is_many_times_and_many_seats_up_or_down() {
        let jump = Some(HoldReason::CountJump);
        let drop = Some(HoldReason::CountDrop);
        for (before, now, expected) in [
            (45, 52, None),
            (45, 450, None),
            (45, 451, jump),
            (451, 45, drop),
            (450, 45, None),
            // Many times as many, and few seats.
            (1, 51, None),
            (1, 52, jump),
            (1, 45, None),
            (0, 50, None),
            (0, 51, jump),
            // None left of many.
            (49, 0, None),
            (50, 0, drop),
            (0, 0, None),
            (10_000_000, 1_000_000, None),
            (10_000_000, 999_999, drop),
        ] {
            assert_eq!(verdict(RULES, before, now), expected, "{before} {now}");
        }
    }

    #[test]
    fn either_threshold_switches_it_off() {
        let no_factor = HoldRules {
            jump_factor: 0,
            ..RULES
        };
        let no_seats = HoldRules {
            jump_seats: 0,
            ..RULES
        };
        for rules in [no_factor, no_seats] {
            assert_eq!(verdict(rules, 1, 1_000_000), None);
            assert_eq!(verdict(rules, 1_000, 0), None);
        }
    }

    #[test]
    fn another_place_is_another_place_however_it_is_written() {
        let judge = |rules: HoldRules, known, url| {
            let hold = rules.judge(&baseline(45, known), &content(45, url));
            hold.map(|hold| hold.reason)
        };
        let known = Some("https://Acme.vaultai.eu/");
        assert_eq!(judge(RULES, known, "acme.vaultai.eu"), None);
        assert_eq!(
            judge(RULES, known, "acme.vaultai.eu.example"),
            Some(HoldReason::OtherUrl)
        );
        assert_eq!(judge(RULES, None, "anywhere.example"), None);
        let off = HoldRules {
            other_url: false,
            ..RULES
        };
        assert_eq!(judge(off, known, "anywhere.example"), None);
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
