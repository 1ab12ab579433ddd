//! `cargo xtask clock`: moves the clock of the simulated Stripe that `up` runs, and shows what it
//! invoices.
//!
//! Only Stripe's clock moves: the services go by the machine's. What was reported until now is
//! invoiced as it will be; a report that comes afterwards is of Stripe's past, and on no invoice.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ready::Ready;

/// Where `up` has the simulator as a rule, and its key.
const STRIPE_DEFAULT: &str = "http://127.0.0.1:12111";
const KEY_DEFAULT: &str = "sk_test_local";
const DAY_S: u64 = 86_400;
/// Stripe counts by test clocks up to two years.
const DAYS_MAX: u64 = 730;
/// Largest answer that is read: a ledger of a demo has a few megabytes.
const MAX_ANSWER_BYTES: u64 = 256 * 1024 * 1024;

/// What was asked for on the command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How far, in days: `45d`. Without it the clock stays, and the invoices are shown.
    #[arg(long, value_name = "DAYS", value_parser = days)]
    advance: Option<u64>,
    /// The file that `up --ready-file` wrote, where Stripe is not at its usual place.
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
}

fn days(text: &str) -> Result<u64, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
    days.filter(|days| (1..=DAYS_MAX).contains(days))
        .ok_or_else(|| format!("expected 1d to {DAYS_MAX}d"))
}

/// Moves the clock and prints the invoices, a line each.
pub(crate) async fn clock(options: &Options) -> anyhow::Result<ExitCode> {
    let (base, key) = match &options.ready_file {
        Some(path) => {
            let ready = Ready::read(path).context("the ready file cannot be read; is `up` up?")?;
            (ready.stripe_api_base, ready.stripe_secret_key)
        }
        None => (STRIPE_DEFAULT.to_owned(), KEY_DEFAULT.to_owned()),
    };
    let stripe = Stripe::at(&base, key)?;
    if let Some(days) = options.advance {
        let body = json!({ "seconds": days * DAY_S });
        let path = "/_sim/clock/advance";
        stripe.call("POST", path, &body.to_string()).await?;
    }
    let omit = "meter_events,recent_requests,subscriptions,products,prices,meters,customers";
    let path = format!("/_sim/ledger?omit={omit}");
    let ledger = stripe.call("GET", &path, "").await?;
    let invoices = ledger.get("invoices").and_then(Value::as_array);
    let invoices = invoices.context("the simulator has no list of invoices")?;
    let lines: Vec<String> = invoices.iter().flat_map(lines).collect();
    for line in &lines {
        println!("{line}");
    }
    let total: i64 = invoices.iter().map(|it| number(it, "total")).sum();
    println!("{} invoices, {}", invoices.len(), money(total));
    Ok(ExitCode::SUCCESS)
}

/// The simulator, and nothing that could be Stripe.
struct Stripe {
    authority: String,
    key: String,
}

impl Stripe {
    fn at(base: &str, key: String) -> anyhow::Result<Self> {
        let authority = base
            .strip_prefix("http://")
            .map(|it| it.trim_end_matches('/'));
        let local = authority.filter(|it| it.starts_with("127.0.0.1:"));
        let authority = local.context("`up` runs with a real Stripe, whose clock nobody moves")?;
        Ok(Self {
            authority: authority.to_owned(),
            key,
        })
    }

    /// This little HTTP saves xtask a client library.
    async fn call(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Value> {
        let Self { authority, key } = self;
        let stream = TcpStream::connect(authority).await;
        let mut stream = stream.with_context(|| {
            format!("no simulator answers at {authority}; is `cargo xtask up` up?")
        })?;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {key}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream
            .take(MAX_ANSWER_BYTES)
            .read_to_end(&mut answer)
            .await?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        if !head.starts_with("HTTP/1.1 200 ") {
            bail!("{method} {path} was refused: {body}");
        }
        Ok(serde_json::from_str(body)?)
    }
}

fn number(value: &Value, field: &str) -> i64 {
    value.get(field).and_then(Value::as_i64).unwrap_or_default()
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_default()
}

/// A line of text for each line of an invoice.
fn lines(invoice: &Value) -> Vec<String> {
    let lines = invoice.pointer("/lines/data").and_then(Value::as_array);
    let lines = lines.map(Vec::as_slice).unwrap_or_default();
    let who = text(invoice, "/customer_name");
    let status = text(invoice, "/status");
    let told = lines.iter().map(|line| {
        let seat_days = text(line, "/quantity_decimal");
        let cents = text(line, "/pricing/unit_amount_decimal");
        let amount = money(number(line, "amount"));
        format!("{who}: {seat_days} seat-days × {cents} ct = {amount} ({status})")
    });
    told.collect()
}

/// Cents as euros: `180.00 €`.
fn money(cents: i64) -> String {
    let (euros, rest) = (cents / 100, (cents % 100).abs());
    format!("{euros}.{rest:02} €")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_be_worked_out() {
        let invoice = json!({
            "customer_name": "Acme", "status": "open", "total": 18_000,
            "lines": { "data": [{
                "quantity_decimal": "360", "amount": 18_005,
                "pricing": { "unit_amount_decimal": "50" },
            }] },
        });
        let expected = "Acme: 360 seat-days × 50 ct = 180.05 € (open)";
        assert_eq!(lines(&invoice), [expected]);
    }

    #[test]
    fn days_are_days_and_the_clock_of_stripe_itself_is_left_alone() {
        assert_eq!(days("45d"), Ok(45));
        for wrong in ["45", "0d", "d", "-1d", "731d", "2w"] {
            assert!(days(wrong).is_err(), "{wrong}");
        }
        for (base, good) in [
            ("http://127.0.0.1:12111/", true),
            ("https://api.stripe.com", false),
            ("http://10.0.0.1:12111", false),
        ] {
            assert_eq!(Stripe::at(base, String::new()).is_ok(), good, "{base}");
        }
    }
}
