//! One HTTP request and its answer, faults included.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use crate::control;
use crate::events::API_VERSION;
use crate::faults::FaultEffect;
use crate::reply::{Body, Dropped, Reply};
use crate::sim::{Inbound, Sim, Ticket};

/// The largest body, in bytes.
const MAX_BODY: usize = 1 << 20;

pub(crate) async fn answer(
    sim: Arc<Sim>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Dropped> {
    let (head, body) = request.into_parts();
    let body: Bytes = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Err(Dropped),
    };
    let inbound = Inbound {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query().unwrap_or_default(),
        headers: &head.headers,
        body: &body,
    };
    let header = |name: &str| {
        inbound
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    if inbound.path == "/healthz" {
        return Ok(Reply::json(200, &serde_json::json!({ "status": "ok" })).into_response());
    }
    if inbound.path.starts_with("/_sim/") {
        return Ok(control::answer(&sim, &inbound).await.into_response());
    }
    let mut reply = match sim.admit(&inbound) {
        Err(reply) => reply,
        Ok(ticket) => carry_out(&sim, ticket).await?,
    };
    reply = reply.with(
        "stripe-version",
        header("stripe-version").unwrap_or(API_VERSION),
    );
    if let Some(key) = header("idempotency-key") {
        reply = reply.with("idempotency-key", key);
    }
    Ok(reply.into_response())
}

/// A delayed call goes on when its caller has left, as it does at Stripe.
async fn carry_out(sim: &Arc<Sim>, ticket: Ticket) -> Result<Reply, Dropped> {
    if ticket.plan.delay.is_zero() {
        return go_through(sim, ticket).await;
    }
    let later = Arc::clone(sim);
    let task = sim.tasks.spawn(async move {
        later.pause(ticket.plan.delay).await?;
        go_through(&later, ticket).await
    });
    task.await.unwrap_or(Err(Dropped))
}

async fn go_through(sim: &Sim, ticket: Ticket) -> Result<Reply, Dropped> {
    let done = perform(sim, &ticket);
    let status = done.as_ref().ok().map(|reply| reply.status);
    let arrives = !done.as_ref().is_ok_and(|reply| reply.cut);
    sim.record_end(&ticket, status.filter(|_| arrives));
    match done {
        Ok(reply) => Ok(reply.with("request-id", &ticket.request_id)),
        Err(hang) => {
            sim.pause(hang).await?;
            Err(Dropped)
        }
    }
}

/// The effect and the answer, or how long the connection hangs instead of one.
fn perform(sim: &Sim, ticket: &Ticket) -> Result<Reply, Duration> {
    match &ticket.plan.effect {
        Some(FaultEffect::Refuse) => Err(Duration::ZERO),
        Some(FaultEffect::TimeoutBefore { hang_ms }) => Err(Duration::from_millis(*hang_ms)),
        Some(FaultEffect::TimeoutAfter { hang_ms }) => {
            sim.execute(ticket, None);
            Err(Duration::from_millis(*hang_ms))
        }
        Some(FaultEffect::Respond(response)) if response.after_effect => {
            Ok(sim.execute(ticket, Some(response)))
        }
        Some(FaultEffect::Respond(response)) => Ok(sim.refuse(ticket, response)),
        Some(FaultEffect::CutBody) => Ok(Reply {
            cut: true,
            ..sim.execute(ticket, None)
        }),
        Some(FaultEffect::DelayMs(_)) | None => Ok(sim.execute(ticket, None)),
    }
}

impl Sim {
    /// Waits, unless the simulator stops.
    async fn pause(&self, time: Duration) -> Result<(), Dropped> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            () = self.stopping.cancelled() => Err(Dropped),
        }
    }
}
