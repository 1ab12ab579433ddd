//! stripe-svc's contract for org-svc, small enough to be read: an operation is carried out once, however
//! often it is asked for; and a test says what happens meanwhile, and what the feed tells.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use billing_kit::{Fault, Violation, proto_time::to_proto};
use billing_proto::{
    common::v1::{CancelMode, SubscriptionStatus},
    stripe::v1::{
        CancelSubscriptionRequest, CancelSubscriptionResponse, ProvisionSubscriptionRequest,
        ProvisionSubscriptionResponse, ProvisionedSubscription, StripeRefusal, SubscriptionState,
        UpdateSubscriptionRequest, UpdateSubscriptionResponse, WatchSubscriptionsRequest,
        WatchSubscriptionsResponse, cancel_subscription_response,
        provision_subscription_response::Outcome,
        subscription_service_server::{SubscriptionService, SubscriptionServiceServer},
        update_subscription_response,
    },
};
use chrono::{DateTime, TimeDelta};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::{net::TcpListener, sync::watch};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use url::Url;

/// What the next calls lead to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Mood {
    Provision,
    Refuse(StripeRefusal),
    /// It does its work, and nobody hears of it.
    LoseTheAnswer,
    /// It is asked and neither works nor answers.
    Hang,
    /// It cannot read what it is asked for, and never will.
    FindInvalid,
}

/// What is answered to a request that cannot be read.
fn invalid() -> Status {
    let violation = Violation::new("admin_email", "It is too long.");
    Fault::invalid(vec![violation]).into()
}

#[derive(Debug)]
struct Ledger {
    outcomes: HashMap<String, Outcome>,
    requests: Vec<ProvisionSubscriptionRequest>,
    /// From where each reader of the feed began.
    cursors: Vec<i64>,
    /// The changes made, by their operations.
    changes: Vec<(String, Change)>,
    /// The changes that were asked for, repetitions included.
    asked_changes: Vec<Change>,
}

/// What it was asked and what it did survive its stops, as a database would.
#[derive(Debug, Clone)]
pub(crate) struct StripeSvc {
    ledger: Arc<Mutex<Ledger>>,
    /// The messages so far: the place of a message is its cursor, from 1 on.
    feed: watch::Sender<Vec<Vec<SubscriptionState>>>,
    /// How often the feed was broken off.
    breaks: watch::Sender<usize>,
    mood: watch::Sender<Mood>,
    addr: SocketAddr,
    stop: CancellationToken,
}

