//! `/reconciliation`: where Stripe's meter differs from what was reported.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    extract::{RawQuery, State},
    response::Response,
};
use chrono_tz::Tz;
use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use super::{
    page::{PageError, page},
    ui::{Frame, Moment, Section, Ui},
};
use crate::{
    app::FindingsPage,
    domain::{
        organization_filter::PAGE_SIZE_DEFAULT,
        reconciliation::{Finding, Reconciliation},
    },
    rest::query::{Query, with_query},
    web::Web,
};

/// Where the page is.
pub(super) const PATH: &str = "/reconciliation";

#[derive(Template)]
#[template(path = "reconciliation.html")]
struct ReconciliationPage<'a> {
    ui: Frame<'a>,
    last_full_pass: Option<Moment>,
    /// That some could not be compared.
    skipped: Option<String>,
    open_count: i64,
    rows: Vec<Row>,
    /// The address of the next page.
    next: Option<String>,
}

struct Row {
    organization_id: Uuid,
    day: String,
    expected: String,
    found: String,
    resends: String,
    first_seen: Moment,
    last_seen: Moment,
}

fn row(ui: &Ui, finding: Finding) -> Row {
    let Finding {
        id: _,
        organization_id,
        kind: _,
        day_start,
        period_start: _,
        period_end: _,
        stripe_invoice_id: _,
        expected,
        found,
        resend_count,
        first_seen_at,
        last_seen_at,
        // Open ones are shown.
        resolved_at: _,
        dismissal: _,
    } = finding;
    Row {
        organization_id,
        // A day of Stripe's meter is a day in UTC, wherever the reader is.
        day: ui.language.day(day_start, Tz::UTC),
        expected: ui.number(&expected),
        found: ui.language.decimal(&found),
        resends: ui.number(&i64::from(resend_count)),
        first_seen: ui.minute(first_seen_at),
        last_seen: ui.minute(last_seen_at),
    }
}

/// The open findings.
pub(super) async fn reconciliation(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
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
        ui: ui.frame(&admin.email, Section::Reconciliation),
        last_full_pass: last_full_pass_at.map(|at| ui.minute(at)),
        skipped: skipped(&ui, skipped_count),
        open_count: open_finding_count,
        rows: findings.into_iter().map(|found| row(&ui, found)).collect(),
        next: next_page_token.map(|next| with_query(PATH, &[("cursor", &next)])),
    };
    Ok(page(StatusCode::OK, &shown))
}

fn skipped(ui: &Ui, count: i32) -> Option<String> {
    (count > 0).then(|| ui.count(&ui.t.skipped, &i64::from(count)))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::dashboard::ui::tests::readers;
    use crate::domain::reconciliation::FindingKind;

    #[test]
    fn the_page_shows_both_numbers_in_both_languages() {
        let at = DateTime::from_timestamp(1_730_415_600, 0).unwrap();
        for ui in readers() {
            let finding = Finding {
                id: Uuid::from_u128(8),
                organization_id: Uuid::from_u128(7),
                kind: FindingKind::MeterDay,
                day_start: at,
                period_start: at,
                period_end: at,
                stripe_invoice_id: None,
                expected: 4_500,
                found: "46.5".to_owned(),
                resend_count: 2,
                first_seen_at: at,
                last_seen_at: at,
                resolved_at: None,
                dismissal: None,
            };
            let html = ReconciliationPage {
                ui: ui.frame("<admin>", Section::Reconciliation),
                last_full_pass: Some(ui.minute(at)),
                skipped: skipped(&ui, 3),
                open_count: 1,
                rows: vec![row(&ui, finding)],
                next: Some(with_query(PATH, &[("cursor", "a&b")])),
            }
            .render()
            .unwrap();
            for shown in [
                &format!(">{}<", ui.number(&4_500)),
                &format!(">{}<", ui.language.decimal("46.5")),
                ">2<",
                // The day of the meter, not of the reader in Paris.
                &format!(">{}<", ui.language.day(at, Tz::UTC)),
                "/organizations/00000000-0000-0000-0000-000000000007",
                &ui.count(&ui.t.skipped, &3),
                "/reconciliation?cursor=a%26b",
                "&#60;admin&#62;",
                ui.t.earlier_days,
            ] {
                assert!(html.contains(shown), "{shown} in {html}");
            }
            let nothing = ReconciliationPage {
                ui: ui.frame("<admin>", Section::Reconciliation),
                last_full_pass: None,
                skipped: skipped(&ui, 0),
                open_count: 0,
                rows: Vec::new(),
                next: None,
            };
            assert!(nothing.render().unwrap().contains(ui.t.no_findings));
        }
    }
}
