//! `/reconciliation`: where Stripe's books differ from what was reported, and what people said of it.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    body::Body,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Redirect, Response},
};
use billing_kit::Fault;
use billing_proto::{
    admin::v1::{GetReconciliationRequest, GetReconciliationResponse},
    common::v1::{DismissFindingRequest, Dismissal, Finding, FindingKind},
};
use http::{HeaderMap, StatusCode};

use super::{
    form,
    page::{PageError, page},
    ui::{Frame, Moment, Section, Ui},
};
use crate::{
    app::Admin,
    domain::{organization_filter::PAGE_SIZE_DEFAULT, time_text, words::filled},
    grpc::answered,
    rest::query::{Query, with_query},
    web::Web,
};

/// Where the page is.
pub(super) const PATH: &str = "/reconciliation";
/// The form's field, as ingest-svc names it too.
const REASON: &str = "reason";
/// The part of the address, and the field, by which closed ones are shown too.
const CLOSED: &str = "closed";

#[derive(Template)]
#[template(path = "reconciliation.html")]
struct ReconciliationPage<'a> {
    ui: Frame<'a>,
    notice: Option<&'static str>,
    last_full_pass: Option<Moment>,
    /// That some could not be compared.
    skipped: Option<String>,
    open_count: i64,
    shows_closed: bool,
    rows: Vec<Row>,
    /// The page's own cursor, which a form comes back to.
    cursor: &'a str,
    /// The address of the next page.
    next: Option<String>,
}

struct Row {
    id: String,
    organization_id: String,
    name: String,
    kind: &'static str,
    /// The day; of an invoice the days that it is of.
    day: String,
    invoice: Option<String>,
    expected: String,
    found: String,
    resends: String,
    first_seen: Moment,
    last_seen: Moment,
    resolved: Option<Moment>,
    dismissed: Option<Dismissed>,
    /// A reason that would not do, to be mended.
    wrong_reason: Option<String>,
}

/// Who left it as it is, when and why.
struct Dismissed {
    at: Moment,
    by: String,
    reason: String,
}

fn row(ui: &Ui, finding: Finding, name: Option<String>) -> Row {
    let kind = finding.kind();
    let Finding {
        id,
        organization_id,
        kind: _,
        day_start_time,
        period_start_time,
        period_end_time,
        stripe_invoice_id,
        expected_count,
        found_value,
        resend_count,
        first_see_time,
        last_see_time,
        resolve_time,
        dismissal,
    } = finding;
    let dismissed = dismissal.map(|dismissal| {
        let Dismissal {
            dismiss_time,
            admin_email,
            reason,
        } = dismissal;
        Dismissed {
            at: ui.promised_minute(dismiss_time),
            by: admin_email,
            reason,
        }
    });
    let utc_day = |time| time_text::known(time).map_or_else(String::new, |it| ui.utc_day(it));
    Row {
        id,
        name: name.unwrap_or_else(|| organization_id.clone()),
        organization_id,
        kind: ui.t.finding_word(kind),
        // A day of Stripe's meter is a day in UTC, wherever the reader is.
        day: match kind {
            FindingKind::MeterDay | FindingKind::MissedInvoice | FindingKind::Unspecified => {
                utc_day(day_start_time)
            }
            FindingKind::Invoice => {
                format!(
                    "{} – {}",
                    utc_day(period_start_time),
                    utc_day(period_end_time)
                )
            }
        },
        invoice: filled(stripe_invoice_id),
        expected: ui.number(&expected_count),
        found: ui.language.decimal(&found_value),
        resends: ui.number(&i64::from(resend_count)),
        first_seen: ui.promised_minute(first_see_time),
        last_seen: ui.promised_minute(last_see_time),
        resolved: ui.minute_of(resolve_time),
        dismissed,
        wrong_reason: None,
    }
}

/// What an address, or a form, says of the page.
#[derive(Debug)]
struct Asked {
    shows_closed: bool,
    cursor: String,
}

impl Asked {
    fn read(query: &Query) -> Self {
        Self {
            shows_closed: query.get(CLOSED) == Some("yes"),
            cursor: query.get("cursor").unwrap_or_default().to_owned(),
        }
    }

    fn address(&self, cursor: &str, notice: &str) -> String {
        let closed = if self.shows_closed { "yes" } else { "" };
        let parts = [(CLOSED, closed), ("cursor", cursor), ("notice", notice)];
        with_query(PATH, &parts)
    }
}

/// The findings: the open ones, or all.
pub(super) async fn reconciliation(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let query = Query::read(query.as_deref());
    let asked = Asked::read(&query);
    let mut shown = shown(&web, &ui, &admin, &asked).await?;
    shown.notice = (query.get("notice") == Some("dismissed")).then_some(ui.t.notice_dismissed);
    Ok(page(StatusCode::OK, &shown))
}

