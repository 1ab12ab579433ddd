//! The system under trial: PostgreSQL, the simulator, six processes of the product, and a proxy on
//! every way between them.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as BlockingMutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use billing_devkit::files;
use billing_devkit::pki::{DevPki, SigningKey, ensure_signing_key};
use billing_devkit::postgres::{Cluster, Durability, with_database};
use billing_devkit::wiring::{Callees, IDENTITIES, Place, Variables, Wiring, address};
use chrono::{DateTime, TimeDelta, Utc};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::database::Database;
use crate::proxy::Proxy;
use crate::schedule::{Disorder, Part, Way, Weather};
use crate::stripe::{SECRET_KEY, Stripe, WEBHOOK_SECRET};

const DATABASE: &str = "billing";
/// The admin who links.
pub(crate) const ADMIN_EMAIL: &str = "admin@billing.example";
/// For processes that are told to end. Most are killed.
const GRACE_SECONDS: u64 = 5;
/// Long, because a machine may be busy with something else.
const READY_TIMEOUT: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Everything that a run goes through.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) stripe: Stripe,
    pub(crate) database: Database,
    /// Past the proxies.
    pub(crate) database_url: String,
    pub(crate) base_url: String,
    pub(crate) admin_password: String,
    layout: Layout,
    proxies: BTreeMap<Way, Proxy>,
    processes: BTreeMap<Part, Mutex<Process>>,
    /// How far the services' clocks are ahead of the machine's.
    clock_offset_s: AtomicI64,
    /// How far Stripe's clock is ahead of theirs.
    stripe_ahead_s: AtomicU64,
    cluster: Arc<BlockingMutex<Option<Cluster>>>,
    simulator: BlockingMutex<Option<Child>>,
}

/// Files and ports.
#[derive(Debug)]
struct Layout {
    bins: PathBuf,
    logs: PathBuf,
    catalog: PathBuf,
    pki: DevPki,
    signing_key: SigningKey,
    better_auth_secret: String,
    ways: BTreeMap<Way, u16>,
    places: BTreeMap<Part, (u16, u16)>,
    simulator: u16,
}

#[derive(Debug)]
struct Process {
    part: Part,
    child: Option<Child>,
    /// How far its clock is off.
    skew_s: i64,
}

impl World {
    pub(crate) async fn build(
        dir: &Path,
        bins: &Path,
        catalog: &Path,
    ) -> anyhow::Result<Arc<Self>> {
        let postgres_dir = dir.join("postgres");
        let start = move || Cluster::start(&postgres_dir, Durability::Kept, &|_| {});
        let cluster = tokio::task::spawn_blocking(start).await??;
        let database_url = cluster.ensure_database(DATABASE)?;
        let layout = Layout::prepare(dir, bins, catalog)?;
        let world = Self {
            stripe: Stripe::at(layout.simulator)?,
            database: Database::at(&database_url)?,
            base_url: format!("http://127.0.0.1:{}", layout.way(Way::InstancesToGateway)?),
            admin_password: files::random_secret(),
            proxies: layout.proxies(&database_url).await?,
            processes: Part::ALL
                .map(|part| (part, Mutex::new(Process::of(part))))
                .into(),
            database_url,
            layout,
            clock_offset_s: AtomicI64::new(0),
            stripe_ahead_s: AtomicU64::new(0),
            cluster: Arc::new(BlockingMutex::new(Some(cluster))),
            simulator: BlockingMutex::new(None),
        };
        world.prepare().await?;
        Ok(Arc::new(world))
    }

