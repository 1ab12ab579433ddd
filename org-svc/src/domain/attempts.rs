//! How often somebody may try a password: Better Auth's rule with its default numbers, so that both
//! count alike.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use super::{account::UserId, device::DeviceId};

/// Three attempts, and after ten seconds without one three more.
const ATTEMPTS_DEFAULT: u32 = 3;
const WINDOW_DEFAULT: TimeDelta = TimeDelta::seconds(10);
/// Ten attempts at one account, and after a quarter of an hour without one ten more: 960 a day.
const ACCOUNT_ATTEMPTS_DEFAULT: u32 = 10;
const ACCOUNT_WINDOW_DEFAULT: TimeDelta = TimeDelta::minutes(15);
/// A run of attempts at an account ends after so long without any: the operator is told of it once.
pub(crate) const EPISODE_REST: TimeDelta = TimeDelta::hours(1);
const ATTEMPTS_LIMIT: u32 = 10_000;
/// A day.
const WINDOW_SECONDS_LIMIT: u32 = 86_400;
/// What an attempt from an address that nobody knows counts under.
const UNKNOWN_ADDRESS: &str = "no-trusted-ip";

/// How many attempts one address or account has, and after how long a rest it has as many again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptLimit(Option<Rule>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    attempts: u32,
    window: TimeDelta,
}

impl Default for AttemptLimit {
    fn default() -> Self {
        Self(Some(Rule {
            attempts: ATTEMPTS_DEFAULT,
            window: WINDOW_DEFAULT,
        }))
    }
}

impl AttemptLimit {
    /// The default for one account.
    pub fn of_an_account() -> Self {
        Self(Some(Rule {
            attempts: ACCOUNT_ATTEMPTS_DEFAULT,
            window: ACCOUNT_WINDOW_DEFAULT,
        }))
    }

    /// The rule; `None` where attempts are not counted.
    pub(crate) fn rule(self) -> Option<Rule> {
        self.0
    }
}

impl FromStr for AttemptLimit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self(None));
        }
        let numbers = text.split_once('/').and_then(|(attempts, seconds)| {
            let attempts: u32 = attempts.trim().parse().ok()?;
            let seconds: u32 = seconds.trim().parse().ok()?;
            Some((attempts, seconds))
        });
        match numbers {
            Some((attempts @ 1..=ATTEMPTS_LIMIT, seconds @ 1..=WINDOW_SECONDS_LIMIT)) => {
                Ok(Self(Some(Rule {
                    attempts,
                    window: TimeDelta::seconds(seconds.into()),
                })))
            }
            Some(_) | None => Err("it is not ATTEMPTS/SECONDS"),
        }
    }
}

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    SignIn,
    ChangePassword,
}

impl Attempt {
    /// Under which key it is counted: Better Auth's own, the address and the path.
    pub(crate) fn key(self, ip_address: &str) -> String {
        let address = if ip_address.is_empty() {
            UNKNOWN_ADDRESS
        } else {
            ip_address
        };
        let path = match self {
            Self::SignIn => "/sign-in/email",
            Self::ChangePassword => "/change-password",
        };
        format!("{address}|{path}")
    }
}

/// What was counted so far, in Better Auth's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) count: i64,
    /// When the latest attempt was allowed, in milliseconds since 1970.
    pub(crate) last_ms: i64,
}

/// What becomes of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may be made, and this is the count with it.
    Allowed(i64),
    /// Not before so many milliseconds have passed.
    Refused(i64),
}

/// Under what attempts at a password are counted: a hash, so that an address that no account has is
/// kept no more than one that has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BudgetKey([u8; 32]);

impl BudgetKey {
    /// An account, as anybody may try it.
    pub(crate) fn of_account(email: &str) -> Self {
        Self::of("account", &[email.trim().to_lowercase().as_bytes()])
    }

    /// An account, as a browser that signed in to it before may try it.
    pub(crate) fn of_browser(user_id: &UserId, device: DeviceId) -> Self {
        Self::of("browser", &[user_id.0.as_bytes(), device.bytes()])
    }

    /// An account's password, as one of its sessions may try it to change it.
    pub(crate) fn of_session(user_id: &UserId, session_id: &str) -> Self {
        Self::of("session", &[user_id.0.as_bytes(), session_id.as_bytes()])
    }

    fn of(kind: &str, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new_with_prefix(kind);
        for part in parts {
            hash.update(b"\n");
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }
}

/// What was tried under a key so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tried {
    pub(crate) count: i64,
    /// When the latest attempt was allowed.
    pub(crate) allowed_at: DateTime<Utc>,
    /// When the latest attempt was made, allowed or not.
    pub(crate) tried_at: DateTime<Utc>,
    /// When the operator was told of this run of attempts.
    pub(crate) told_at: Option<DateTime<Utc>>,
}