impl StripeSvc {
    pub(crate) async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = Self {
            ledger: Arc::new(Mutex::new(Ledger {
                outcomes: HashMap::new(),
                requests: Vec::new(),
                cursors: Vec::new(),
                changes: Vec::new(),
                asked_changes: Vec::new(),
            })),
            feed: watch::Sender::default(),
            breaks: watch::Sender::default(),
            mood: watch::Sender::new(mood),
            addr: listener.local_addr().unwrap(),
            stop: CancellationToken::new(),
        };
        service.serve(listener);
        service
    }

    fn serve(&self, listener: TcpListener) {
        let server = tonic::transport::Server::builder()
            .add_service(SubscriptionServiceServer::new(self.clone()))
            .serve_with_incoming_shutdown(
                TcpListenerStream::new(listener),
                self.stop.clone().cancelled_owned(),
            );
        tokio::spawn(async move { server.await.unwrap() });
    }

    pub(crate) fn url(&self) -> Url {
        Url::parse(&format!("http://{}", self.addr)).unwrap()
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// Tells a message by the feed.
    pub(crate) fn tell(&self, states: Vec<SubscriptionState>) {
        self.feed.send_modify(|feed| feed.push(states));
    }

    /// Breaks the feed off for whoever reads it now.
    pub(crate) fn break_feed(&self) {
        self.breaks.send_modify(|breaks| *breaks += 1);
    }

    /// From which cursors the feed was read so far.
    pub(crate) fn cursors(&self) -> Vec<i64> {
        self.ledger.lock().unwrap().cursors.clone()
    }

    /// The requests so far, repetitions included.
    pub(crate) fn requests(&self) -> Vec<ProvisionSubscriptionRequest> {
        self.ledger.lock().unwrap().requests.clone()
    }

    /// The changes that were made, each once.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let ledger = self.ledger.lock().unwrap();
        let changes = ledger.changes.iter();
        changes.map(|(_, change)| change.clone()).collect()
    }

    /// The changes that were asked for so far, repetitions included.
    pub(crate) fn asked_changes(&self) -> Vec<Change> {
        self.ledger.lock().unwrap().asked_changes.clone()
    }

    /// How many operations were provisioned.
    pub(crate) fn provisioned(&self) -> usize {
        let ledger = self.ledger.lock().unwrap();
        let is_provisioned = |outcome: &&Outcome| matches!(outcome, Outcome::Provisioned(_));
        ledger.outcomes.values().filter(is_provisioned).count()
    }

    /// Makes a change, or finds it made: by the operation, as ever.
    async fn change(
        &self,
        change: Change,
        operation: &str,
    ) -> Result<Result<SubscriptionState, StripeRefusal>, Status> {
        let asked = change.clone();
        self.ledger.lock().unwrap().asked_changes.push(asked);
        let mut moods = self.mood.subscribe();
        let mood = moods
            .wait_for(|mood| *mood != Mood::Hang)
            .await
            .unwrap()
            .clone();
        if mood == Mood::FindInvalid {
            return Err(invalid());
        }
        if let Mood::Refuse(refusal) = mood {
            return Ok(Err(refusal));
        }
        let state = {
            let mut ledger = self.ledger.lock().unwrap();
            if !ledger.changes.iter().any(|(made, _)| made == operation) {
                ledger.changes.push((operation.to_owned(), change.clone()));
            }
            change.state(1_000 + i64::try_from(ledger.changes.len()).unwrap())
        };
        if mood == Mood::LoseTheAnswer {
            return Err(Status::unavailable("the connection broke"));
        }
        Ok(Ok(state))
    }

    fn settle(&self, request: &ProvisionSubscriptionRequest, mood: &Mood) -> Outcome {
        let mut ledger = self.ledger.lock().unwrap();
        let count = ledger.outcomes.len() + 1;
        ledger
            .outcomes
            .entry(request.operation_id.clone())
            .or_insert_with(|| match mood {
                Mood::Refuse(refusal) => Outcome::Refusal(refusal.clone()),
                Mood::Provision | Mood::LoseTheAnswer | Mood::Hang | Mood::FindInvalid => {
                    Outcome::Provisioned(provisioned(request, count))
                }
            })
            .clone()
    }
}

/// A change of a subscription that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    Update(UpdateSubscriptionRequest),
    Cancel(CancelSubscriptionRequest),
}

impl Change {
    fn state(&self, version: i64) -> SubscriptionState {
        let start = Some(to_proto(start_time()));
        let end = Some(to_proto(start_time() + TimeDelta::days(30)));
        let (id, organization) = match self {
            Self::Update(request) => (&request.stripe_subscription_id, &request.organization_id),
            Self::Cancel(request) => (&request.stripe_subscription_id, &request.organization_id),
        };
        let (status, cancel_time, end_time) = match self {
            Self::Update(_) => (SubscriptionStatus::Trial, None, None),
            Self::Cancel(request) if request.mode() == CancelMode::Now => {
                (SubscriptionStatus::Canceled, None, start)
            }
            Self::Cancel(_) => (SubscriptionStatus::Trial, end, None),
        };
        SubscriptionState {
            stripe_subscription_id: id.clone(),
            stripe_customer_id: "cus_1".to_owned(),
            organization_id: organization.clone(),
            subscription_status: status.into(),
            trial_end_time: end,
            start_time: start,
            current_period_start_time: start,
            current_period_end_time: end,
            cancel_time,
            end_time,
            customer_deleted: false,
            observe_time: start,
            version,
            invoiced_until_time: None,
            collection_pause: None,
        }
    }
}

/// When every subscription here starts.
pub(crate) fn start_time() -> DateTime<chrono::Utc> {
    DateTime::from_timestamp(1_800_000_007, 0).unwrap()
}