    /// Tables, catalog and admin; then everything runs.
    async fn prepare(&self) -> anyhow::Result<()> {
        let mut migrations = self.layout.command("migrations", "migrations")?;
        migrations.args(["up", "--wait", "30"]);
        migrations.env("DATABASE_URL", &self.database_url);
        to_success(migrations, "").await?;
        let mut simulator = self.layout.command("stripe-sim", "stripe-sim")?;
        simulator.args(["--listen", &address(self.layout.simulator)]);
        simulator.args(["--secret-key", SECRET_KEY]);
        simulator.args(["--webhook-url", &self.layout.webhook_url()?]);
        simulator.args(["--webhook-secret", WEBHOOK_SECRET]);
        *lock(&self.simulator) = Some(simulator.spawn()?);
        wait_until("stripe-sim answers", async || {
            self.stripe.behave().await.is_ok()
        })
        .await?;
        self.stripe.deliver_webhooks(Disorder::NONE).await?;
        let mut catalog = self.service(Part::StripeSvc, 0)?;
        catalog.args(["catalog", "apply"]);
        to_success(catalog, "").await?;
        let mut admin = self.service(Part::OrgA, 0)?;
        admin.args(["admin", "create", ADMIN_EMAIL, "--name", "Chaos"]);
        admin.arg("--password-stdin");
        to_success(admin, &format!("{}\n", self.admin_password)).await?;
        for part in Part::ALL {
            self.start(part).await?;
        }
        self.wait_until_ready().await
    }

