//! The faults of a run, and when each strikes. Both follow from the seed alone.
//!
//! What a fault hits is not repeatable: that depends on what the machine is doing at that moment.

use std::fmt;
use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

/// The longest run.
pub const SECONDS_MAX: u64 = 24 * 60 * 60;
/// The shortest in which every kind of fault has its turn.
pub const SECONDS_MIN: u64 = 5;

/// Faults come this far apart, in milliseconds: more than two a second.
const GAP_MS: std::ops::Range<u64> = 150..650;
/// Everything goes down and the clocks go on this often, in milliseconds.
const BLACKOUT_EVERY_MS: u64 = 11_000;
const BLACKOUT_FIRST_MS: u64 = 4_000;
/// PostgreSQL crashes this often, in milliseconds.
const CRASH_EVERY_MS: u64 = 13_000;
const CRASH_FIRST_MS: u64 = 2_500;

/// A process of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The public face.
    Gateway,
    /// One of the two of ingest-svc.
    IngestA,
    /// The other.
    IngestB,
    /// One of the two of org-svc.
    OrgA,
    /// The other.
    OrgB,
    /// The door to Stripe.
    StripeSvc,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Gateway,
        Self::IngestA,
        Self::IngestB,
        Self::OrgA,
        Self::OrgB,
        Self::StripeSvc,
    ];

    /// Its name, in logs and on files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::IngestA => "ingest-svc-a",
            Self::IngestB => "ingest-svc-b",
            Self::OrgA => "org-svc-a",
            Self::OrgB => "org-svc-b",
            Self::StripeSvc => "stripe-svc",
        }
    }

    /// The program that it runs.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::IngestA | Self::IngestB => "ingest-svc",
            Self::OrgA | Self::OrgB => "org-svc",
            Self::StripeSvc => "stripe-svc",
        }
    }
}

/// A way between two parts; every connection on it passes a proxy of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named after its two ends")]
pub enum Way {
    InstancesToGateway,
    GatewayToIngest,
    GatewayToOrg,
    GatewayToStripeSvc,
    IngestToOrg,
    IngestToStripeSvc,
    OrgToStripeSvc,
    StripeSvcToStripe,
    StripeToGateway,
    IngestToPostgres,
    OrgToPostgres,
    StripeSvcToPostgres,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::InstancesToGateway,
        Self::GatewayToIngest,
        Self::GatewayToOrg,
        Self::GatewayToStripeSvc,
        Self::IngestToOrg,
        Self::IngestToStripeSvc,
        Self::OrgToStripeSvc,
        Self::StripeSvcToStripe,
        Self::StripeToGateway,
        Self::IngestToPostgres,
        Self::OrgToPostgres,
        Self::StripeSvcToPostgres,
    ];
}

/// How a way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// As it should be.
    Clear,
    /// Connections break, and none can be made.
    Cut,
    /// Nothing moves, and nothing breaks.
    Held,
    /// Everything takes this much longer, each way.
    Slow(Duration),
}

/// What Stripe does to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mischief {
    /// It is done, and the connection hangs and breaks.
    TimeoutAfter,
    /// It is not done, and the connection hangs and breaks.
    TimeoutBefore,
    /// It is not done, and the connection breaks.
    Refuse,
    /// "Another request is under way."
    Conflict,
    /// "Too many requests", with a `Retry-After`.
    TooMany,
    /// A failure before anything was done.
    FailBefore,
    /// A failure after it was done.
    FailAfter,
    /// It is done, and the answer breaks off.
    CutBody,
    /// It takes longer.
    Slow,
}

impl Mischief {
    /// Each with its weight: what is done and not told is what bills twice.
    const ALL: [Self; 12] = [
        Self::TimeoutAfter,
        Self::TimeoutAfter,
        Self::FailAfter,
        Self::FailAfter,
        Self::TimeoutBefore,
        Self::Refuse,
        Self::Conflict,
        Self::TooMany,
        Self::FailBefore,
        Self::FailAfter,
        Self::CutBody,
        Self::Slow,
    ];
}

