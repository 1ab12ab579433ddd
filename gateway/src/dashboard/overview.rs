//! `/`: how everything stands.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    extract::{RawQuery, State},
    response::Response,
};
use billing_kit::Fault;
use billing_proto::{
    admin::v1::{GetReconciliationRequest, GetReconciliationResponse},
    common::v1::{
        GetReportingSummaryRequest, GetReportingSummaryResponse, ListPendingGroupsRequest,
        ListWebhookEventsRequest, PendingGroup, SubscriptionStatus, WebhookEventState,
    },
};
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use super::{
    chart::Trend,
    held, labels, list,
    page::{PageError, page},
    reconciliation, refused,
    row::{Heads, Row, rows},
    ui::{Frame, Moment, Section, Ui},
    webhooks,
};
use crate::{
    app::{Admin, ListPage, Overview, OverviewRequest, is_away},
    domain::{
        organization::Summary,
        organization_filter::{OrganizationFilter, OrganizationOrder},
        words,
    },
    grpc::answered,
    rest::query::{Query, with_query},
    web::Web,
};

/// Rows of each table here; the lists have them all.
const ROWS: i32 = 10;
/// So many dead letters are counted; of more is said that there are more.
const DEAD_LETTERS_COUNTED: i32 = 50;
/// A report that has waited longer than this to be sent is worth a look: most go within seconds.
const QUEUE_LOUD_SECONDS: i64 = 15 * 60;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage<'a> {
    ui: Frame<'a>,
    notice: Option<Notice>,
    /// What is told to whoever does not see the page.
    news: String,
    reporting_available: bool,
    figures: Vec<Figure>,
    attention: Vec<Item>,
    compared: Option<Moment>,
    shares: Vec<Share>,
    summary: Summary,
    heads: Heads,
    pending: Table,
    /// What is told of those that are not in the table, because their networks brought many.
    grouped: Option<String>,
    billed: Table,
    as_of: Moment,
    /// When was counted, where that is not now.
    counted: Option<Moment>,
}

struct Notice {
    text: &'static str,
    organization_id: Uuid,
}

struct Figure {
    label: &'static str,
    value: String,
    href: Option<&'static str>,
    note: Option<&'static str>,
    /// How it went until now.
    trend: Option<Trend>,
    class: &'static str,
}

/// Something that needs a look.
struct Item {
    label: &'static str,
    value: String,
    href: Option<&'static str>,
    class: &'static str,
}

/// How many of the billed ones have a status.
struct Share {
    label: &'static str,
    value: String,
    href: String,
    class: &'static str,
}

struct Table {
    rows: Vec<Row>,
    has_more: bool,
}

impl Table {
    fn of(ui: &Ui, listed: ListPage) -> Self {
        Self {
            has_more: listed.next_page_token.is_some(),
            rows: rows(ui, listed.organizations),
        }
    }
}

/// The figures, what needs a look, and the first of both lists.
pub(super) async fn overview(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let groups = admin.asks(ListPendingGroupsRequest {});
    let groups = answered(web.admin_client().list_pending_groups(groups).await)?.groups;
    let request = OverviewRequest {
        ignored: false,
        except_networks: groups.iter().map(|it| it.source_network.clone()).collect(),
        filter: OrganizationFilter::default(),
        order: OrganizationOrder::default(),
        page_size: ROWS,
        pending_cursor: String::new(),
        linked_cursor: String::new(),
    };
    let app = web.app();
    let (overview, reconciliation, reporting, dead_letters) = tokio::join!(
        app.list_overview(&admin, request),
        reconciled(&web, &admin),
        reporting(&web, &admin),
        dead_letters(&web, &admin, &ui)
    );
    let (overview, reconciliation) = (overview?, reconciliation?);
    let Overview {
        summary,
        pending,
        linked,
        reporting_available,
    } = overview;
    let now = app.clock().now();
    let shown = OverviewPage {
        ui: ui.frame(&admin.email, Section::Overview),
        notice: notice(&ui, &Query::read(query.as_deref())),
        news: ui.count(&ui.t.pending_now, &summary.pending),
        reporting_available,
        figures: figures(&ui, &summary, reporting.as_ref(), now),
        attention: attention(
            &ui,
            &summary,
            reporting.as_ref(),
            reconciliation.as_ref(),
            dead_letters,
        ),
        compared: reconciliation.and_then(|stands| ui.minute_of(stands.last_full_pass_time)),
        shares: shares(&ui, &summary),
        heads: Heads::default(),
        pending: Table::of(&ui, pending),
        grouped: grouped(&ui, &groups),
        billed: Table::of(&ui, linked),
        as_of: ui.minute(now),
        counted: (now - summary.counted_at > chrono::TimeDelta::seconds(1))
            .then(|| ui.minute(summary.counted_at)),
        summary,
    };
    Ok(page(StatusCode::OK, &shown))
}