    /// The time that the services should have.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let offset_s = self.clock_offset_s.load(Ordering::Relaxed);
        instance_sim::now() + TimeDelta::seconds(offset_s)
    }

    pub(crate) fn set(&self, way: Way, weather: Weather) {
        if let Some(proxy) = self.proxies.get(&way) {
            proxy.set(weather);
        }
    }

    /// SIGKILL. Whoever waits for the process's lock finds it down.
    pub(crate) async fn kill_for(&self, part: Part, down: Duration) -> anyhow::Result<()> {
        let mut process = self.process(part)?.lock().await;
        process.kill().await?;
        tokio::time::sleep(down).await;
        self.start_locked(&mut process)
    }

    pub(crate) async fn skew(&self, part: Part, seconds: i64) -> anyhow::Result<()> {
        let mut process = self.process(part)?.lock().await;
        process.kill().await?;
        process.skew_s = seconds;
        self.start_locked(&mut process)
    }

    pub(crate) async fn freeze(&self, part: Part, lasting: Duration) -> anyhow::Result<()> {
        let process = self.process(part)?.lock().await;
        process.signal(Signal::SIGSTOP);
        tokio::time::sleep(lasting).await;
        process.signal(Signal::SIGCONT);
        Ok(())
    }

    pub(crate) async fn crash_postgres(&self) -> anyhow::Result<()> {
        let cluster = Arc::clone(&self.cluster);
        let crash = move || match lock(&cluster).as_mut() {
            Some(cluster) => cluster.crash_and_restart(),
            None => Ok(()),
        };
        tokio::task::spawn_blocking(crash).await?
    }

    pub(crate) async fn stripe_clock_ahead(&self, seconds: u64) -> anyhow::Result<()> {
        self.stripe.advance(seconds).await?;
        self.stripe_ahead_s.fetch_add(seconds, Ordering::Relaxed);
        Ok(())
    }

    /// Everything of ours is dead for a while, and by the time it is back `passing` has passed: for
    /// us and for Stripe. No clock is off after that.
    pub(crate) async fn blackout(&self, passing: Duration, down: Duration) -> anyhow::Result<()> {
        let mut locked = Vec::new();
        for process in self.processes.values() {
            locked.push(process.lock().await);
        }
        for process in &mut locked {
            process.kill().await?;
            process.skew_s = 0;
        }
        // Long enough for what is under way to Stripe to arrive: it would have, in hours.
        tokio::time::sleep(down).await;
        let ahead_s = self.stripe_ahead_s.swap(0, Ordering::Relaxed);
        let passing_s = passing.as_secs();
        self.stripe
            .advance(passing_s.saturating_sub(ahead_s))
            .await?;
        let passing_s = i64::try_from(passing_s)?;
        let before_s = self.clock_offset_s.fetch_add(passing_s, Ordering::Relaxed);
        self.stripe.sign_ahead(before_s + passing_s).await?;
        for process in &mut locked {
            self.start_locked(process)?;
        }
        Ok(())
    }

    /// Nothing is wrong any more.
    pub(crate) async fn heal(&self, passing: Duration) -> anyhow::Result<()> {
        for way in Way::ALL {
            self.set(way, Weather::Clear);
        }
        self.stripe.behave().await?;
        self.stripe.deliver_webhooks(Disorder::NONE).await?;
        self.blackout(passing, Duration::from_secs(2)).await?;
        self.wait_until_ready().await
    }

    pub(crate) async fn wait_until_ready(&self) -> anyhow::Result<()> {
        let client = instance_sim::http_client::client(Duration::from_secs(2))?;
        for (part, (_, health_port)) in &self.layout.places {
            let url = format!("http://127.0.0.1:{health_port}/readyz");
            let is_ready = async || {
                let answer = client.get(&url).send().await;
                answer.is_ok_and(|answer| answer.status().is_success())
            };
            wait_until(&format!("{} is ready", part.name()), is_ready).await?;
        }
        Ok(())
    }

    /// SIGKILL to all of these, and a start at once. Answers when the first of them takes connections
    /// again.
    pub(crate) async fn restart(&self, parts: &[Part]) -> anyhow::Result<Instant> {
        let mut locked = Vec::new();
        for part in parts {
            locked.push(self.process(*part)?.lock().await);
        }
        for process in &mut locked {
            process.kill().await?;
        }
        for process in &mut locked {
            self.start_locked(process)?;
        }
        let mut ports = Vec::new();
        for part in parts {
            ports.push(self.layout.port(*part)?);
        }
        let accepts = async || {
            let connecting = ports
                .iter()
                .map(|port| Box::pin(TcpStream::connect((Ipv4Addr::LOCALHOST, *port))));
            futures::future::select_ok(connecting).await.is_ok()
        };
        wait_until("a part that was killed takes connections", accepts).await?;
        Ok(Instant::now())
    }

    /// Ends all that this world started.
    pub(crate) async fn end(&self) -> anyhow::Result<()> {
        for process in self.processes.values() {
            process.lock().await.kill().await?;
        }
        let simulator = lock(&self.simulator).take();
        if let Some(mut simulator) = simulator {
            simulator.kill().await?;
        }
        let cluster = lock(&self.cluster).take();
        if let Some(cluster) = cluster {
            tokio::task::spawn_blocking(|| Cluster::stop(cluster)).await??;
        }
        Ok(())
    }

    pub(crate) fn logs(&self) -> &Path {
        &self.layout.logs
    }

    async fn start(&self, part: Part) -> anyhow::Result<()> {
        let mut process = self.process(part)?.lock().await;
        self.start_locked(&mut process)
    }

    fn start_locked(&self, process: &mut Process) -> anyhow::Result<()> {
        let mut command = self.service(process.part, process.skew_s)?;
        process.child = Some(command.spawn()?);
        Ok(())
    }

    fn process(&self, part: Part) -> anyhow::Result<&Mutex<Process>> {
        self.processes.get(&part).context("a part has a process")
    }

    /// A part as it would be deployed, but for its clock.
    fn service(&self, part: Part, skew_s: i64) -> anyhow::Result<Command> {
        let offset_s = self.clock_offset_s.load(Ordering::Relaxed) + skew_s;
        let mut command = self.layout.command(part.program(), part.name())?;
        command
            .envs(
                self.layout
                    .variables(part, &self.base_url, &self.database_url)?,
            )
            .env("LOG_FORMAT", "json")
            .env("LOG_FILTER", "info")
            .env("TRUSTED_PROXIES", "127.0.0.1")
            // Instances catch up over days here, with counts that go up and down.
            .env("HOLD_LATE_RAISE", "false")
            // An attempt that a kill interrupts counts as failed, and kills are many here.
            .env("AUTH_ACCOUNT_LIMIT", "off")
            .env("CLOCK_OFFSET_SECONDS", offset_s.to_string());
        Ok(command)
    }
}