impl Tried {
    /// The same with one more attempt. The first one that is refused in a run of attempts is told.
    pub(crate) fn after(self, verdict: Verdict, now: DateTime<Utc>) -> Self {
        let told_at = self.told_at.filter(|_| now - self.tried_at < EPISODE_REST);
        match verdict {
            Verdict::Allowed(count) => Self {
                count,
                allowed_at: now,
                tried_at: now,
                told_at,
            },
            Verdict::Refused(_) => Self {
                tried_at: now,
                told_at: told_at.or(Some(now)),
                ..self
            },
        }
    }
}

impl Rule {
    /// So many attempts are allowed.
    pub(crate) fn attempts(self) -> u32 {
        self.attempts
    }

    /// After so long without one.
    pub(crate) fn window(self) -> TimeDelta {
        self.window
    }

    /// Judges an attempt now. A refused one counts for nothing, or whoever goes on trying would keep
    /// somebody else of the same address out for ever.
    pub(crate) fn judge(self, counted: Option<Counted>, now_ms: i64) -> Verdict {
        let window_ms = self.window.num_milliseconds();
        match counted {
            None => Verdict::Allowed(1),
            Some(counted) if now_ms - counted.last_ms >= window_ms => Verdict::Allowed(1),
            Some(counted) if counted.count >= i64::from(self.attempts) => {
                // A clock ahead of ours must not lock anybody out for longer than the window.
                Verdict::Refused((counted.last_ms + window_ms - now_ms).min(window_ms))
            }
            Some(counted) => Verdict::Allowed(counted.count + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> Rule {
        AttemptLimit::default().rule().unwrap()
    }

    #[test]
    fn the_fourth_attempt_waits_until_there_was_none_for_ten_seconds() {
        let at = |count, last_ms| Some(Counted { count, last_ms });
        for (counted, now_ms, verdict) in [
            (None, 50_000, Verdict::Allowed(1)),
            (at(1, 50_000), 50_000, Verdict::Allowed(2)),
            (at(2, 50_000), 59_999, Verdict::Allowed(3)),
            (at(3, 50_000), 50_000, Verdict::Refused(10_000)),
            (at(3, 50_000), 59_999, Verdict::Refused(1)),
            (at(3, 50_000), 60_000, Verdict::Allowed(1)),
            (at(2, 50_000), 60_000, Verdict::Allowed(1)),
            (at(3, 90_000), 50_000, Verdict::Refused(10_000)),
        ] {
            assert_eq!(
                rule().judge(counted, now_ms),
                verdict,
                "{counted:?} {now_ms}"
            );
        }
    }

    #[test]
    fn a_run_of_attempts_is_told_once() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let at = |minutes| start + TimeDelta::minutes(minutes);
        let mut tried = Tried {
            count: 10,
            allowed_at: start,
            tried_at: start,
            told_at: None,
        };
        for (minute, verdict, told_at) in [
            (0, Verdict::Allowed(10), None),
            (1, Verdict::Refused(1), Some(at(1))),
            (2, Verdict::Refused(1), Some(at(1))),
            (15, Verdict::Allowed(1), Some(at(1))),
            (16, Verdict::Refused(1), Some(at(1))),
            (75, Verdict::Refused(1), Some(at(1))),
            (135, Verdict::Allowed(1), None),
            (136, Verdict::Refused(1), Some(at(136))),
        ] {
            tried = tried.after(verdict, at(minute));
            assert_eq!(tried.told_at, told_at, "{minute}");
        }
        assert_eq!(tried.allowed_at, at(135));
    }

    #[test]
    fn accounts_browsers_and_sessions_are_counted_apart() {
        let user = UserId("u1".to_owned());
        let keys = [
            BudgetKey::of_account("a@example.com"),
            BudgetKey::of_account("b@example.com"),
            BudgetKey::of_browser(&user, DeviceId::new([1; 16])),
            BudgetKey::of_browser(&user, DeviceId::new([2; 16])),
            BudgetKey::of_session(&user, "s1"),
            BudgetKey::of_session(&UserId("u1\ns".to_owned()), "1"),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "{at}");
        }
        let one = BudgetKey::of_account(" A@Example.com");
        assert_eq!(one, keys[0]);
    }

    #[test]
    fn a_limit_is_written_as_attempts_and_seconds() {
        assert_eq!("3/10".parse(), Ok(AttemptLimit::default()));
        assert_eq!("off".parse::<AttemptLimit>().unwrap().rule(), None);
        for bad in [
            "", "3", "0/10", "3/0", "3/10/1", "many/10", "-3/10", "3/86401",
        ] {
            assert!(bad.parse::<AttemptLimit>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_attempt_is_counted_under_better_auths_key() {
        assert_eq!(
            Attempt::SignIn.key("203.0.113.7"),
            "203.0.113.7|/sign-in/email"
        );
        assert_eq!(
            Attempt::ChangePassword.key(""),
            "no-trusted-ip|/change-password"
        );
    }
}
