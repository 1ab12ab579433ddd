//! `/pending.csv`, `/billed.csv` and `/ignored.csv`: a list as a file for a spreadsheet.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{RawQuery, State},
    response::Response,
};
use billing_kit::Fault;
use billing_proto::admin::v1::Organization;
use http::HeaderMap;

use super::{
    file::{self, Source},
    i18n::Language,
    list::{Asked, Kind},
    page::PageError,
    ui::Ui,
};
use crate::{
    app::{Admin, ListPage},
    domain::{time_text, words},
    rest::query::Query,
    web::Web,
};

/// Where the pending ones are.
pub(super) const PENDING: &str = "/pending.csv";
/// Where the billed ones are.
pub(super) const BILLED: &str = "/billed.csv";

/// Where the ignored ones are.
pub(super) const IGNORED: &str = "/ignored.csv";

/// Where a list's file is.
pub(super) fn path(kind: Kind) -> &'static str {
    match kind {
        Kind::Pending => PENDING,
        Kind::Billed => BILLED,
        Kind::Ignored => IGNORED,
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

/// Those that an admin ignores.
pub(super) async fn ignored(
    web: State<Web>,
    ui: Extension<Arc<Ui>>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    export(Kind::Ignored, web, ui, query, headers).await
}

async fn export(
    kind: Kind,
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let asked = Asked::read(kind, &Query::read(query.as_deref()))?;
    let name = path(kind).trim_start_matches('/').trim_end_matches(".csv");
    let name = format!("organizations-{name}");
    let cursor = asked.cursor().to_owned();
    let language = ui.language;
    let listed = Listed { asked, language };
    file::send(&web, &headers, &name, head(&ui), &cursor, listed).await
}

/// The organizations of a list.
struct Listed {
    asked: Asked,
    language: Language,
}

impl Source for Listed {
    async fn rows(
        &self,
        web: &Web,
        admin: &Admin,
        cursor: String,
    ) -> Result<(String, Option<String>), Fault> {
        let request = self.asked.request(file::PAGE_ROWS, cursor);
        let (listed, reporting_available) = web.app().list_reporting(admin, request).await?;
        if !reporting_available {
            return Err(Fault::unavailable("The user counts cannot be told now."));
        }
        let ListPage {
            organizations,
            next_page_token,
        } = listed;
        let rows = organizations.iter().map(|o| row(self.language, o));
        Ok((rows.collect(), next_page_token))
    }
}

fn head(ui: &Ui) -> String {
    let t = ui.t;
    let titles = [
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
    ];
    file::row(ui.language, titles)
}

/// The contract's own words, so that a file means the same in both languages; times are UTC's.
fn row(language: Language, organization: &Organization) -> String {
    let time = |time| time_text::known(time).map_or_else(String::new, time_text::short);
    let users = organization.user_count;
    let word = |word: Option<&str>| word.unwrap_or_default().to_owned();
    let cells = [
        organization.id.clone(),
        organization.name.clone(),
        organization.instance_url.clone(),
        users.map_or_else(String::new, |count| count.to_string()),
        time(organization.last_report_time),
        time(organization.create_time),
        words::status(organization.subscription_status()).to_owned(),
        word(words::plan_type(organization.plan_type())),
        word(words::deployment_type(organization.deployment_type())),
        organization.admin_email.clone(),
        time(organization.trial_end_time),
        organization.stripe_customer_id.clone(),
        organization.stripe_subscription_id.clone(),
        organization.billing_problem.clone(),
    ];
    file::row(language, cells.iter().map(String::as_str))
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