impl Layout {
    fn prepare(dir: &Path, bins: &Path, catalog: &Path) -> anyhow::Result<Self> {
        let pki_dir = dir.join("pki");
        let mut held = Vec::new();
        let mut port = || {
            // Each stays bound until all are chosen, so that none is given out twice.
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
            let port = listener.local_addr()?.port();
            held.push(listener);
            Ok::<_, anyhow::Error>(port)
        };
        let mut ways = BTreeMap::new();
        for way in Way::ALL {
            ways.insert(way, port()?);
        }
        let mut places = BTreeMap::new();
        for part in Part::ALL {
            places.insert(part, (port()?, port()?));
        }
        Ok(Self {
            bins: bins.to_owned(),
            logs: dir.join("logs"),
            catalog: daily(catalog, dir)?,
            pki: DevPki::ensure(&pki_dir, &IDENTITIES)?,
            signing_key: ensure_signing_key(&pki_dir)?,
            better_auth_secret: files::random_secret(),
            ways,
            places,
            simulator: port()?,
        })
    }

    async fn proxies(&self, database_url: &str) -> anyhow::Result<BTreeMap<Way, Proxy>> {
        let postgres = port_of(database_url)?;
        let mut proxies = BTreeMap::new();
        for (way, port) in &self.ways {
            let backends = match way {
                Way::InstancesToGateway => vec![self.port(Part::Gateway)?],
                Way::GatewayToIngest => vec![self.port(Part::IngestA)?, self.port(Part::IngestB)?],
                Way::GatewayToOrg | Way::IngestToOrg => {
                    vec![self.port(Part::OrgA)?, self.port(Part::OrgB)?]
                }
                Way::GatewayToStripeSvc | Way::IngestToStripeSvc | Way::OrgToStripeSvc => {
                    vec![self.port(Part::StripeSvc)?]
                }
                Way::StripeSvcToStripe => vec![self.simulator],
                Way::StripeToGateway => vec![self.port(Part::Gateway)?],
                Way::IngestToPostgres | Way::OrgToPostgres | Way::StripeSvcToPostgres => {
                    vec![postgres]
                }
            };
            proxies.insert(*way, Proxy::start(*port, backends).await?);
        }
        Ok(proxies)
    }

    fn variables(
        &self,
        part: Part,
        base_url: &str,
        database_url: &str,
    ) -> anyhow::Result<Variables> {
        let stripe_api_base = format!("http://127.0.0.1:{}", self.way(Way::StripeSvcToStripe)?);
        let wiring = Wiring {
            pki: &self.pki,
            signing_key: &self.signing_key,
            better_auth_secret: &self.better_auth_secret,
            base_url,
            stripe_api_base: &stripe_api_base,
            stripe_secret_key: SECRET_KEY,
            catalog: &self.catalog,
            grace_seconds: GRACE_SECONDS,
        };
        let (port, health_port) = *self.places.get(&part).context("a part has a place")?;
        let place = Place { port, health_port };
        let callees = |ingest, org, stripe| {
            Ok::<_, anyhow::Error>(Callees {
                ingest: self.way(ingest)?,
                org: self.way(org)?,
                stripe: self.way(stripe)?,
            })
        };
        let database = |way| with_port(database_url, self.way(way)?);
        Ok(match part {
            Part::Gateway => wiring.gateway(
                place,
                callees(
                    Way::GatewayToIngest,
                    Way::GatewayToOrg,
                    Way::GatewayToStripeSvc,
                )?,
            ),
            Part::IngestA | Part::IngestB => wiring.ingest_svc(
                place,
                callees(
                    Way::GatewayToIngest,
                    Way::IngestToOrg,
                    Way::IngestToStripeSvc,
                )?,
                &database(Way::IngestToPostgres)?,
            ),
            Part::OrgA | Part::OrgB => wiring.org_svc(
                place,
                callees(Way::GatewayToIngest, Way::GatewayToOrg, Way::OrgToStripeSvc)?,
                &database(Way::OrgToPostgres)?,
            ),
            Part::StripeSvc => {
                let database_url = database(Way::StripeSvcToPostgres)?;
                let mut variables = wiring.stripe_svc(place, &database_url);
                variables.push(("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET.into()));
                variables
            }
        })
    }

    /// A program whose output goes to its log, in a process group of its own, so that a terminal's
    /// Ctrl-C reaches only us. It dies with us.
    fn command(&self, program: &str, name: &str) -> anyhow::Result<Command> {
        std::fs::create_dir_all(&self.logs)?;
        let log = self.logs.join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new(self.bins.join(program));
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true);
        Ok(command)
    }

    fn webhook_url(&self) -> anyhow::Result<String> {
        let gateway = address(self.way(Way::StripeToGateway)?);
        Ok(format!("http://{gateway}/api/webhooks/stripe"))
    }

    fn way(&self, way: Way) -> anyhow::Result<u16> {
        self.ways.get(&way).copied().context("a way has a port")
    }

    fn port(&self, part: Part) -> anyhow::Result<u16> {
        let place = self.places.get(&part).context("a part has a place")?;
        Ok(place.0)
    }
}

impl Process {
    fn of(part: Part) -> Self {
        Self {
            part,
            child: None,
            skew_s: 0,
        }
    }