/// The calls that Stripe's mischief strikes.
const ROUTES: [&str; 6] = [
    "POST /v1/billing/meter_events",
    "POST /v1/billing/meter_events",
    "POST /v1/billing/meter_events",
    "POST /v1/customers",
    "POST /v1/subscriptions",
    "*",
];

/// How Stripe delivers its webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disorder {
    /// Of a hundred so many are delivered twice.
    pub twice_percent: u8,
    /// Of a hundred so many are never delivered.
    pub lost_percent: u8,
    /// Each waits for up to this long.
    pub late: Duration,
    /// Whether they overtake one another.
    pub shuffled: bool,
}

impl Disorder {
    /// Each once, at once and in order.
    pub const NONE: Self = Self {
        twice_percent: 0,
        lost_percent: 0,
        late: Duration::ZERO,
        shuffled: false,
    };
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL, and a start after a while.
    Kill { part: Part, down: Duration },
    /// SIGSTOP, and SIGCONT after a while.
    Freeze { part: Part, lasting: Duration },
    /// SIGKILL, and a start with a clock that is wrong.
    Skew { part: Part, seconds: i64 },
    /// PostgreSQL's immediate shutdown, and a start.
    CrashPostgres,
    /// Every connection that PostgreSQL has to give is taken.
    FillConnections { lasting: Duration },
    /// A way's weather changes for a while.
    Weather {
        way: Way,
        weather: Weather,
        lasting: Duration,
    },
    /// Stripe misbehaves on the next calls of a route.
    Stripe {
        route: &'static str,
        mischief: Mischief,
        calls: u32,
        ms: u64,
    },
    /// From now on Stripe delivers its webhooks like this.
    Webhooks(Disorder),
    /// Stripe's clock runs ahead of ours.
    StripeClock { seconds: u64 },
    /// All services are killed at once, and when they start hours have passed.
    Blackout { hours: u64 },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { part, down } => {
                write!(f, "kill {} for {} ms", part.name(), down.as_millis())
            }
            Self::Freeze { part, lasting } => {
                write!(f, "freeze {} for {} ms", part.name(), lasting.as_millis())
            }
            Self::Skew { part, seconds } => {
                write!(
                    f,
                    "kill {}; its clock is {seconds} s off from now on",
                    part.name()
                )
            }
            Self::CrashPostgres => f.write_str("crash PostgreSQL"),
            Self::FillConnections { lasting } => {
                write!(f, "take all connections for {} ms", lasting.as_millis())
            }
            Self::Weather {
                way,
                weather,
                lasting,
            } => write!(f, "{way:?} {weather:?} for {} ms", lasting.as_millis()),
            Self::Stripe {
                route,
                mischief,
                calls,
                ms,
            } => write!(f, "Stripe: {mischief:?} on {route}, {calls} times, {ms} ms"),
            Self::Webhooks(Disorder {
                twice_percent,
                lost_percent,
                late,
                shuffled,
            }) => write!(
                f,
                "Stripe: {twice_percent} % of its webhooks twice, {lost_percent} % never, \
                 up to {} ms late{}",
                late.as_millis(),
                if *shuffled { ", shuffled" } else { "" }
            ),
            Self::StripeClock { seconds } => {
                write!(f, "Stripe's clock goes {seconds} s ahead")
            }
            Self::Blackout { hours } => write!(f, "kill all; {hours} hours pass"),
        }
    }
}

/// A fault with its moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// From the beginning of the run.
    pub at: Duration,
    /// What happens.
    pub fault: Fault,
}

/// The faults of a run, in their order.
#[must_use]
pub fn plan(seed: u64, lasting: Duration) -> Vec<Planned> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let end_ms = u64::try_from(lasting.as_millis()).unwrap_or(u64::MAX);
    let (mut blackout_ms, mut crash_ms) = (BLACKOUT_FIRST_MS, CRASH_FIRST_MS);
    let mut planned = Vec::new();
    let mut at_ms = 0;
    loop {
        at_ms += rng.random_range(GAP_MS);
        if at_ms >= end_ms {
            return planned;
        }
        let fault = if at_ms >= blackout_ms {
            blackout_ms += BLACKOUT_EVERY_MS;
            let hours = rng.random_range(5..14);
            Fault::Blackout { hours }
        } else if at_ms >= crash_ms {
            crash_ms += CRASH_EVERY_MS;
            Fault::CrashPostgres
        } else {
            any_fault(&mut rng)
        };
        let at = Duration::from_millis(at_ms);
        planned.push(Planned { at, fault });
    }
}

