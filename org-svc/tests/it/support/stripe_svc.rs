//! stripe-svc's contract for links, small enough to be read: an operation is provisioned once,
//! however often it is asked for; and a test says what happens meanwhile.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use billing_kit::proto_time::to_proto;
use billing_proto::{
    common::v1::SubscriptionStatus,
    stripe::v1::{
        ProvisionSubscriptionRequest, ProvisionSubscriptionResponse, ProvisionedSubscription,
        StripeRefusal, WatchSubscriptionsRequest, WatchSubscriptionsResponse,
        provision_subscription_response::Outcome,
        subscription_service_server::{SubscriptionService, SubscriptionServiceServer},
    },
};
use chrono::{DateTime, TimeDelta};
use futures::{StreamExt, stream::BoxStream};
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
}

#[derive(Debug)]
struct Ledger {
    outcomes: HashMap<String, Outcome>,
    requests: Vec<ProvisionSubscriptionRequest>,
}

/// What it was asked and what it did survive its stops, as a database would.
#[derive(Debug, Clone)]
pub(crate) struct StripeSvc {
    ledger: Arc<Mutex<Ledger>>,
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
            })),
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

    /// The requests so far, repetitions included.
    pub(crate) fn requests(&self) -> Vec<ProvisionSubscriptionRequest> {
        self.ledger.lock().unwrap().requests.clone()
    }

    /// How many operations were provisioned.
    pub(crate) fn provisioned(&self) -> usize {
        let ledger = self.ledger.lock().unwrap();
        let is_provisioned = |outcome: &&Outcome| matches!(outcome, Outcome::Provisioned(_));
        ledger.outcomes.values().filter(is_provisioned).count()
    }

    fn settle(&self, request: &ProvisionSubscriptionRequest, mood: &Mood) -> Outcome {
        let mut ledger = self.ledger.lock().unwrap();
        let count = ledger.outcomes.len() + 1;
        ledger
            .outcomes
            .entry(request.operation_id.clone())
            .or_insert_with(|| match mood {
                Mood::Refuse(refusal) => Outcome::Refusal(refusal.clone()),
                Mood::Provision | Mood::LoseTheAnswer | Mood::Hang => {
                    Outcome::Provisioned(provisioned(request, count))
                }
            })
            .clone()
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
    ProvisionedSubscription {
        stripe_customer_id: format!("cus_{count}"),
        stripe_subscription_id: format!("sub_{count}"),
        subscription_status: status.into(),
        trial_end_time: trial.map(to_proto),
        start_time: Some(to_proto(start_time())),
    }
}

#[tonic::async_trait]
impl SubscriptionService for StripeSvc {
    type WatchSubscriptionsStream = BoxStream<'static, Result<WatchSubscriptionsResponse, Status>>;

    /// Nothing ever changes here.
    async fn watch_subscriptions(
        &self,
        _request: Request<WatchSubscriptionsRequest>,
    ) -> Result<Response<Self::WatchSubscriptionsStream>, Status> {
        Ok(Response::new(futures::stream::pending().boxed()))
    }

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
        let outcome = self.settle(&request, &mood);
        if mood == Mood::LoseTheAnswer {
            return Err(Status::unavailable("the connection broke"));
        }
        Ok(Response::new(ProvisionSubscriptionResponse {
            outcome: Some(outcome),
        }))
    }
}
