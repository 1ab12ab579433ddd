//! Files for a spreadsheet: a list as CSV, as long as it is.
//!
//! A file is sent as it is read, a page of the list at a time, so that a million rows need no
//! memory. The session is looked at again with every page: what org-svc vouches for is good for a
//! minute only, and an export ends with the session. A file that cannot be finished is broken off,
//! because a shorter one would look whole.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use billing_kit::Fault;
use futures::stream;
use http::{HeaderMap, HeaderValue, header};

use super::{i18n::Language, page::PageError};
use crate::{
    app::Admin,
    domain::{csv::CsvRow, session_cookie::SessionToken},
    web::Web,
};

/// Rows that are read at once.
pub(super) const PAGE_ROWS: i32 = 500;
/// A file has at most so many pages, two million rows; a longer one is broken off.
const PAGES_MAX: u32 = 4_000;
/// By it spreadsheets know that the text is UTF-8.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// What a file is made of.
pub(super) trait Source: Send + 'static {
    /// The rows of the page at a cursor, and the cursor of the next; `None` after the last.
    fn rows(
        &self,
        web: &Web,
        admin: &Admin,
        cursor: String,
    ) -> impl Future<Output = Result<(String, Option<String>), Fault>> + Send;
}

/// Sends a file of this name. What is wrong with its first page is told by a page of ours.
pub(super) async fn send(
    web: &Web,
    headers: &HeaderMap,
    name: &str,
    head: String,
    cursor: &str,
    source: impl Source,
) -> Result<Response, PageError> {
    let mut export = Export {
        web: web.clone(),
        session: web.session_token(headers).await?,
        source,
        next: Some(cursor.to_owned()),
        pages: 0,
    };
    let first = export.page().await?;
    let head = format!("{BYTE_ORDER_MARK}{head}{first}");
    let day = web.app().clock().now().format("%Y-%m-%d");
    let disposition = format!("attachment; filename=\"{name}-{day}.csv\"");
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
struct Export<S> {
    web: Web,
    session: SessionToken,
    source: S,
    /// Where it goes on; `None` at its end.
    next: Option<String>,
    pages: u32,
}

impl<S: Source> Export<S> {
    async fn page(&mut self) -> Result<String, Fault> {
        let cursor = self.next.take().unwrap_or_default();
        self.pages += 1;
        if self.pages > PAGES_MAX {
            return Err(Fault::internal("an export is longer than two million rows"));
        }
        let admin = self.web.app().authenticate_admin(&self.session).await?;
        let (rows, next) = self.source.rows(&self.web, &admin, cursor).await?;
        self.next = next;
        Ok(rows)
    }
}

/// A row of these cells. A French spreadsheet divides by semicolons, because a comma is in its
/// numbers.
pub(super) fn row<'a>(language: Language, cells: impl IntoIterator<Item = &'a str>) -> String {
    let mut row = CsvRow::divided_by(match language {
        Language::English => ',',
        Language::French => ';',
    });
    for cell in cells {
        row.cell(cell);
    }
    row.finish()
}