fn any_fault(rng: &mut ChaCha12Rng) -> Fault {
    match rng.random_range(0..100) {
        0..18 => Fault::Kill {
            part: pick(rng, &Part::ALL, Part::Gateway),
            down: ms(rng, 0..700),
        },
        18..30 => Fault::Freeze {
            part: pick(rng, &Part::ALL, Part::Gateway),
            lasting: ms(rng, 100..2_500),
        },
        30..34 => Fault::Skew {
            part: pick(rng, &Part::ALL, Part::Gateway),
            seconds: rng.random_range(-20..=20),
        },
        34..37 => Fault::FillConnections {
            lasting: ms(rng, 300..1_500),
        },
        37..67 => weather(rng),
        67..92 => stripe(rng),
        92..96 => Fault::Webhooks(disorder(rng)),
        _ => Fault::StripeClock {
            seconds: rng.random_range(1..15),
        },
    }
}

fn weather(rng: &mut ChaCha12Rng) -> Fault {
    let way = pick(rng, &Way::ALL, Way::InstancesToGateway);
    let weather = match rng.random_range(0..3) {
        0 => Weather::Cut,
        1 => Weather::Held,
        _ => Weather::Slow(ms(rng, 20..600)),
    };
    let lasting = ms(rng, 50..2_000);
    Fault::Weather {
        way,
        weather,
        lasting,
    }
}

fn stripe(rng: &mut ChaCha12Rng) -> Fault {
    Fault::Stripe {
        route: pick(rng, &ROUTES, "*"),
        mischief: pick(rng, &Mischief::ALL, Mischief::Refuse),
        calls: rng.random_range(1..5),
        ms: rng.random_range(100..1_500),
    }
}

fn disorder(rng: &mut ChaCha12Rng) -> Disorder {
    Disorder {
        twice_percent: pick(rng, &[0, 20, 50], 0),
        lost_percent: pick(rng, &[0, 10, 30], 0),
        late: ms(rng, 0..2_000),
        shuffled: rng.random_range(0..2) == 0,
    }
}

fn ms(rng: &mut ChaCha12Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.random_range(range))
}

/// One of them; the other value only where there is none.
pub(crate) fn pick<T: Copy>(rng: &mut impl RngExt, of: &[T], otherwise: T) -> T {
    let place = rng.random_range(0..of.len().max(1));
    of.get(place).copied().unwrap_or(otherwise)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_seed_makes_the_schedule() {
        let lasting = Duration::from_secs(120);
        assert_eq!(plan(1, lasting), plan(1, lasting));
        assert_ne!(plan(1, lasting), plan(2, lasting));
        let shorter = plan(1, Duration::from_secs(20));
        assert!(plan(1, lasting).starts_with(&shorter));
    }

    #[test]
    fn two_minutes_hold_two_hundred_faults_of_every_kind() {
        for seed in 0..50 {
            let planned = plan(seed, Duration::from_secs(120));
            assert!(planned.len() >= 200, "{seed}: {}", planned.len());
            let kinds: BTreeSet<_> = planned
                .iter()
                .map(|planned| match planned.fault {
                    Fault::Kill { .. } => 0,
                    Fault::Freeze { .. } => 1,
                    Fault::Skew { .. } => 2,
                    Fault::CrashPostgres => 3,
                    Fault::FillConnections { .. } => 4,
                    Fault::Weather { .. } => 5,
                    Fault::Stripe { .. } => 6,
                    Fault::StripeClock { .. } => 7,
                    Fault::Blackout { .. } => 8,
                    Fault::Webhooks(_) => 9,
                })
                .collect();
            assert_eq!(kinds.len(), 10, "{seed}: {kinds:?}");
        }
    }
}
