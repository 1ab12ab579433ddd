//! The attack `trust`: a holder of the shared token reports in the name of others.
//!
//! The token can be read out of any instance, so a report proves little. Each scene below forges
//! reports of an organization with 45 users, from addresses that the gateway is told by a proxy that
//! it trusts, and looks at what Stripe was sent, what the admin sees, and whether the real report is
//! there. The attack ends with the number of seats that remain possible.

mod bound;
mod product;

use anyhow::Result;
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use reqwest::StatusCode;

use crate::target::Target;
use crate::{Verdict, say};
use product::{Product, fresh, now};

const USERS: u64 = 45;
/// Where the instance lives, and where the attacker does: networks of documentation.
const HOME: &str = "192.0.2.10";
const ELSEWHERE: &str = "198.51.100.7";
const FLOOD: &str = "203.0.113.9";
/// Unknown organizations of the flood, and how many of one network and day the product takes.
const UNKNOWN: usize = 120;
const UNKNOWN_MAX: usize = 50;
/// As far ahead as a report may be stamped, less what the request takes.
const AHEAD: TimeDelta = TimeDelta::seconds(280);
/// Far enough ahead to be the later one of the day. Each is delivered when its time has come.
const BARELY_AHEAD: TimeDelta = TimeDelta::seconds(5);
/// How long the scenes may take, and how far ahead they report.
const SCENES_MAX: TimeDelta = TimeDelta::minutes(15);
/// How far the arithmetic of the creep looks.
const MONTH: usize = 30;

/// What was found to be wrong.
#[derive(Debug, Default)]
struct Score {
    scenes: usize,
    forged: usize,
    billed: usize,
    shown: usize,
    lost: usize,
    renamed: usize,
    admitted: usize,
}

impl Score {
    fn check(&mut self, what: &str, harm: fn(&mut Self) -> &mut usize, is_harm: bool) {
        if is_harm {
            *harm(self) += 1;
            say(&format!("  WRONG: {what}"));
        }
    }

    fn begin(&mut self, name: &str) {
        self.scenes += 1;
        say(&format!("scene {}: {name}", self.scenes));
    }

    fn has_harm(&self) -> bool {
        let Self {
            scenes: _,
            forged: _,
            billed,
            shown,
            lost,
            renamed,
            admitted,
        } = self;
        [billed, shown, lost, renamed, admitted]
            .into_iter()
            .any(|count| *count > 0)
    }
}

/// Makes the attack.
///
/// # Errors
/// The product did not answer as it must for the attack to be made.
pub(crate) async fn run(target: &Target) -> Result<Verdict> {
    until_the_day_is_long_enough().await;
    let product = Product::open(target).await?;
    let mut score = Score::default();
    jumps(&product, &mut score).await?;
    ahead(&product, &mut score).await?;
    raised(&product, &mut score).await?;
    first_of_the_day(&product, &mut score).await?;
    conflict(&product, &mut score).await?;
    unknown(&product, &mut score).await?;
    remains();
    let Score {
        scenes,
        forged,
        billed,
        shown,
        lost,
        renamed,
        admitted,
    } = &score;
    let week = bound::creep(USERS, 7, 7);
    Ok(Verdict {
        line: format!(
            "{scenes} scenes, {forged} forged reports: billed {billed}, shown {shown}, lost {lost}, \
             renamed {renamed}, admitted {admitted}; possible without a key: {} seat-days \
             in one day, {} in a week",
            week.added(1),
            week.added(7),
        ),
        held: !score.has_harm(),
    })
}

