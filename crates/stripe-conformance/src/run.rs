//! A run: each assertion by itself, a line for each, and nothing left behind.

use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::time::timeout;

use crate::{
    account::Account,
    assertions::{ASSERTIONS, Assertion, Runs},
    target::Target,
};

/// Assertions at once: each mostly waits for Stripe to move a clock.
const AT_ONCE: usize = 6;
/// How long one assertion may take.
const ASSERTION_MAX: Duration = Duration::from_secs(900);

/// How a run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Assertions that hold.
    pub passed: usize,
    /// Assertions that do not.
    pub failed: usize,
}

/// Runs all assertions, or those that are named; `print` gets a line for each and one in the end.
/// When `stop` ends first, what was made is deleted all the same.
///
/// # Errors
/// The account cannot be asked at all, a name is of no assertion, or it was stopped.
pub async fn run(
    target: &Target,
    only: &[String],
    stop: impl Future<Output = ()>,
    print: &mut dyn FnMut(&str),
) -> anyhow::Result<Verdict> {
    for name in only {
        anyhow::ensure!(
            ASSERTIONS.iter().any(|it| it.name == name),
            "There is no assertion {name}. --list names them."
        );
    }
    let account = Account::open(target).await?;
    let outcome = tokio::select! {
        verdict = all(&account, target, only, print) => Ok(verdict),
        () = stop => Err(anyhow::anyhow!("stopped")),
    };
    for line in account.clean_up().await {
        print(&format!("left behind: {line}"));
    }
    let verdict = outcome?;
    let Verdict { passed, failed } = verdict;
    let name = target.name();
    print(&format!(
        "stripe-conformance: {passed} passed, {failed} failed ({name})"
    ));
    Ok(verdict)
}

async fn all(
    account: &Account,
    target: &Target,
    only: &[String],
    print: &mut dyn FnMut(&str),
) -> Verdict {
    let mut verdict = Verdict::default();
    let wanted =
        |assertion: &&Assertion| only.is_empty() || only.iter().any(|name| name == assertion.name);
    let (mut everywhere, mut simulated) = (Vec::new(), Vec::new());
    for assertion in ASSERTIONS.iter().filter(wanted) {
        match (assertion.runs, target) {
            (Runs::Everywhere, _) => everywhere.push(assertion),
            (Runs::SimulatorOnly(_), Target::Simulator) => simulated.push(assertion),
            (Runs::SimulatorOnly(why), Target::TestMode { .. }) => {
                print(&format!("skipped {}: {why}", assertion.name));
            }
        }
    }
    let lines = stream::iter(everywhere)
        .map(|assertion| judged(account, assertion))
        .buffered(AT_ONCE);
    // These change how the simulator behaves, to all: one after the other, and last.
    let others = stream::iter(simulated).then(|assertion| judged(account, assertion));
    let mut lines = Box::pin(lines.chain(others));
    while let Some((line, holds)) = lines.next().await {
        print(&line);
        if holds {
            verdict.passed += 1;
        } else {
            verdict.failed += 1;
        }
    }
    verdict
}

async fn judged(account: &Account, assertion: &Assertion) -> (String, bool) {
    let name = assertion.name;
    match timeout(ASSERTION_MAX, (assertion.check)(account)).await {
        Ok(Ok(())) => (format!("ok {name}"), true),
        Ok(Err(error)) => (format!("FAILED {name}: {error:#}"), false),
        Err(_elapsed) => {
            let seconds = ASSERTION_MAX.as_secs();
            let line = format!("FAILED {name}: expected an end, got none within {seconds} s");
            (line, false)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    async fn verdict_on(account: &Account, name: &str) -> (String, bool) {
        let assertion = ASSERTIONS.iter().find(|it| it.name == name);
        judged(account, assertion.unwrap()).await
    }

    /// The simulator has a way to be wrong on purpose: it takes bad events and tells later.
    #[tokio::test]
    async fn a_stripe_that_is_not_as_we_take_it_fails_and_is_told_apart() {
        let account = Account::open(&Target::Simulator).await.unwrap();
        let settings = json!({ "meter_errors": "reported" });
        account.control("/_sim/settings", &settings).await.unwrap();
        for (name, expected) in [
            (
                "timestamps_have_bounds",
                "FAILED timestamps_have_bounds: expected an event of 36 days ago to be refused, got Accepted",
            ),
            (
                "an_unknown_customer_is_a_final_no",
                "FAILED an_unknown_customer_is_a_final_no: expected a refusal, got Accepted",
            ),
            ("an_identifier_counts_once", "ok an_identifier_counts_once"),
        ] {
            let (line, _) = verdict_on(&account, name).await;
            assert_eq!(line, expected);
        }
        let fault = json!({ "route": "GET /v1/customers", "respond": { "status": 403 } });
        account.control("/_sim/faults", &fault).await.unwrap();
        let (line, holds) = verdict_on(&account, "the_list_shows_a_customer_at_once").await;
        assert!(!holds, "{line}");
    }

    #[tokio::test]
    async fn nothing_is_left_behind() {
        let account = Account::open(&Target::Simulator).await.unwrap();
        for name in ["billing_is_flexible", "the_same_key_brings_the_same_object"] {
            assert!(verdict_on(&account, name).await.1, "{name}");
        }
        assert_eq!(account.clean_up().await, Vec::<String>::new());
        for path in ["/v1/customers", "/v1/test_helpers/test_clocks"] {
            let left = account.get(path, &[]).await.unwrap();
            assert_eq!(left.body["data"], Value::Array(Vec::new()), "{path}");
        }
    }

    #[tokio::test]
    async fn a_name_of_no_assertion_is_no_pass() {
        let only = ["nothing".to_owned()];
        let never = std::future::pending();
        let outcome = run(&Target::Simulator, &only, never, &mut |_| ()).await;
        assert!(outcome.is_err());
    }
}
