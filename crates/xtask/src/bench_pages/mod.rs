//! `cargo xtask bench-pages`: how long the dashboard's pages take, one after another, of a product that
//! `up` runs.

mod client;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use billing_devkit::postgres::run_sql;

use self::client::Client;
use crate::ready::Ready;

/// What each page may take at the median.
const MEDIAN_MAX: Duration = Duration::from_millis(50);
/// Asked first and not counted, so that connections and caches are there.
const WARM_UPS: usize = 2;
/// How long Stripe may take to link the one organization that is linked for it.
const LINK_TIMEOUT: Duration = Duration::from_secs(60);
const LINK_PROBE_EVERY: Duration = Duration::from_millis(500);
/// How far in a list the deep page lies.
const DEEP_PAGES: usize = 20;
/// Two organizations of `fleet.sql` that are pending: its 10th, which becomes linked here, and its 20th.
const LINKED: &str = "2d673bf4-f5cb-a40c-7487-1d3d45ba2e69";
const PENDING: &str = "d3100646-386e-7546-9bad-394d2dccecd0";
/// One of which the subscription has ended: its 3rd.
const ENDED: &str = "1561f393-6a02-28f7-0f80-73dd2bb0ec63";
/// Every list in every order and under every filter, and the other pages that are about no
/// organization.
const ADDRESSES: [&str; 46] = [
    "/",
    "/pending",
    "/pending?sort=created_at",
    "/pending?sort=name",
    "/pending?sort=-name",
    "/pending?q=nov",
    "/pending?q=client",
    "/billed",
    "/billed?sort=created_at",
    "/billed?sort=name",
    "/billed?sort=-name",
    "/billed?sort=status",
    "/billed?status=active",
    "/billed?status=trial",
    "/billed?status=past_due",
    "/billed?status=past_due,unpaid,incomplete,incomplete_expired",
    "/billed?status=canceled",
    "/billed?plan=managed-cloud",
    "/billed?plan=self-hosted",
    "/billed?deployment=on-premise",
    "/billed?status=past_due&plan=self-hosted&deployment=on-premise&sort=name",
    "/billed?reporting=late",
    "/billed?reporting=silent",
    "/billed?reporting=silent&status=trial",
    "/billed?q=no",
    "/billed?q=nov",
    "/billed?q=nov&sort=name",
    "/billed?q=nov&status=past_due",
    "/billed?q=billing99999",
    "/billed?q=zzz",
    "/held",
    "/held?urgent=yes",
    "/refused",
    "/reconciliation",
    "/webhooks",
    "/webhooks?state=dead",
    "/webhooks/meter-errors",
    "/webhooks/notices",
    "/audit",
    "/audit?action=organization.linked",
    "/audit?since=2020-01-01&until=2020-12-31",
    "/keys",
    "/docs",
    "/pending.csv",
    "/billed.csv",
    "/audit.csv",
];

/// What was asked for on the command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The file that `up --ready-file` wrote.
    #[arg(long, value_name = "PATH")]
    ready_file: PathBuf,
    /// Fill its database first, which has no organization yet, with this many.
    #[arg(long, value_name = "ORGANIZATIONS", value_parser = clap::value_parser!(u32).range(100_000..=10_000_000))]
    fill: Option<u32>,
    /// How often each page is asked for.
    #[arg(long, value_name = "TIMES", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..))]
    times: u16,
}

/// Measures every page, and prints a line for each. It fails when a page is too slow at the median.
pub(crate) async fn bench_pages(options: &Options) -> anyhow::Result<ExitCode> {
    let ready = Ready::read(&options.ready_file);
    let ready = ready.context("the ready file cannot be read; is `up` up?")?;
    if let Some(organizations) = options.fill {
        println!("filling the database with {organizations} organizations");
        fill(ready.database_url.clone(), organizations).await?;
    }
    let mut client = Client::of(&ready.base_url)?;
    client
        .sign_in(&ready.admin_email, &ready.admin_password)
        .await?;
    link(&mut client).await?;

    println!("| page | median ms | p95 ms |\n|---|---|---|");
    let mut slow = Vec::new();
    for page in pages(&mut client).await? {
        let times = measure(&mut client, &page, options.times).await?;
        let (median, p95) = (quantile(&times, 50), quantile(&times, 95));
        println!("| `{}` | {} | {} |", page.name, millis(median), millis(p95));
        if median > MEDIAN_MAX {
            slow.push(page.name);
        }
    }
    if slow.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("over {} ms: {}", MEDIAN_MAX.as_millis(), slow.join(", "));
    Ok(ExitCode::FAILURE)
}

async fn fill(database_url: String, organizations: u32) -> anyhow::Result<()> {
    let fleet = include_str!("fleet.sql").replace(":organizations", &organizations.to_string());
    // Blocking, for minutes.
    let filled = tokio::task::spawn_blocking(move || {
        run_sql(&database_url, &fleet)?;
        // The statistics that autovacuum would have made in time; not within a transaction.
        run_sql(&database_url, "VACUUM ANALYZE")
    });
    filled.await?.context("the database cannot be filled")
}