/// The story of the issue: ten times as many, four times within ten seconds.
async fn jumps(product: &Product<'_>, score: &mut Score) -> Result<()> {
    score.begin("450 to 450,000 users from another address, within ten seconds");
    let victim = product.linked("Jumps", USERS, yesterday(), HOME).await?;
    let real = product.report(&victim, USERS, now(), HOME).await?;
    score.check("the real report is refused", lost, !real.is_recorded());
    for (second, users) in (1..).zip([450, 4_500, 45_000, 450_000]) {
        let at = now() + TimeDelta::seconds(second);
        let answer = product.report(&victim, users, at, ELSEWHERE).await?;
        score.forged += 1;
        say(&format!("  {users} users: {}", answer.status));
    }
    let known = product.known(&victim).await?;
    say(&format!(
        "  Stripe was sent {:?}, {} are shown",
        known.billed, known.shown
    ));
    score.check(
        "Stripe was sent a forged count",
        billed,
        known.most_billed() > USERS,
    );
    score.check("a forged count is shown", shown, known.shown != USERS);
    score.check(
        "the real report is gone",
        lost,
        !known.billed.contains(&USERS),
    );
    Ok(())
}

/// A forged report takes a time up to five minutes ahead, at which the real one then comes.
async fn ahead(product: &Product<'_>, score: &mut Score) -> Result<()> {
    score.begin("a forged report stamped five minutes ahead of the real one");
    let victim = product.linked("Ahead", USERS, yesterday(), HOME).await?;
    let at = now() + AHEAD;
    let forged = product.report(&victim, 450, at, ELSEWHERE).await?;
    score.forged += 1;
    let own = product.report(&victim, USERS + 1, now(), HOME).await?;
    let same = product.report(&victim, USERS + 2, at, HOME).await?;
    say(&format!(
        "  forged {}; the real one {}, and with the forged time {}",
        forged.status, own.status, same.status
    ));
    let known = product.known(&victim).await?;
    say(&format!(
        "  Stripe was sent {:?}, {} are shown",
        known.billed, known.shown
    ));
    score.check("the real report is refused", lost, !own.is_recorded());
    score.check(
        "it is not billed",
        lost,
        !known.billed.contains(&(USERS + 1)),
    );
    score.check(
        "Stripe was sent a forged count",
        billed,
        known.most_billed() > USERS + 2,
    );
    score.check("a forged count is shown", shown, known.shown > USERS + 2);
    let is_known = same.is_recorded() || same.status == StatusCode::CONFLICT;
    score.check("the second is answered otherwise", lost, !is_known);
    Ok(())
}

/// The day has a report; a second one from elsewhere stays below the limit of the jump.
async fn raised(product: &Product<'_>, score: &mut Score) -> Result<()> {
    let most = bound::limit(USERS);
    score.begin("a second report of the day, below the limit, from another network");
    let victim = product.linked("Raised", USERS, yesterday(), HOME).await?;
    product.report(&victim, USERS, now(), HOME).await?;
    let at = now() + TimeDelta::seconds(2);
    let forged = product.report(&victim, most, at, ELSEWHERE).await?;
    score.forged += 1;
    let known = product.known(&victim).await?;
    say(&format!(
        "  {most} users: {}; Stripe was sent {:?}, {} are shown",
        forged.status, known.billed, known.shown
    ));
    score.check("it is not held", shown, !known.is_held(most));
    score.check(
        "Stripe was sent a forged count",
        billed,
        known.most_billed() > USERS,
    );
    score.check("a forged count is shown", shown, known.shown != USERS);
    Ok(())
}

/// What remains possible: the first report of a day, at the limit. One more is held.
async fn first_of_the_day(product: &Product<'_>, score: &mut Score) -> Result<()> {
    let most = bound::limit(USERS);
    score.begin("the first report of the day from elsewhere: at the limit, and one above");
    for users in [most, most + 1] {
        let victim = product.linked("First", USERS, yesterday(), HOME).await?;
        product
            .report(&victim, users, now() + BARELY_AHEAD, ELSEWHERE)
            .await?;
        score.forged += 1;
        product.report(&victim, USERS, now(), HOME).await?;
        let known = product.known(&victim).await?;
        say(&format!(
            "  {users} users: Stripe was sent {:?}, {} are shown",
            known.billed, known.shown
        ));
        let bound = if users > most { USERS } else { most };
        score.check(
            "billed beyond the bound",
            billed,
            known.most_billed() > bound,
        );
        score.check("shown beyond the bound", shown, known.shown > bound);
        score.check("the real report is gone", lost, !known.is_stored(USERS));
    }
    Ok(())
}

