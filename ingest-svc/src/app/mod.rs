//! The use cases: one verb, one file. A use case owns its transaction; no transaction is held across
//! a call to another service.

mod batch_get_reporting;
mod deliver_reports;
pub(crate) mod drain;
mod get_reconciliation;
mod keep_standings;
mod list_findings;
mod list_usage_reports;
mod observe;
mod reconcile;
mod report_usage;
mod work_off_spool;

pub(crate) use batch_get_reporting::batch_get_reporting;
pub(crate) use deliver_reports::deliver_reports;
pub(crate) use drain::drain;
pub(crate) use get_reconciliation::get_reconciliation;
pub(crate) use keep_standings::keep_standings;
pub(crate) use list_findings::list_findings;
pub(crate) use list_usage_reports::{Page, list_usage_reports};
pub(crate) use observe::OrgPresence;
pub(crate) use reconcile::reconcile;
pub(crate) use report_usage::{Outcome, report_usage};
pub(crate) use work_off_spool::work_off_spool;
