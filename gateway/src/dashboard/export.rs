//! `/pending.csv` and `/billed.csv`: a list as a file for a spreadsheet.
//!
//! The file is sent as it is read, a page of the list at a time, so that a million rows need no
//! memory. The session is looked at again with every page: what org-svc vouches for is good for a
//! minute only, and an export ends with the session. A file that cannot be finished is broken off,
//! because a shorter one would look whole.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use billing_kit::Fault;
use futures::stream;
use http::{HeaderMap, HeaderValue, header};

use super::{
    i18n::Language,
    list::{Asked, Kind},
    page::PageError,
    ui::Ui,
};
use crate::{
    app::{App, ListPage},
    domain::{
        csv::CsvRow, organization::Organization, session_cookie::SessionToken, time_text, words,
    },
    rest::query::Query,
    web::Web,
};

/// Where the pending ones are.
pub(super) const PENDING: &str = "/pending.csv";
/// Where the billed ones are.
pub(super) const BILLED: &str = "/billed.csv";

/// Rows that are read at once.
const PAGE_ROWS: i32 = 500;
/// A file has at most so many pages, two million rows; a longer one is broken off.
const PAGES_MAX: u32 = 4_000;
/// By it spreadsheets know that the text is UTF-8.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Where a list's file is.
pub(super) fn path(kind: Kind) -> &'static str {
    match kind {
        Kind::Pending => PENDING,
        Kind::Billed => BILLED,
    }
}

/// Those that wait to be linked.
pub(super) async fn pending(
    web: State<Web>,
    ui: Extension<Arc<Ui>>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    export(Kind::Pending, web, ui, query, headers).await
}

/// Those that are billed.
pub(super) async fn billed(
    web: State<Web>,
    ui: Extension<Arc<Ui>>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    export(Kind::Billed, web, ui, query, headers).await
}

async fn export(
    kind: Kind,
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let asked = Asked::read(kind, &Query::read(query.as_deref()))?;
    let mut export = Export {
        app: web.app().clone(),
        session: web.session_token(&headers)?,
        language: ui.language,
        next: Some(asked.cursor().to_owned()),
        asked,
        pages: 0,
    };
    // What is wrong with the first page is told by a page of ours.
    let first = export.page().await?;
    let head = format!("{BYTE_ORDER_MARK}{}{first}", head(&ui));
    let day = web.app().clock().now().format("%Y-%m-%d");
    let name = path(kind).trim_start_matches('/').trim_end_matches(".csv");
    let disposition = format!("attachment; filename=\"organizations-{name}-{day}.csv\"");
    let rest = stream::try_unfold(export, |mut export| async move {
        if export.next.is_none() {
            return Ok(None);
        }
        match export.page().await {
            Ok(text) => Ok(Some((text, export))),
            Err(fault) => {
                fault.log();
                Err(fault)
            }
        }
    });
    let body = futures::StreamExt::chain(stream::iter([Ok(head)]), rest);
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/csv; charset=utf-8"),
    );
    if let Ok(disposition) = HeaderValue::try_from(disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// An export that is under way.
struct Export {
    app: App,
    session: SessionToken,
    language: Language,
    asked: Asked,
    /// Where it goes on; `None` at its end.
    next: Option<String>,
    pages: u32,
}

impl Export {
    async fn page(&mut self) -> Result<String, Fault> {
        let cursor = self.next.take().unwrap_or_default();
        self.pages += 1;
        if self.pages > PAGES_MAX {
            return Err(Fault::internal("an export is longer than two million rows"));
        }
        let admin = self.app.authenticate_admin(&self.session).await?;
        let request = self.asked.request(PAGE_ROWS, cursor);
        let (listed, reporting_available) = self.app.list_reporting(&admin, request).await?;
        if !reporting_available {
            return Err(Fault::unavailable("The user counts cannot be told now."));
        }
        let ListPage {
            organizations,
            next_page_token,
        } = listed;
        self.next = next_page_token;
        let rows = organizations.iter().map(|o| row(self.language, o));
        Ok(rows.collect())
    }
}

/// A French spreadsheet divides by semicolons, because a comma is in its numbers.
fn empty_row(language: Language) -> CsvRow {
    CsvRow::divided_by(match language {
        Language::English => ',',
        Language::French => ';',
    })
}

fn head(ui: &Ui) -> String {
    let t = ui.t;
    let mut row = empty_row(ui.language);
    for title in [
        t.id,
        t.name,
        t.instance,
        t.users,
        t.last_report,
        t.since,
        t.status,
        t.plan,
        t.deployment,
        t.invoice_email,
        t.trial_end,
        t.stripe_customer,
        t.stripe_subscription,
        t.billing_problem,
    ] {
        row.cell(title);
    }
    row.finish()
}

/// The contract's own words, so that a file means the same in both languages; times are UTC's.
fn row(language: Language, organization: &Organization) -> String {
    let reporting = organization.reporting;
    let time = |time: Option<_>| time.map(time_text::short).unwrap_or_default();
    let mut row = empty_row(language);
    row.cell(&organization.id.to_string());
    row.cell(&organization.name);
    row.cell(organization.instance_url.as_deref().unwrap_or_default());
    row.cell(&reporting.map_or_else(String::new, |known| known.user_count.to_string()));
    row.cell(&time(reporting.map(|known| known.last_report_at)));
    row.cell(&time(Some(organization.created_at)));
    row.cell(words::status(organization.subscription_status));
    row.cell(words::plan_type(organization.plan_type).unwrap_or_default());
    row.cell(words::deployment_type(organization.deployment_type).unwrap_or_default());
    for text in [
        organization.admin_email.as_deref().unwrap_or_default(),
        &time(organization.trial_end),
        organization
            .stripe_customer_id
            .as_deref()
            .unwrap_or_default(),
        organization
            .stripe_subscription_id
            .as_deref()
            .unwrap_or_default(),
        organization.billing_problem.as_deref().unwrap_or_default(),
    ] {
        row.cell(text);
    }
    row.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::{row::tests::organization, ui::tests::readers};

    #[test]
    fn a_row_has_a_cell_for_each_title_in_both_languages() {
        for ui in readers() {
            let divider = match ui.language {
                Language::English => "\",\"",
                Language::French => "\";\"",
            };
            let (head, row) = (head(&ui), row(ui.language, &organization(true)));
            assert_eq!(head.matches(divider).count(), 13, "{head}");
            assert_eq!(row.matches(divider).count(), 13, "{row}");
            assert!(
                row.contains("\"1245\"") && row.contains("\"past_due\""),
                "{row}"
            );
            assert!(row.ends_with("\"\r\n"));
        }
    }
}