/// How many stand in groups; `None` where there is none.
fn grouped(ui: &Ui, groups: &[PendingGroup]) -> Option<String> {
    let count = groups.iter().map(|group| group.organization_count).sum();
    (count > 0).then(|| ui.count(&ui.t.in_groups, &count))
}

/// How the instances report; `None` where that cannot be told now, which is no reason to show an
/// admin nothing at all.
async fn reporting(web: &Web, admin: &Admin) -> Option<GetReportingSummaryResponse> {
    let request = admin.asks(GetReportingSummaryRequest {});
    let summary = answered(web.admin_client().get_reporting_summary(request).await);
    summary.map_err(|fault| Fault::log(&fault)).ok()
}

/// How reconciliation stands; `None` while ingest-svc is away, which is no reason either.
async fn reconciled(web: &Web, admin: &Admin) -> Result<Option<GetReconciliationResponse>, Fault> {
    let request = GetReconciliationRequest {
        page_size: 1,
        ..GetReconciliationRequest::default()
    };
    match answered(
        web.admin_client()
            .get_reconciliation(admin.asks(request))
            .await,
    ) {
        Ok(stands) => Ok(Some(stands)),
        Err(fault) if is_away(&fault) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// How many events of Stripe's were given up; `None` where there are none. While stripe-svc is away
/// that is said in place of the number.
async fn dead_letters(web: &Web, admin: &Admin, ui: &Ui) -> Option<String> {
    let request = ListWebhookEventsRequest {
        state: WebhookEventState::Dead.into(),
        page_size: DEAD_LETTERS_COUNTED,
        page_token: String::new(),
    };
    match answered(
        web.admin_client()
            .list_webhook_events(admin.asks(request))
            .await,
    ) {
        Ok(listed) if listed.events.is_empty() => None,
        Ok(listed) => {
            let count = i64::try_from(listed.events.len()).unwrap_or(i64::MAX);
            let more = if listed.next_page_token.is_empty() {
                ""
            } else {
                "+"
            };
            Some(format!("{}{more}", ui.number(&count)))
        }
        Err(fault) => {
            fault.log();
            Some("?".to_owned())
        }
    }
}

/// What was just done. The address picks one of our own sentences: it cannot bring its own.
fn notice(ui: &Ui, asked: &Query) -> Option<Notice> {
    let text = match asked.get("notice")? {
        "linked" => ui.t.notice_linked,
        "linking" => ui.t.notice_linking,
        "unlinked" => ui.t.notice_unlinked,
        _ => return None,
    };
    let organization_id = asked.get("organization")?.parse().ok()?;
    Some(Notice {
        text,
        organization_id,
    })
}

fn figures(
    ui: &Ui,
    summary: &Summary,
    reporting: Option<&GetReportingSummaryResponse>,
    now: DateTime<Utc>,
) -> Vec<Figure> {
    let figure = |label, count, href, class| Figure {
        label,
        value: ui.number(count),
        href,
        note: None,
        trend: None,
        class,
    };
    let calling = if summary.pending > 0 { "calling" } else { "" };
    let mut figures = vec![
        figure(ui.t.pending, &summary.pending, Some(list::PENDING), calling),
        figure(ui.t.billed, &summary.linked, Some(list::BILLED), ""),
        figure(ui.t.organizations, &summary.total, None, ""),
    ];
    figures.extend(reporting.map(|known| Figure {
        label: ui.t.users_in_all,
        value: ui.number(&known.user_count),
        href: None,
        note: Some(ui.t.last_days),
        trend: Trend::of(&known.days, now),
        class: "",
    }));
    figures.extend(reporting.map(|known| Figure {
        note: Some(ui.t.last_days),
        ..figure(
            ui.t.unsigned_organizations,
            &known.unsigned_organization_count,
            None,
            "",
        )
    }));
    figures
}

fn attention(
    ui: &Ui,
    summary: &Summary,
    reporting: Option<&GetReportingSummaryResponse>,
    reconciliation: Option<&GetReconciliationResponse>,
    dead_letters: Option<String>,
) -> Vec<Item> {
    let troubled = |(status, _): &&(SubscriptionStatus, i64)| match status {
        SubscriptionStatus::PastDue
        | SubscriptionStatus::Unpaid
        | SubscriptionStatus::Incomplete
        | SubscriptionStatus::IncompleteExpired => true,
        SubscriptionStatus::Unspecified
        | SubscriptionStatus::Pending
        | SubscriptionStatus::Trial
        | SubscriptionStatus::Active
        | SubscriptionStatus::Paused
        | SubscriptionStatus::Canceled => false,
    };
    let troubled = summary.by_status.iter().filter(troubled);
    let troubled: i64 = troubled.map(|(_, count)| count).sum();
    let mut items = Vec::new();
    if troubled > 0 {
        items.push(Item {
            label: ui.t.problems,
            value: ui.number(&troubled),
            href: Some(list::TROUBLED),
            class: "bad",
        });
    }
    if summary.collection_paused > 0 {
        items.push(Item {
            label: ui.t.collection_paused,
            value: ui.number(&summary.collection_paused),
            href: Some(list::COLLECTION_PAUSED),
            class: "bad",
        });
    }
    items.extend(reporting_items(ui, reporting));
    let findings = match reconciliation {
        None => Some(("?".to_owned(), "wait")),
        Some(stands) if stands.open_finding_count > 0 => {
            Some((ui.number(&stands.open_finding_count), "bad"))
        }
        Some(_) => None,
    };
    items.extend(findings.map(|(value, class)| Item {
        label: ui.t.findings,
        value,
        href: Some(reconciliation::PATH),
        class,
    }));
    items.extend(dead_letters.map(|value| Item {
        label: ui.t.dead_letters,
        value,
        href: Some(webhooks::DEAD),
        class: "wait",
    }));
    items
}

/// What needs a look of how the instances report. While that cannot be told, this is said instead.
fn reporting_items(ui: &Ui, reporting: Option<&GetReportingSummaryResponse>) -> Vec<Item> {
    let t = ui.t;
    let Some(known) = reporting else {
        return vec![Item {
            label: t.reporting_not_known,
            value: "?".to_owned(),
            href: None,
            class: "wait",
        }];
    };
    let item = |label, count: i64, href, class| {
        (count > 0).then(|| Item {
            label,
            value: ui.number(&count),
            href,
            class,
        })
    };
    let urgent = known.urgent_held_report_count;
    let queue = known
        .oldest_queued_age
        .filter(|age| age.seconds >= QUEUE_LOUD_SECONDS);
    let items = [
        item(t.urgent_held_reports, urgent, Some(held::URGENT), "bad"),
        item(
            t.held_reports,
            known.held_report_count - urgent,
            Some(held::PATH),
            "wait",
        ),
        item(
            t.silent_instances,
            known.silent_count,
            Some("/billed?reporting=silent"),
            "bad",
        ),
        item(
            t.late_instances,
            known.late_count,
            Some("/billed?reporting=late"),
            "wait",
        ),
        item(
            t.refused_reports,
            known.refused_report_count,
            Some(refused::PATH),
            "bad",
        ),
        queue.map(|age| Item {
            label: t.queue_age,
            value: ui.language.age(age.seconds),
            href: None,
            class: "bad",
        }),
    ];
    items.into_iter().flatten().collect()
}

fn shares(ui: &Ui, summary: &Summary) -> Vec<Share> {
    let share = |(status, count): &(SubscriptionStatus, i64)| Share {
        label: ui.t.status_word(*status),
        value: ui.number(count),
        href: with_query(list::BILLED, &[("status", words::status(*status))]),
        class: labels::status_class(*status),
    };
    summary.by_status.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use billing_kit::proto_time;
    use billing_proto::common::v1::UsageDay;

    use super::*;
    use crate::dashboard::{
        row::tests::{ATTACK, organization},
        ui::tests::readers,
    };

    const ID: &str = "organization=00000000-0000-0000-0000-000000000007";

    fn reporting(at: DateTime<Utc>) -> GetReportingSummaryResponse {
        let day = |days: i64, user_count| UsageDay {
            day_start_time: Some(proto_time::to_proto(at - chrono::TimeDelta::days(days))),
            user_count,
            organization_count: 2,
        };
        GetReportingSummaryResponse {
            user_count: 31_415,
            count_time: None,
            days: vec![day(3, 30_000), day(1, 31_415)],
            late_count: 21,
            silent_count: 22,
            held_report_count: 25,
            held_organization_count: 2,
            urgent_held_report_count: 1,
            unsigned_organization_count: 2,
            refused_report_count: 23,
            queued_report_count: 9,
            oldest_queued_age: Some(prost_types::Duration {
                seconds: 7_200,
                nanos: 0,
            }),
        }
    }

    fn html(ui: &Ui, empty: bool) -> String {
        let at = DateTime::from_timestamp(1_730_419_200, 0).unwrap();
        let summary = Summary {
            total: 12_002,
            linked: 12_001,
            ignored: 0,
            pending: 1,
            by_status: vec![
                (SubscriptionStatus::PastDue, 3),
                (SubscriptionStatus::Active, 11_998),
            ],
            collection_paused: 7,
            counted_at: at,
        };
        let stands = GetReconciliationResponse {
            open_finding_count: 2,
            ..GetReconciliationResponse::default()
        };
        let reporting = reporting(at);
        let table = |linked: bool| Table {
            rows: rows(
                ui,
                (!empty).then(|| organization(linked)).into_iter().collect(),
            ),
            has_more: !empty,
        };
        let attention = if empty {
            Vec::new()
        } else {
            attention(
                ui,
                &summary,
                Some(&reporting),
                Some(&stands),
                Some("50+".to_owned()),
            )
        };
        OverviewPage {
            ui: ui.frame(ATTACK, Section::Overview),
            notice: notice(ui, &Query::read(Some(&format!("notice=linked&{ID}")))),
            news: "news".to_owned(),
            reporting_available: false,
            figures: figures(ui, &summary, Some(&reporting), at),
            attention,
            compared: (!empty).then(|| ui.minute(at)),
            shares: shares(ui, &summary),
            heads: Heads::default(),
            pending: table(false),
            grouped: (!empty).then(|| ui.count(&ui.t.in_groups, &300)),
            billed: table(true),
            as_of: ui.minute(at),
            counted: Some(ui.minute(at)),
            summary,
        }
        .render()
        .unwrap()
    }

    #[test]
    fn the_page_renders_in_both_languages_and_escapes_all() {
        for ui in readers() {
            let html = html(&ui, false);
            assert!(!html.contains("<img"), "{html}");
            let t = ui.t;
            for shown in [
                "&#60;img src=x onerror=alert(1)&#62;",
                t.pending_title,
                t.billed_title,
                t.notice_linked,
                t.users_not_known,
                t.words.past_due,
                t.problems,
                &ui.number(&12_001),
                &ui.count(&t.all_billed, &12_001),
                "Stripe said no.",
                "50+",
                t.silent_instances,
                "/billed?reporting=silent",
                "/billed?collection=paused",
                t.urgent_held_reports,
                ">24<",
                t.refused_reports,
                ">2 h<",
                &ui.number(&31_415),
                "class=\"spark\"",
                "/billed?status=past_due",
                "/organizations/00000000-0000-0000-0000-000000000007/link",
                "data-poll=\"15\"",
            ] {
                assert!(html.contains(shown), "{shown} in {html}");
            }
        }
    }

    #[test]
    fn an_empty_page_says_so_in_both_languages() {
        for ui in readers() {
            let html = html(&ui, true);
            let t = ui.t;
            for shown in [t.none_pending, t.none_billed, t.all_well, t.not_compared] {
                assert!(html.contains(shown), "{shown} in {html}");
            }
        }
    }

    #[test]
    fn an_address_brings_no_sentence_of_its_own() {
        let [ui, _] = readers();
        let notice = |query: &str| notice(&ui, &Query::read(Some(query)));
        assert!(notice(&format!("notice=Pay+me&{ID}")).is_none());
        assert!(notice("notice=linked&organization=x").is_none());
    }
}