/// A page, by what it is called in the table.
struct Page {
    name: String,
    address: String,
    /// The form that is sent to it.
    form: Option<String>,
}

impl Page {
    fn at(address: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            address: address.into(),
            form: None,
        }
    }
}

async fn pages(client: &mut Client) -> anyhow::Result<Vec<Page>> {
    let mut pages: Vec<_> = ADDRESSES.map(|it| Page::at(it, it)).into();
    for list in ["/pending", "/billed", "/billed?q=nov", "/audit"] {
        let deep = deep(client, list).await?;
        pages.push(Page::at(deep, format!("{list}, page {DEEP_PAGES}")));
    }
    for part in ["", "/invoices", "/subscription", "/cancel"] {
        let name = format!("/organizations/…{part}");
        pages.push(Page::at(format!("/organizations/{LINKED}{part}"), name));
    }
    let unlink = format!("/organizations/{ENDED}/unlink");
    pages.push(Page::at(unlink, "/organizations/…/unlink"));
    let link = format!("/organizations/{PENDING}/link");
    let form = client.get(&link).await?;
    let token = between(&form, "name=\"form_token\" value=\"", '"');
    let token = token.context("the link form has no token")?;
    pages.push(Page::at(link.clone(), "/organizations/…/link"));
    pages.push(Page {
        name: "/organizations/…/link, preview".to_owned(),
        address: link,
        form: Some(format!(
            "form_token={token}&admin_email=bench%40client.example&deployment_type=managed-cloud&plan_type=managed-cloud&trial_days=30"
        )),
    });
    let audit = format!("/audit?organization={LINKED}");
    pages.push(Page::at(audit, "/audit?organization=…"));
    Ok(pages)
}

/// The address of a page far into a list, as who presses "next" gets there.
async fn deep(client: &mut Client, list: &str) -> anyhow::Result<String> {
    let mut address = list.to_owned();
    for _ in 1..DEEP_PAGES {
        let page = client.get(&address).await?;
        let next = page.split("href=\"").skip(1).find_map(|link| {
            let (href, _) = link.split_once('"')?;
            href.contains("cursor=")
                .then(|| href.replace("&#38;", "&").replace("&amp;", "&"))
        });
        address = next.with_context(|| format!("{address} has no next page"))?;
    }
    Ok(address)
}

/// Links one organization, so that Stripe knows the one whose pages ask it.
async fn link(client: &mut Client) -> anyhow::Result<()> {
    let terms = r#"{"admin_email":"bench@client.example","deployment_type":"managed-cloud","plan_type":"managed-cloud","trial_days":30}"#;
    let path = format!("/api/admin/organizations/{LINKED}/link");
    // Of an earlier run it is linked, which is as good.
    client.post_json(&path, terms).await?;
    let subscription = format!("/organizations/{LINKED}/subscription");
    let linked = async {
        while client.get(&subscription).await.is_err() {
            tokio::time::sleep(LINK_PROBE_EVERY).await;
        }
    };
    let in_time = tokio::time::timeout(LINK_TIMEOUT, linked).await;
    in_time.with_context(|| {
        format!("{LINKED} is not linked. Was the database filled with --fill, and is Stripe up?")
    })
}

async fn measure(client: &mut Client, page: &Page, times: u16) -> anyhow::Result<Vec<Duration>> {
    // Of a file that is as long as its list what counts is when it begins.
    let first_byte_only = page.address.contains(".csv");
    let mut measured = Vec::new();
    for turn in 0..WARM_UPS + usize::from(times) {
        let form = page.form.as_deref();
        let (status, took) = client.time(&page.address, form, first_byte_only).await?;
        if status != 200 {
            bail!("{} is answered with {status}", page.address);
        }
        if turn >= WARM_UPS {
            measured.push(took);
        }
    }
    measured.sort_unstable();
    Ok(measured)
}

/// The time that this many percent of the sorted times do not exceed.
fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    let time = sorted.get(rank.saturating_sub(1));
    time.copied().unwrap_or_default()
}

fn millis(time: Duration) -> String {
    let tenths = time.as_micros() / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn between<'t>(text: &'t str, start: &str, end: char) -> Option<&'t str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(found, _)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_times() {
        let times: Vec<_> = (1..=30).map(Duration::from_millis).collect();
        for (percent, expected) in [(50, 15), (95, 29), (100, 30)] {
            let expected = Duration::from_millis(expected);
            assert_eq!(quantile(&times, percent), expected, "{percent}");
        }
        assert_eq!(quantile(&[], 50), Duration::ZERO);
        assert_eq!(millis(Duration::from_micros(12_345)), "12.3");
    }

    #[test]
    fn a_forms_token_is_found() {
        let form = r#"<input type="hidden" name="form_token" value="ab.12">"#;
        let start = "name=\"form_token\" value=\"";
        assert_eq!(between(form, start, '"'), Some("ab.12"));
        assert_eq!(between("<form>", start, '"'), None);
    }
}