fn provisioned(request: &ProvisionSubscriptionRequest, count: usize) -> ProvisionedSubscription {
    let trial =
        (request.trial_days > 0).then(|| start_time() + TimeDelta::days(request.trial_days.into()));
    let status = if trial.is_some() {
        SubscriptionStatus::Trial
    } else {
        SubscriptionStatus::Active
    };
    let customer = Some(request.adopt_customer_id.clone()).filter(|id| !id.is_empty());
    let customer = customer.unwrap_or_else(|| format!("cus_{count}"));
    ProvisionedSubscription {
        stripe_customer_id: customer,
        stripe_subscription_id: format!("sub_{count}"),
        subscription_status: status.into(),
        trial_end_time: trial.map(to_proto),
        start_time: Some(to_proto(start_time())),
    }
}

#[tonic::async_trait]
impl SubscriptionService for StripeSvc {
    async fn provision_subscription(
        &self,
        request: Request<ProvisionSubscriptionRequest>,
    ) -> Result<Response<ProvisionSubscriptionResponse>, Status> {
        let request = request.into_inner();
        self.ledger.lock().unwrap().requests.push(request.clone());
        let mut moods = self.mood.subscribe();
        // A call that hangs goes on as soon as the mood is another.
        let mood = moods
            .wait_for(|mood| *mood != Mood::Hang)
            .await
            .unwrap()
            .clone();
        if mood == Mood::FindInvalid {
            return Err(invalid());
        }
        let outcome = self.settle(&request, &mood);
        if mood == Mood::LoseTheAnswer {
            return Err(Status::unavailable("the connection broke"));
        }
        Ok(Response::new(ProvisionSubscriptionResponse {
            outcome: Some(outcome),
        }))
    }

    async fn update_subscription(
        &self,
        request: Request<UpdateSubscriptionRequest>,
    ) -> Result<Response<UpdateSubscriptionResponse>, Status> {
        let request = request.into_inner();
        let outcome = self
            .change(Change::Update(request.clone()), &request.operation_id)
            .await?;
        let outcome = match outcome {
            Ok(state) => update_subscription_response::Outcome::Subscription(state),
            Err(refusal) => update_subscription_response::Outcome::Refusal(refusal),
        };
        Ok(Response::new(UpdateSubscriptionResponse {
            outcome: Some(outcome),
        }))
    }

    async fn cancel_subscription(
        &self,
        request: Request<CancelSubscriptionRequest>,
    ) -> Result<Response<CancelSubscriptionResponse>, Status> {
        let request = request.into_inner();
        let outcome = self
            .change(Change::Cancel(request.clone()), &request.operation_id)
            .await?;
        let outcome = match outcome {
            Ok(state) => cancel_subscription_response::Outcome::Subscription(state),
            Err(refusal) => cancel_subscription_response::Outcome::Refusal(refusal),
        };
        Ok(Response::new(CancelSubscriptionResponse {
            outcome: Some(outcome),
        }))
    }

    type WatchSubscriptionsStream = BoxStream<'static, Result<WatchSubscriptionsResponse, Status>>;

    async fn watch_subscriptions(
        &self,
        request: Request<WatchSubscriptionsRequest>,
    ) -> Result<Response<Self::WatchSubscriptionsStream>, Status> {
        let cursor = request.into_inner().cursor;
        self.ledger.lock().unwrap().cursors.push(cursor);
        let (feed, mut breaks) = (self.feed.subscribe(), self.breaks.subscribe());
        breaks.mark_unchanged();
        let from = (feed, usize::try_from(cursor).unwrap());
        let messages = stream::unfold(from, async |(mut feed, at)| {
            let told = feed.wait_for(|feed| feed.len() > at).await.ok()?;
            let states = told[at].clone();
            drop(told);
            let cursor = i64::try_from(at).unwrap() + 1;
            Some((
                Ok(WatchSubscriptionsResponse { states, cursor }),
                (feed, at + 1),
            ))
        });
        let stop = self.stop.clone();
        let end = async move {
            tokio::select! {
                _ = breaks.changed() => {}
                () = stop.cancelled() => {}
            }
        };
        Ok(Response::new(messages.take_until(Box::pin(end)).boxed()))
    }
}