async fn shown<'a>(
    web: &Web,
    ui: &'a Ui,
    admin: &'a Admin,
    asked: &'a Asked,
) -> Result<ReconciliationPage<'a>, Fault> {
    let request = GetReconciliationRequest {
        include_closed: asked.shows_closed,
        page_size: PAGE_SIZE_DEFAULT,
        page_token: asked.cursor.clone(),
    };
    let GetReconciliationResponse {
        last_full_pass_time,
        skipped_count,
        pass_start_time: _,
        open_finding_count,
        findings,
        next_page_token,
    } = answered(
        web.admin_client()
            .get_reconciliation(admin.asks(request))
            .await,
    )?;
    let ids = findings.iter().map(|found| found.organization_id.clone());
    let names = web.app().organization_names(admin, ids).await?;
    let rows = findings.into_iter().map(|found| {
        let name = names.get(&found.organization_id).cloned();
        row(ui, found, name)
    });
    Ok(ReconciliationPage {
        ui: ui.frame(&admin.email, Section::Reconciliation),
        notice: None,
        last_full_pass: ui.minute_of(last_full_pass_time),
        skipped: skipped(ui, skipped_count),
        open_count: open_finding_count,
        shows_closed: asked.shows_closed,
        rows: rows.collect(),
        cursor: &asked.cursor,
        next: filled(next_page_token).map(|next| asked.address(&next, "")),
    })
}

fn skipped(ui: &Ui, count: i32) -> Option<String> {
    (count > 0).then(|| ui.count(&ui.t.skipped, &i64::from(count)))
}

/// Leaves a finding as it is, until its numbers change; or asks for a better reason.
pub(super) async fn dismiss(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    let admin = web.admin_for_change(&headers).await?;
    let form = form::read(&web, &headers, body).await?;
    let asked = Asked::read(&form);
    let reason = form.get(REASON).unwrap_or_default().trim();
    let request = DismissFindingRequest {
        finding_id: id.clone(),
        reason: reason.to_owned(),
    };
    let dismissed = web
        .admin_client()
        .dismiss_finding(admin.asks(request))
        .await;
    let fault = match answered(dismissed) {
        Ok(_) => {
            let back = asked.address(&asked.cursor, "dismissed");
            return Ok(Redirect::to(&back).into_response());
        }
        Err(fault) => fault,
    };
    if !fault.violations.iter().any(|v| v.field == REASON) {
        return Err(fault.into());
    }
    fault.log();
    let mut again = shown(&web, &ui, &admin, &asked).await?;
    for row in &mut again.rows {
        row.wrong_reason = (row.id == id).then(|| reason.to_owned());
    }
    Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &again))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::dashboard::{
        row::tests::{ATTACK, at},
        ui::tests::readers,
    };

    fn finding(kind: FindingKind, dismissed: bool) -> Finding {
        let first = at(1_730_415_600);
        Finding {
            id: Uuid::from_u128(8).to_string(),
            organization_id: Uuid::from_u128(7).to_string(),
            kind: kind.into(),
            day_start_time: first,
            period_start_time: first,
            period_end_time: at(1_730_415_600 + 30 * 86_400),
            stripe_invoice_id: "in_1".to_owned(),
            expected_count: 4_500,
            found_value: "46.5".to_owned(),
            resend_count: 2,
            first_see_time: first,
            last_see_time: first,
            resolve_time: first.filter(|_| dismissed),
            dismissal: dismissed.then(|| Dismissal {
                dismiss_time: first,
                admin_email: "a@b.de".to_owned(),
                reason: ATTACK.to_owned(),
            }),
        }
    }

    fn shown(ui: &Ui, rows: Vec<Row>) -> ReconciliationPage<'_> {
        let at = DateTime::from_timestamp(1_730_415_600, 0).unwrap();
        ReconciliationPage {
            ui: ui.frame("<admin>", Section::Reconciliation),
            notice: Some(ui.t.notice_dismissed),
            last_full_pass: Some(ui.minute(at)),
            skipped: skipped(ui, 3),
            open_count: 1,
            shows_closed: false,
            rows,
            cursor: "a&b",
            next: Some(with_query(PATH, &[("cursor", "a&b")])),
        }
    }

    #[test]
    fn the_page_shows_both_numbers_in_both_languages() {
        let at = DateTime::from_timestamp(1_730_415_600, 0).unwrap();
        for ui in readers() {
            let mut open = row(&ui, finding(FindingKind::MeterDay, false), None);
            open.wrong_reason = Some("<b>".to_owned());
            let invoice = finding(FindingKind::Invoice, true);
            let closed = row(&ui, invoice, Some(ATTACK.to_owned()));
            let html = shown(&ui, vec![open, closed]).render().unwrap();
            assert!(!html.contains("<img") && !html.contains("<b>"), "{html}");
            let period = ui.utc_day(at + chrono::TimeDelta::days(30));
            for part in [
                &format!(">{}<", ui.number(&4_500)),
                &format!(">{}<", ui.language.decimal("46.5")),
                ">2<",
                // The day of the meter, not of the reader in Paris.
                &format!(">{}<", ui.utc_day(at)),
                &period,
                "/organizations/00000000-0000-0000-0000-000000000007",
                "https://dashboard.stripe.com/invoices/in_1",
                &ui.count(&ui.t.skipped, &3),
                "/reconciliation?cursor=a%26b",
                "&#60;admin&#62;",
                ui.t.earlier_days,
                ui.t.reason_wrong,
                ui.t.finding_word(FindingKind::Invoice),
                "a@b.de",
                "value=\"a&#38;b\"",
            ] {
                assert!(html.contains(part), "{part} in {html}");
            }
            let dismiss = "/reconciliation/00000000-0000-0000-0000-000000000008/dismiss";
            assert_eq!(html.matches(dismiss).count(), 1, "only the open one");
            let nothing = shown(&ui, Vec::new()).render().unwrap();
            assert!(nothing.contains(ui.t.no_findings));
        }
    }
}
