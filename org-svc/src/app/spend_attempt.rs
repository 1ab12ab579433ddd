//! Counts attempts at the password of an account, and refuses what is too much. What anybody may try
//! is counted apart from what a browser may try that signed in before: a stranger cannot lock out
//! the owner of an account there.

use std::time::Duration;

use billing_kit::{Fault, context::RequestContext};
use billing_kit_db::db_fault;
use billing_proto::common::v1::ErrorReason;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use sea_orm::{DatabaseTransaction, TransactionTrait};
use serde_json::json;

use super::{Admins, note_failure::note_failure};
use crate::{
    domain::{
        account::{User, to_millis},
        attempts::{BudgetKey, Counted, EPISODE_REST, Rule, Verdict},
        notice::{Notice, NoticeKey, NoticeKind},
        sign_in_failure::FailedAction,
    },
    store::{notices, sign_in_budgets},
};

/// An attempt that was counted, to be given back should the password be right.
#[derive(Debug)]
pub(super) struct Spent(Option<One>);

#[derive(Debug)]
struct One {
    key: BudgetKey,
    at: DateTime<Utc>,
    /// When the attempt before it was allowed.
    before: DateTime<Utc>,
}

/// Counts an attempt at the password of `user` (`None` for an address that no account has) before a
/// password is looked at.
///
/// # Errors
/// RATE_LIMITED; then it is counted as a failure, and the operator is told of the first one of a run.
pub(super) async fn spend_attempt(
    app: &Admins,
    action: FailedAction,
    key: BudgetKey,
    user: Option<&User>,
) -> Result<Spent, Fault> {
    let Some(rule) = app.rules.account_limit.rule() else {
        return Ok(Spent(None));
    };
    let now = to_millis(app.clock.now());
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let (tried, is_new) = sign_in_budgets::lock(&transaction, &key, now).await?;
    let counted = Counted {
        count: tried.count,
        last_ms: tried.allowed_at.timestamp_millis(),
    };
    let verdict = rule.judge(Some(counted), now.timestamp_millis());
    let next = tried.after(verdict, now);
    sign_in_budgets::store(&transaction, &key, next).await?;
    if next.told_at == Some(now) {
        tell(app, &transaction, action, user, rule, now).await?;
    }
    transaction.commit().await.map_err(db_fault)?;
    if is_new {
        let rest = EPISODE_REST.max(rule.window());
        sign_in_budgets::forget_before(&app.db, now - rest).await?;
    }
    match verdict {
        Verdict::Allowed(_) => Ok(Spent(Some(One {
            key,
            at: now,
            before: tried.allowed_at,
        }))),
        Verdict::Refused(wait_ms) => {
            note_failure(app, action, user, true).await;
            Err(too_many(wait_ms))
        }
    }
}

/// Takes an attempt back: the password was right.
pub(super) async fn give_back(app: &Admins, spent: Spent) -> Result<(), Fault> {
    match spent.0 {
        None => Ok(()),
        Some(One { key, at, before }) => {
            sign_in_budgets::give_back(&app.db, &key, at, before).await
        }
    }
}

/// The refusal of an attempt that came too often.
pub(super) fn too_many(wait_ms: i64) -> Fault {
    let mut fault = Fault::new(
        ErrorReason::RateLimited,
        "Too many attempts. Try again later.",
    );
    let seconds = u64::try_from(wait_ms).unwrap_or(0).div_ceil(1_000);
    fault.retry_after = Some(Duration::from_secs(seconds));
    fault
}

/// Tells the operator of a run of attempts, in the log and on their channel.
async fn tell(
    app: &Admins,
    transaction: &DatabaseTransaction,
    action: FailedAction,
    user: Option<&User>,
    rule: Rule,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let address = RequestContext::current().client_address;
    let user_id = user.map(|user| user.id.0.as_str());
    tracing::warn!(
        action = action.as_str(),
        user_id,
        client_address = address.map(tracing::field::display),
        "somebody tries passwords at an account; further attempts are refused for a while"
    );
    if !app.rules.notices {
        return Ok(());
    }
    let notice = Notice {
        id: app.ids.next(),
        kind: NoticeKind::SignInBurst,
        occurred_at: now,
        data: json!({
            "action": action.as_str(),
            "user_id": user_id,
            "email": user.map(|user| &user.email),
            "attempt_limit": rule.attempts(),
            "window_seconds": rule.window().num_seconds(),
            "client_address": address,
        }),
        created_at: now,
        attempt_count: 0,
    };
    // Of addresses that no account has one notice an hour: anybody can think of a million.
    let hour = now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now);
    let (whose, since) = user_id.map_or(("", hour), |id| (id, now));
    let key = format!("{}/{since}/{whose}", NoticeKind::SignInBurst.as_str());
    let key = NoticeKey::parse(&key).map_err(Fault::internal)?;
    notices::insert_told(transaction, &[(key, notice)], now).await
}
