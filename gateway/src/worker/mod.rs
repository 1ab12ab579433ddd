//! What runs beside the requests.

pub(crate) mod report_queue;
