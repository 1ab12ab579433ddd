//! The use cases: one verb, one file. A use case owns its transaction; no transaction is held across
//! a call to another service.

mod baselines;
mod batch_get_reporting;
mod count_days;
mod decide_reports;
mod deliver_reports;
mod discard_reports;
mod dismiss_finding;
pub(crate) mod drain;
mod get_delivery;
mod get_reconciliation;
mod get_reporting_summary;
mod keep_standings;
mod list_findings;
mod list_held_reports;
mod list_refused_reports;
mod list_reporting;
mod list_usage_reports;
mod observe;
mod reconcile;
mod release_reports;
mod report_usage;
mod work_off_spool;

pub(crate) use batch_get_reporting::{Observed, batch_get_reporting};
pub(crate) use count_days::{TouchedDays, count_days};
pub(crate) use decide_reports::{DecidedReports, REPORTS_MAX, Selection};
pub(crate) use deliver_reports::deliver_reports;
pub(crate) use discard_reports::discard_reports;
pub(crate) use dismiss_finding::dismiss_finding;
pub(crate) use drain::drain;
pub(crate) use get_delivery::{Delivery, get_delivery};
pub(crate) use get_reconciliation::get_reconciliation;
pub(crate) use get_reporting_summary::{Summary, count_now, get_reporting_summary};
pub(crate) use keep_standings::keep_standings;
pub(crate) use list_findings::list_findings;
pub(crate) use list_held_reports::{HeldPage, list_held_reports};
pub(crate) use list_refused_reports::{RefusedPage, list_refused_reports};
pub(crate) use list_reporting::{ReportingPage, list_reporting};
pub(crate) use list_usage_reports::{Page, list_usage_reports};
pub(crate) use observe::OrgPresence;
pub(crate) use reconcile::reconcile;
pub(crate) use release_reports::release_reports;
pub(crate) use report_usage::{Outcome, report_usage};
pub(crate) use work_off_spool::work_off_spool;
