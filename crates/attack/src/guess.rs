//! Guesses at the password of one account from many addresses, while its owner signs in.
//!
//! The product holds if most guesses are refused without being looked at, an account that does not
//! exist is answered alike, and the owner gets in: at once from a browser that signed in before, and
//! from a new one after the time that the refusal names.

use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::{Client, Response, StatusCode, header};
use serde_json::json;
use tokio::time::sleep;

use crate::target::Target;
use crate::{Verdict, say};

const SIGN_IN: &str = "/api/auth/sign-in/email";
const FORWARDED_FOR: &str = "x-forwarded-for";
const GUESSES: u32 = 120;
const ADDRESSES: u32 = 40;
/// Guesses of a round that may be looked at: what `AUTH_ACCOUNT_LIMIT` allows here.
const LOOKED_AT_MAX: u32 = 10;
/// No account has it.
const NOBODY: &str = "nobody@attack.example";
/// The owner's own address.
const HOME: &str = "192.0.2.1";
/// Hashing a password takes a while on a busy machine, and attempts queue for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// A refusal that names a longer wait than this is one, too: here the window is 30 s.
const WAIT_SECONDS_MAX: u64 = 60;

/// What became of a round of guesses at one account.
#[derive(Debug, Default, PartialEq, Eq)]
struct Guessed {
    looked_at: u32,
    refused: u32,
    other: u32,
}

/// Guesses, and signs the owner in.
///
/// # Errors
/// There is no verdict: the product cannot be asked, or the owner cannot sign in before the attack.
pub(crate) async fn run(target: &Target, short: bool) -> anyhow::Result<Verdict> {
    let client = Client::builder().timeout(PATIENCE).no_proxy().build()?;
    let good = (&*target.admin_email, &*target.admin_password);
    let first = attempt(&client, target, good, HOME, None).await?;
    ensure!(
        first.status() == StatusCode::OK,
        "the owner cannot sign in before the attack ({})",
        first.status()
    );
    let cookies = first.headers().get_all(header::SET_COOKIE).iter();
    let mut cookies = cookies.filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
    let device = cookies.find(|cookie| cookie.contains("device"));
    let device = device.map(str::to_owned);

    let mut problems = Vec::new();
    let mut last = Guessed::default();
    for _ in 0..if short { 1 } else { 3 } {
        let nobody = round(&client, target, NOBODY).await?;
        let guessed = round(&client, target, &target.admin_email).await?;
        say(&format!("guesses at the owner's account: {guessed:?}"));
        say(&format!("guesses at an account of nobody: {nobody:?}"));
        if guessed.looked_at > LOOKED_AT_MAX || guessed.other > 0 {
            problems.push("guesses were not stopped");
        }
        if guessed != nobody {
            problems.push("an account that does not exist is answered in another way");
        }
        last = guessed;
        let known = attempt(&client, target, good, HOME, device.as_deref()).await?;
        if known.status() != StatusCode::OK {
            problems.push("the owner is locked out of a browser that signed in before");
        }
        let new = attempt(&client, target, good, HOME, None).await?;
        let wait = retry_after(&new);
        if let Some(wait) = wait.filter(|wait| *wait <= WAIT_SECONDS_MAX) {
            say(&format!("a new browser is told to wait {wait} s"));
            sleep(Duration::from_secs(wait)).await;
        }
        let later = attempt(&client, target, good, HOME, None).await?;
        if later.status() != StatusCode::OK {
            problems.push("the owner is locked out of a new browser after the window");
        }
    }
    let Guessed {
        looked_at, refused, ..
    } = last;
    let counts = format!(
        "{GUESSES} guesses from {ADDRESSES} addresses: {looked_at} looked at, {refused} refused"
    );
    Ok(Verdict {
        line: if problems.is_empty() {
            format!("{counts}; the owner got in")
        } else {
            format!("{counts}; {}", problems.join("; "))
        },
        held: problems.is_empty(),
    })
}

/// Guesses at one account.
async fn round(client: &Client, target: &Target, email: &str) -> anyhow::Result<Guessed> {
    let mut guessed = Guessed::default();
    for guess in 0..GUESSES {
        let address = format!("198.51.{}.7", guess % ADDRESSES);
        let password = format!("guess number {guess}");
        let answer = attempt(client, target, (email, &password), &address, None).await?;
        match answer.status() {
            StatusCode::UNAUTHORIZED => guessed.looked_at += 1,
            StatusCode::TOO_MANY_REQUESTS if retry_after(&answer).is_some() => guessed.refused += 1,
            _ => guessed.other += 1,
        }
    }
    Ok(guessed)
}

/// An attempt to sign in, as the proxy in front of the gateway forwards it.
async fn attempt(
    client: &Client,
    target: &Target,
    (email, password): (&str, &str),
    address: &str,
    device: Option<&str>,
) -> anyhow::Result<Response> {
    let request = client
        .post(format!("{}{SIGN_IN}", target.base_url))
        .header(FORWARDED_FOR, address)
        .json(&json!({"email": email, "password": password}));
    let request = match device {
        Some(cookie) => request
            .header(header::COOKIE, cookie)
            .header(header::ORIGIN, &target.base_url),
        None => request,
    };
    request.send().await.context("the gateway does not answer")
}

/// The seconds of a refusal.
fn retry_after(answer: &Response) -> Option<u64> {
    let seconds = answer.headers().get(header::RETRY_AFTER)?;
    seconds.to_str().ok()?.parse().ok()
}
