//! One run, from an empty directory to the verdict.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::check::{SHOWN_MAX, Verdict, judge};
use crate::journal::Journal;
use crate::world::World;
use crate::{admins, dashboard, fleet, forger, inject, logs, records, recovery, schedule};

/// Faults begin once so many organizations are linked: there must be something to lose.
const LINKED_IN_PEACE: usize = admins::FIRST_LINKED;
const PEACE_TIMEOUT: Duration = Duration::from_secs(120);
/// From the healing until nothing is under way any more.
/// Long, because a machine may be busy with something else.
const QUIET_TIMEOUT: Duration = Duration::from_secs(240);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The last leap of the clocks: whatever waits for its next attempt is due after it.
const LAST_LEAP: Duration = Duration::from_secs(2 * 3_600);

/// What a run is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the schedule of the faults follows from.
    pub seed: u64,
    /// How long faults strike.
    pub lasting: Duration,
    /// Where the binaries are.
    pub bins: PathBuf,
    /// What is sold.
    pub catalog: PathBuf,
    /// Where journal, logs and data go; emptied first.
    pub dir: PathBuf,
}

/// Makes one run. Answers whether nothing was lost, doubled or wrong.
///
/// # Errors
/// The run itself could not be made.
pub async fn run(options: &Options, say: impl Fn(&str)) -> anyhow::Result<bool> {
    if options.dir.exists() {
        std::fs::remove_dir_all(&options.dir)
            .with_context(|| format!("{} cannot be emptied", options.dir.display()))?;
    }
    std::fs::create_dir_all(&options.dir)?;
    let journal = Arc::new(Journal::create(&options.dir.join("journal.jsonl"))?);
    say("starting PostgreSQL, the simulator and six processes");
    let mut stop = StopSignals::listen()?;
    // Half a world is taken down by its parts' own Drop.
    let world = tokio::select! {
        world = World::build(&options.dir, &options.bins, &options.catalog) => world?,
        () = stop.received() => anyhow::bail!("stopped"),
    };
    let outcome = tokio::select! {
        outcome = live(options, &world, &journal, &say) => outcome,
        () = stop.received() => Err(anyhow::anyhow!("stopped")),
    };
    world.end().await?;
    let verdict = outcome?;
    anyhow::ensure!(
        verdict.reports > 0 && verdict.links > 0,
        "nobody was told anything: {}",
        verdict.line()
    );
    let json = serde_json::to_vec_pretty(&verdict)?;
    std::fs::write(options.dir.join("verdict.json"), json)?;
    for finding in verdict.findings.iter().take(SHOWN_MAX) {
        say(&format!("{:?}: {}", finding.harm, finding.what));
    }
    say(&verdict.line());
    Ok(verdict.is_clean())
}

/// Being told to stop: Ctrl-C, SIGTERM (which is how xtask passes it on), or a terminal that went
/// away. What runs must not outlive us.
struct StopSignals([Signal; 3]);

impl StopSignals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn received(&mut self) {
        let Self([interrupt, terminate, hang_up]) = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    }
}

async fn live(
    options: &Options,
    world: &Arc<World>,
    journal: &Arc<Journal>,
    say: &impl Fn(&str),
) -> anyhow::Result<Verdict> {
    say("linking the first organizations");
    let (stop, stopped) = watch::channel(false);
    let mut actors = JoinSet::new();
    let organizations = fleet::organizations(options.seed);
    for (number, organization) in (1..).zip(&organizations) {
        let seed = options.seed.wrapping_add(number << 32);
        let (world, journal) = (Arc::clone(world), Arc::clone(journal));
        actors.spawn(fleet::report_on(
            world,
            journal,
            *organization,
            seed,
            stopped.clone(),
        ));
    }
    actors.spawn(dashboard::manage(
        Arc::clone(world),
        admins::ending(&organizations),
        options.seed,
        stopped.clone(),
    ));
    let ending = admins::ending(&organizations);
    actors.spawn(forger::forge(
        Arc::clone(world),
        Arc::clone(journal),
        options.seed,
        stopped.clone(),
        move |organization| !ending.contains(&organization),
    ));
    actors.spawn(admins::work_on(
        Arc::clone(world),
        Arc::clone(journal),
        organizations,
        options.seed,
        options.lasting,
        stopped,
    ));
    until_linked(journal).await;
    let seconds = options.lasting.as_secs();
    say(&format!("faults for {seconds} s"));
    let planned = schedule::plan(options.seed, options.lasting);
    inject::inject(world, journal, planned).await;

    say("healing");
    stop.send_replace(true);
    world.heal(LAST_LEAP).await?;
    let answered = async {
        while let Some(actor) = actors.join_next().await {
            actor??;
        }
        anyhow::Ok(())
    };
    let in_time = tokio::time::timeout(QUIET_TIMEOUT, answered).await;
    in_time.context("instances and admins wait for answers in vain")??;
    say("waiting for quiet");
    let mut recovery = None;
    // Where something never ends, there is a verdict already.
    if is_quiet_in_time(world).await? {
        say("measuring how soon reports are taken again");
        let newcomer = fleet::newcomer(options.seed);
        recovery = Some(recovery::measure(world, journal, newcomer).await?);
        is_quiet_in_time(world).await?;
    }
    say("comparing what was told, what is stored and what is billed");
    let error_lines = logs::unexpected(world.logs())?;
    let records = records::read(world, journal, error_lines).await?;
    if let Some(recovery) = recovery {
        say(&recovery.to_string());
    }
    Ok(judge(options.seed, &records))
}

/// Waits until the first organizations are linked; not for ever, for that is not what is tried here.
async fn until_linked(journal: &Journal) {
    let deadline = Instant::now() + PEACE_TIMEOUT;
    while journal.linked_count() < LINKED_IN_PEACE && Instant::now() < deadline {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until nothing is under way. What still is by then, the checkers find.
async fn is_quiet_in_time(world: &World) -> anyhow::Result<bool> {
    let deadline = Instant::now() + QUIET_TIMEOUT;
    while !records::is_quiet(world).await? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(true)
}
