//! `/reconciliation`: where Stripe's meter differs from what was reported.

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use super::{
    labels,
    page::{PageError, page},
};
use crate::{
    app::FindingsPage,
    domain::{
        organization_filter::PAGE_SIZE_DEFAULT,
        reconciliation::{Finding, Reconciliation},
        time_text,
    },
    rest::query::{Query, with_query},
    web::Web,
};

/// Where the page is.
pub(super) const PATH: &str = "/reconciliation";

#[derive(Template)]
#[template(path = "reconciliation.html")]
struct ReconciliationPage<'a> {
    admin_email: &'a str,
    last_full_pass: String,
    skipped_count: i32,
    open_count: i64,
    rows: Vec<Row>,
    /// The address of the next page.
    next: Option<String>,
}

struct Row {
    organization_id: Uuid,
    day: String,
    expected: i64,
    found: String,
    resends: i32,
    first_seen: String,
    last_seen: String,
}

impl From<Finding> for Row {
    fn from(finding: Finding) -> Self {
        let Finding {
            organization_id,
            day_start,
            expected,
            found,
            resend_count,
            first_seen_at,
            last_seen_at,
            // Open ones are shown.
            resolved_at: _,
        } = finding;
        Self {
            organization_id,
            day: time_text::day(day_start),
            expected,
            found,
            resends: resend_count,
            first_seen: time_text::minute(first_seen_at),
            last_seen: time_text::minute(last_seen_at),
        }
    }
}

/// The open findings.
pub(super) async fn reconciliation(
    State(web): State<Web>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let asked = Query::read(query.as_deref());
    let cursor = asked.get("cursor").unwrap_or_default().to_owned();
    let app = web.app();
    let (stands, page_of_findings) = tokio::try_join!(
        app.get_reconciliation(&admin),
        app.list_findings(&admin, false, PAGE_SIZE_DEFAULT, cursor)
    )?;
    let Reconciliation {
        last_full_pass_at,
        skipped_count,
        pass_started_at: _,
        open_finding_count,
    } = stands;
    let FindingsPage {
        findings,
        next_page_token,
    } = page_of_findings;
    let shown = ReconciliationPage {
        admin_email: &admin.email,
        last_full_pass: last_full_pass_at
            .map_or_else(|| labels::NOTHING.to_owned(), time_text::minute),
        skipped_count,
        open_count: open_finding_count,
        rows: findings.into_iter().map(Row::from).collect(),
        next: next_page_token.map(|next| with_query(PATH, &[("cursor", &next)])),
    };
    Ok(page(StatusCode::OK, &shown))
}

/// The front page's line: how many findings there are, or that there are none, and as of when.
pub(super) fn line(reconciliation: &Reconciliation) -> String {
    let differs = match reconciliation.open_finding_count {
        0 => "Stripe counts what was reported.".to_owned(),
        1 => "On 1 day Stripe counts something else than was reported.".to_owned(),
        days => format!("On {days} days Stripe counts something else than was reported."),
    };
    match reconciliation.last_full_pass_at {
        Some(at) => format!("{differs} Compared last: {}.", time_text::minute(at)),
        None if reconciliation.open_finding_count == 0 => {
            "What Stripe counts was not yet compared with what was reported.".to_owned()
        }
        None => differs,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn the_page_shows_both_numbers() {
        let at = DateTime::from_timestamp(1_730_419_200, 0).unwrap();
        let finding = Finding {
            organization_id: Uuid::from_u128(7),
            day_start: at,
            expected: 45,
            found: "46.5".to_owned(),
            resend_count: 2,
            first_seen_at: at,
            last_seen_at: at,
            resolved_at: None,
        };
        let html = ReconciliationPage {
            admin_email: "<admin>",
            last_full_pass: "2024-11-01 00:00 UTC".to_owned(),
            skipped_count: 3,
            open_count: 1,
            rows: vec![finding.into()],
            next: Some(with_query(PATH, &[("cursor", "a&b")])),
        }
        .render()
        .unwrap();
        for shown in [
            ">45<",
            ">46.5<",
            ">2<",
            "2024-11-01",
            "/organizations/00000000-0000-0000-0000-000000000007",
            "3 organizations",
            "/reconciliation?cursor=a%26b",
            "&#60;admin&#62;",
        ] {
            assert!(html.contains(shown), "{shown} in {html}");
        }
    }

    #[test]
    fn the_line_never_says_that_all_is_well_before_anybody_looked() {
        let at = DateTime::from_timestamp(1_730_419_200, 0);
        for (last_full_pass_at, open_finding_count, expected) in [
            (None, 0, "not yet compared"),
            (None, 2, "On 2 days"),
            (
                at,
                0,
                "counts what was reported. Compared last: 2024-11-01 00:00 UTC.",
            ),
            (at, 1, "On 1 day "),
        ] {
            let line = line(&Reconciliation {
                last_full_pass_at,
                skipped_count: 0,
                pass_started_at: None,
                open_finding_count,
            });
            assert!(line.contains(expected), "{line}");
        }
    }
}
