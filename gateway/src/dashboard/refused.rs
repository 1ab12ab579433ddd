//! `/refused`: the reports that Stripe refused, each with its reason.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    extract::{RawQuery, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use super::{
    page::{PageError, page},
    ui::{Frame, Moment, Section, Ui},
};
use crate::{
    app::RefusedReportPage,
    domain::{
        organization_filter::PAGE_SIZE_DEFAULT,
        usage_report::{RefusedReport, UsageReport},
    },
    rest::query::{Query, with_query},
    web::Web,
};

/// Where the page is.
pub(super) const PATH: &str = "/refused";

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage<'a> {
    ui: Frame<'a>,
    rows: Vec<Row>,
    next: Option<String>,
}

struct Row {
    organization_id: Uuid,
    name: String,
    reported_at: Moment,
    users: String,
    /// What Stripe said, and its code.
    reason: String,
}

fn row(ui: &Ui, refused: RefusedReport) -> Row {
    let RefusedReport {
        organization_id,
        organization_name,
        report:
            UsageReport {
                id: _,
                user_count,
                deployment_type: _,
                reported_at,
                received_at: _,
                // All are refused.
                delivery: _,
                stripe_meter_event_id: _,
                error,
            },
    } = refused;
    Row {
        organization_id,
        name: organization_name.unwrap_or_else(|| organization_id.to_string()),
        reported_at: ui.minute(reported_at),
        users: ui.number(&user_count),
        reason: error.map_or_else(
            || ui.t.nothing.to_owned(),
            |error| format!("{} ({})", error.message, error.code),
        ),
    }
}

/// The list, of all organizations.
pub(super) async fn refused(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let query = Query::read(query.as_deref());
    let cursor = query.get("cursor").unwrap_or_default().to_owned();
    let RefusedReportPage {
        reports,
        next_page_token,
    } = web
        .app()
        .list_refused_reports(&admin, PAGE_SIZE_DEFAULT, cursor)
        .await?;
    let shown = RefusedPage {
        ui: ui.frame(&admin.email, Section::Held),
        rows: reports.into_iter().map(|it| row(&ui, it)).collect(),
        next: next_page_token.map(|next| with_query(PATH, &[("cursor", &next)])),
    };
    Ok(page(StatusCode::OK, &shown))
}

#[cfg(test)]
mod tests {
    use billing_proto::common::v1::DeploymentType;
    use chrono::DateTime;

    use super::*;
    use crate::{
        dashboard::{row::tests::ATTACK, ui::tests::readers},
        domain::{organization::Trouble, usage_report::Delivery},
    };

    #[test]
    fn each_report_has_stripes_reason_in_both_languages() {
        for ui in readers() {
            let refused = RefusedReport {
                organization_id: Uuid::from_u128(7),
                organization_name: Some(ATTACK.to_owned()),
                report: UsageReport {
                    id: Uuid::from_u128(1),
                    user_count: 5_200,
                    deployment_type: DeploymentType::OnPremise,
                    reported_at: DateTime::from_timestamp(1_730_419_200, 0).unwrap(),
                    received_at: None,
                    delivery: Delivery::Refused,
                    stripe_meter_event_id: None,
                    error: Some(Trouble {
                        code: "no_meter".to_owned(),
                        message: ATTACK.to_owned(),
                    }),
                },
            };
            let shown = RefusedPage {
                ui: ui.frame("a@b.de", Section::Held),
                rows: vec![row(&ui, refused)],
                next: Some("/refused?cursor=a".to_owned()),
            };
            let html = shown.render().unwrap();
            assert!(!html.contains("<img"), "{html}");
            for part in [
                &format!(">{}<", ui.number(&5_200)),
                "(no_meter)",
                "/organizations/00000000-0000-0000-0000-000000000007",
                ui.t.refused_intro,
            ] {
                assert!(html.contains(part), "{part} in {html}");
            }
            let none = RefusedPage {
                rows: Vec::new(),
                ..shown
            };
            assert!(none.render().unwrap().contains(ui.t.none_refused));
        }
    }
}
