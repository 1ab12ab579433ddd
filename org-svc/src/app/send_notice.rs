//! Sends one notice to the operator's own channel, and stores what came of it. A receiver that answers
//! after the lease has run out may get it twice, under the same id.

use std::time::Duration;

use billing_kit::Fault;
use rand::RngExt;
use uuid::Uuid;

use super::Organizations;
use crate::{channel::Channel, domain::notice::Notice, store::notices};

/// Makes one attempt.
pub(crate) async fn send_notice(
    app: &Organizations,
    channel: &Channel,
    notice: &Notice,
    lease_token: Uuid,
) -> Result<(), Fault> {
    let sent = channel
        .send(notice.id, notice.body(), app.clock.now())
        .await;
    let now = app.clock.now();
    let error = match sent {
        Ok(()) => return notices::mark_sent(&app.db, notice.id, lease_token, now).await,
        Err(error) => error,
    };
    match notice.next_delay_ms(now) {
        Some(range) => {
            tracing::warn!(
                notice_id = %notice.id,
                kind = notice.kind.as_str(),
                attempt = notice.attempt_count,
                error,
                "a notice was not taken"
            );
            let delay = Duration::from_millis(rand::rng().random_range(range));
            notices::postpone(&app.db, notice.id, lease_token, &error, now + delay).await
        }
        None => {
            tracing::error!(
                notice_id = %notice.id,
                kind = notice.kind.as_str(),
                attempt = notice.attempt_count,
                error,
                "a notice is given up: nobody took it for three days"
            );
            notices::give_up(&app.db, notice.id, lease_token, &error, now).await
        }
    }
}