/// A refused report changes nothing, of an organization that nobody linked either.
async fn conflict(product: &Product<'_>, score: &mut Score) -> Result<()> {
    score.begin("another name under the timestamp of a recorded report");
    let (id, at) = (fresh(), now());
    product
        .send(id, "One", "one.example", USERS, at, HOME)
        .await?;
    let two = product.send(id, "Two", "evil.example", 450, at, ELSEWHERE);
    let two = two.await?;
    score.forged += 1;
    let victim = product::Victim {
        id,
        name: String::new(),
        customer: String::new(),
    };
    let known = product.known(&victim).await?;
    say(&format!("  {}; the list shows {}", two.status, known.name));
    score.check(
        "it was recorded",
        renamed,
        two.status != StatusCode::CONFLICT,
    );
    score.check("it renamed", renamed, known.name != "One");
    score.check("its count is shown", shown, known.shown != USERS);
    Ok(())
}

/// Unknown organizations, many from one network.
async fn unknown(product: &Product<'_>, score: &mut Score) -> Result<()> {
    score.begin("unknown organizations from one network");
    let known = product
        .linked("Neighbor", USERS, yesterday(), FLOOD)
        .await?;
    let mut taken = 0;
    for number in 0..UNKNOWN {
        let name = format!("Unknown {number}");
        let answer = product.send(fresh(), &name, "unknown.example", 9, now(), FLOOD);
        let answer = answer.await?;
        score.forged += 1;
        taken += usize::from(answer.is_recorded());
    }
    let neighbor = product.report(&known, USERS, now(), FLOOD).await?;
    say(&format!(
        "  {taken} of {UNKNOWN} were taken; a known one of the same network: {}",
        neighbor.status
    ));
    score.check(
        "more than the cap were taken",
        admitted,
        taken > UNKNOWN_MAX,
    );
    score.check("the neighbor is refused", lost, !neighbor.is_recorded());
    Ok(())
}

/// Says in numbers what a holder of the token can still add.
fn remains() {
    say(&format!(
        "what remains possible of an organization with {USERS} users and no pinned key, if nobody looks:"
    ));
    for (what, days_before) in [("linked long ago", 7), ("just linked", 0)] {
        let creep = bound::creep(USERS, days_before, MONTH);
        let within = |days| creep.added(days);
        say(&format!(
            "  {what}: {} seat-days on 1 day, {} in 4, {} in 7, {} in 14, {} in {MONTH}",
            within(1),
            within(4),
            within(7),
            within(14),
            within(MONTH)
        ));
    }
}

/// The last hour of yesterday: timely, and not of today.
fn yesterday() -> DateTime<Utc> {
    now().date_naive().and_time(NaiveTime::MIN).and_utc() - TimeDelta::hours(1)
}

/// Waits for a new UTC day where this one has only minutes left: the scenes are of one day.
async fn until_the_day_is_long_enough() {
    let left = yesterday() + TimeDelta::hours(25) - now();
    if left < SCENES_MAX
        && let Ok(left) = left.to_std()
    {
        say("waiting for the next UTC day");
        tokio::time::sleep(left).await;
    }
}

fn billed(score: &mut Score) -> &mut usize {
    &mut score.billed
}

fn shown(score: &mut Score) -> &mut usize {
    &mut score.shown
}

fn lost(score: &mut Score) -> &mut usize {
    &mut score.lost
}

fn renamed(score: &mut Score) -> &mut usize {
    &mut score.renamed
}

fn admitted(score: &mut Score) -> &mut usize {
    &mut score.admitted
}
