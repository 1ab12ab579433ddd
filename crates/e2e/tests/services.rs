//! Goal: another internal service that follows org-svc as docs/SERVICES.md says has the right copy, even if
//! one of the two is stopped in between.
//! Method: the example of that document, beside a whole system.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../examples/follow_organizations/consumer.rs"]
mod consumer;

use std::path::Path;

use billing_e2e::{
    Service, System,
    actors::{Admin, Instance, now, terms},
};
use billing_harness::eventually;
use consumer::Copy;
use reqwest::StatusCode;
use tokio::{sync::mpsc, task::JoinHandle};
use uuid::Uuid;

/// The consumer as a process of its own would run: aborted, it leaves nothing but its file.
struct Consumer {
    task: JoinHandle<()>,
    /// The organizations of each change that it took.
    changes: mpsc::UnboundedReceiver<Uuid>,
}

impl Consumer {
    fn start(system: &System, copy: &Path) -> Self {
        let (told, changes) = mpsc::unbounded_channel();
        let (url, tls) = (system.grpc_url(Service::Org), system.reader_tls().client());
        let copy = copy.to_owned();
        let task = tokio::spawn(async move {
            let on_change = |change: &billing_proto::org::v1::OrganizationStanding| {
                told.send(change.organization_id.parse().unwrap()).unwrap();
            };
            consumer::follow(&url, tls, copy, on_change).await.unwrap();
        });
        Self { task, changes }
    }

    async fn stop(mut self) -> Vec<Uuid> {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
        let mut all = Vec::new();
        while let Some(organization) = self.changes.recv().await {
            all.push(organization);
        }
        all
    }
}

async fn known(copy: &Path, organization: Uuid, status: &str) -> consumer::Organization {
    eventually(status, async || {
        let mut copy = Copy::load(copy).unwrap();
        let known = copy.organizations.remove(&organization.to_string());
        known.filter(|known| known.status == format!("SUBSCRIPTION_STATUS_{status}"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_goes_on_at_its_cursor_whoever_was_stopped() {
    let mut system = System::start().await;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("organizations.json");
    let [linked, untouched, later] = [(); 3].map(|()| Instance::of(&system));
    let admin = Admin::sign_in(&system).await;

    let consumer = Consumer::start(&system, &copy);
    for instance in [&linked, &untouched] {
        let report = instance.report(45, now()).await;
        assert_eq!(report.status, StatusCode::OK, "{:?}", report.json);
        known(&copy, instance.organization, "PENDING").await;
    }
    consumer.stop().await;
    let stopped_at = Copy::load(&copy).unwrap().cursor;

    // What happens while it is stopped comes once it runs again, and nothing that it has.
    let link = admin.link(linked.organization, &terms()).await;
    assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
    let consumer = Consumer::start(&system, &copy);
    let customer = known(&copy, linked.organization, "TRIAL").await;
    assert_eq!(
        customer.stripe_customer_id,
        link.text("/organization/stripe_customer_id")
    );

    // org-svc is killed: the same consumer opens the stream again.
    system.kill_service(Service::Org);
    system.start_service(Service::Org);
    eventually("a report that org-svc knows of", async || {
        let report = later.report(7, now()).await;
        (report.status == StatusCode::OK).then_some(())
    })
    .await;
    known(&copy, later.organization, "PENDING").await;
    let taken = consumer.stop().await;
    assert!(!taken.contains(&untouched.organization), "{taken:?}");
    assert!(Copy::load(&copy).unwrap().cursor > stopped_at);
}
