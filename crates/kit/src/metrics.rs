//! Metrics, in Prometheus's text form, on the health port.
//!
//! Whoever has something to tell says so with the macros of the crate `metrics`; what was said is
//! kept for the whole process.

use std::sync::OnceLock;

use http::{HeaderMap, StatusCode};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Requests that were answered, by the status of the answer.
const REQUESTS: &str = "billing_requests_total";

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Begins to keep what is told. Until then it is lost.
pub(crate) fn begin() {
    recorder();
}

/// What was told so far.
pub(crate) fn text() -> String {
    recorder().map_or_else(String::new, PrometheusHandle::render)
}

fn recorder() -> Option<&'static PrometheusHandle> {
    let recorder = RECORDER.get_or_init(|| {
        let recorder = PrometheusBuilder::new().install_recorder().ok();
        metrics::describe_counter!(
            REQUESTS,
            "Requests that were answered, by gRPC's status or else HTTP's"
        );
        recorder
    });
    recorder.as_ref()
}

/// Counts a request that is answered with this. There is no path among the labels: strangers choose
/// those.
pub(crate) fn count_request(status: StatusCode, headers: &HeaderMap) {
    // A gRPC answer without a body says its status in its head; the others are 0 or say it later.
    let grpc = headers
        .get("grpc-status")
        .and_then(|value| value.to_str().ok());
    let labels = match grpc {
        Some(status) => [
            ("protocol", "grpc".to_owned()),
            ("status", status.to_owned()),
        ],
        None => [
            ("protocol", "http".to_owned()),
            ("status", status.as_str().to_owned()),
        ],
    };
    metrics::counter!(REQUESTS, &labels).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_told() {
        begin();
        let mut refused = HeaderMap::new();
        refused.insert("grpc-status", "7".parse().unwrap());
        count_request(StatusCode::OK, &refused);
        count_request(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new());
        let text = text();
        for line in [
            "# TYPE billing_requests_total counter",
            r#"billing_requests_total{protocol="grpc",status="7"} 1"#,
            r#"billing_requests_total{protocol="http",status="429"} 1"#,
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
    }
}