    async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().and_then(Child::id);
        if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()) {
            // That it is gone is as good.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

/// The catalog with invoices every day that are due the day after: a run has days, and no months.
fn daily(catalog: &Path, dir: &Path) -> anyhow::Result<PathBuf> {
    let mut text = std::fs::read_to_string(catalog)
        .with_context(|| format!("{} cannot be read", catalog.display()))?;
    for (line, daily) in [
        ("interval = \"month\"", "interval = \"day\""),
        ("days_until_due = 30", "days_until_due = 1"),
    ] {
        anyhow::ensure!(text.contains(line), "the catalog does not say {line}");
        text = text.replace(line, daily);
    }
    let path = dir.join("catalog.toml");
    std::fs::write(&path, text)?;
    Ok(path)
}

async fn to_success(mut command: Command, input: &str) -> anyhow::Result<()> {
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that ends without reading tells by its status.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let status = child.wait().await?;
    let program = command.as_std().get_program().display();
    anyhow::ensure!(status.success(), "{program} failed ({status}); see its log");
    Ok(())
}

/// Looks until it is so.
pub(crate) async fn wait_until(what: &str, is_so: impl AsyncFn() -> bool) -> anyhow::Result<()> {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let seconds = READY_TIMEOUT.as_secs();
    tokio::time::timeout(READY_TIMEOUT, looking)
        .await
        .with_context(|| format!("{seconds} s have passed, and not yet: {what}"))
}

fn port_of(database_url: &str) -> anyhow::Result<u16> {
    let authority = database_url.rsplit_once('/').map(|(start, _)| start);
    let port = authority.and_then(|authority| authority.rsplit_once(':'));
    let (_, port) = port.context("the database's URL names its port")?;
    Ok(port.parse()?)
}

/// The same database behind another port of this machine.
fn with_port(database_url: &str, port: u16) -> anyhow::Result<String> {
    let before = database_url.rsplit_once(':').map(|(start, _)| start);
    let before = before.context("the database's URL names its port")?;
    with_database(&format!("{before}:{port}/"), DATABASE)
}

fn lock<T>(mutex: &BlockingMutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_databases_url_changes_its_port_alone() {
        let url = "postgresql://billing:secret@127.0.0.1:5432/billing";
        assert_eq!(port_of(url).unwrap(), 5432);
        assert_eq!(
            with_port(url, 7).unwrap(),
            "postgresql://billing:secret@127.0.0.1:7/billing"
        );
    }
}
