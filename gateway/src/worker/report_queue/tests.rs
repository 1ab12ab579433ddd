//! The queue before a real gRPC server that holds and counts what comes.

use std::{sync::Mutex as StdMutex, time::Duration};

use billing_kit::client::channel;
use billing_proto::{
    common::v1::{ListUsageReportsRequest, ListUsageReportsResponse},
    ingest::v1::{
        BatchGetReportingRequest, BatchGetReportingResponse, GetDeliveryRequest,
        GetDeliveryResponse, ReportUsageResponse,
        usage_report_service_server::{UsageReportService, UsageReportServiceServer},
    },
};
use futures::{FutureExt, future::join_all};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use super::*;

/// Answers each report with its own organization's id, once it is let go on.
#[derive(Clone)]
struct Echo {
    batches: Arc<StdMutex<Vec<usize>>>,
    open: Arc<watch::Sender<bool>>,
    short: bool,
}

impl Echo {
    fn new(open: bool) -> Self {
        Self {
            batches: Arc::default(),
            open: Arc::new(watch::channel(open).0),
            short: false,
        }
    }

    fn batches(&self) -> Vec<usize> {
        self.batches.lock().unwrap().clone()
    }

    async fn until_sent(&self, reports: usize) {
        tokio::time::timeout(Duration::from_secs(20), async {
            while self.batches().iter().sum::<usize>() < reports {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
    }
}

#[tonic::async_trait]
impl UsageReportService for Echo {
    async fn report_usage(
        &self,
        request: Request<ReportUsageRequest>,
    ) -> Result<Response<ReportUsageResponse>, Status> {
        let reports = request.into_inner().reports;
        self.batches.lock().unwrap().push(reports.len());
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.unwrap();
        let mut outcomes: Vec<_> = reports
            .into_iter()
            .map(|report| ReportOutcome {
                report_id: report.organization_id,
                ..ReportOutcome::default()
            })
            .collect();
        if self.short {
            outcomes.pop();
        }
        Ok(Response::new(ReportUsageResponse { outcomes }))
    }

    async fn list_usage_reports(
        &self,
        _: Request<ListUsageReportsRequest>,
    ) -> Result<Response<ListUsageReportsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn batch_get_reporting(
        &self,
        _: Request<BatchGetReportingRequest>,
    ) -> Result<Response<BatchGetReportingResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_delivery(
        &self,
        _: Request<GetDeliveryRequest>,
    ) -> Result<Response<GetDeliveryResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

async fn start(echo: &Echo, capacity: usize) -> (ReportQueue, Vec<JoinHandle<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder().add_service(UsageReportServiceServer::new(echo.clone()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let channel = channel(&url.parse().unwrap(), None, Duration::from_secs(20)).unwrap();
    let (queue, sender) = report_queue(capacity, UsageReportServiceClient::new(channel));
    let senders = (0..SENDERS).map(|_| tokio::spawn(sender.clone().run()));
    (queue, senders.collect())
}

fn report(name: impl ToString) -> UsageReport {
    UsageReport {
        organization_id: name.to_string(),
        ..UsageReport::default()
    }
}

/// Keeps every sender busy with one report each.
async fn occupy(echo: &Echo, queue: &ReportQueue) -> Vec<JoinHandle<Answer>> {
    let mut busy = Vec::new();
    for n in 1..=SENDERS {
        let queue = queue.clone();
        busy.push(tokio::spawn(async move {
            queue.record(report(format!("busy-{n}"))).await
        }));
        echo.until_sent(n).await;
    }
    busy
}

#[tokio::test]
async fn what_gathers_while_the_senders_are_away_goes_together() {
    const REPORTS: usize = 700;
    let echo = Echo::new(false);
    let (queue, _) = start(&echo, REPORTS).await;
    let busy = occupy(&echo, &queue).await;
    // Polled once, all of them are in the queue.
    let mut waiting = Box::pin(join_all((0..REPORTS).map(|n| queue.record(report(n)))));
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!(echo.batches(), [1; SENDERS]);
    echo.open.send_replace(true);
    let outcomes = waiting.await;
    for (n, outcome) in outcomes.into_iter().enumerate() {
        assert_eq!(outcome.unwrap().report_id, n.to_string());
    }
    for answer in join_all(busy).await {
        assert!(answer.unwrap().unwrap().report_id.starts_with("busy-"));
    }
    let mut batches = echo.batches().split_off(SENDERS);
    batches.sort_unstable();
    assert_eq!(
        batches,
        [REPORTS - REPORTS_PER_BATCH_MAX, REPORTS_PER_BATCH_MAX]
    );
}

#[tokio::test]
async fn more_than_may_wait_are_turned_away() {
    let echo = Echo::new(false);
    let (queue, _) = start(&echo, 2).await;
    let busy = occupy(&echo, &queue).await;
    let mut waiting = Box::pin(join_all((0..2).map(|n| queue.record(report(n)))));
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!(queue.record(report("more")).await, Err(ReportFailure::Full));
    echo.open.send_replace(true);
    assert!(waiting.await.iter().all(Result::is_ok));
    assert!(
        join_all(busy)
            .await
            .into_iter()
            .all(|answer| answer.unwrap().is_ok())
    );
}

#[tokio::test]
async fn the_senders_end_when_the_queue_is_gone_and_all_is_answered() {
    let echo = Echo::new(false);
    let (queue, senders) = start(&echo, 100).await;
    let mut busy = occupy(&echo, &queue).await;
    for n in 0..10 {
        let queue = queue.clone();
        busy.push(tokio::spawn(async move { queue.record(report(n)).await }));
    }
    drop(queue);
    echo.open.send_replace(true);
    for answer in join_all(busy).await {
        assert!(answer.unwrap().is_ok());
    }
    let ended = tokio::time::timeout(Duration::from_secs(20), join_all(senders)).await;
    assert!(ended.unwrap().iter().all(Result::is_ok));
}

#[tokio::test]
async fn outcomes_that_cannot_be_told_apart_are_nobodys() {
    let echo = Echo {
        short: true,
        ..Echo::new(true)
    };
    let (queue, _) = start(&echo, 10).await;
    assert_eq!(queue.record(report("x")).await, Err(ReportFailure::Broken));
}

#[tokio::test]
async fn a_batch_is_taken_apart_by_its_bytes_and_loses_nobody() {
    let queued = |len| {
        let (answer, _) = oneshot::channel();
        let report = report("x".repeat(len));
        Queued { report, answer }
    };
    let mut batch: Vec<_> = (0..REPORTS_PER_BATCH_MAX)
        .map(|_| queued(16 * 1024))
        .collect();
    let parts = split(&mut batch);
    assert!(parts.len() > 1);
    let count: usize = parts.iter().map(Vec::len).sum();
    assert_eq!(count, REPORTS_PER_BATCH_MAX);
    for part in parts {
        let bytes: usize = part.iter().map(|q| q.report.encoded_len()).sum();
        assert!(bytes <= BATCH_BYTES_MAX && !part.is_empty());
    }
    assert_eq!(split(&mut vec![queued(10)]).len(), 1);
}
