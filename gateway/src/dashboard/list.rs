//! `/pending` and `/billed`: all organizations of a kind, to search, filter and order.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    extract::{RawQuery, State},
    response::Response,
};
use billing_kit::{Fault, Violation};
use billing_proto::common::v1::{
    LinkFilter, ListPendingGroupsRequest, PendingGroup, ReportingState, SubscriptionStatus,
};
use http::{HeaderMap, StatusCode};

use super::{
    export, ignore,
    page::{PageError, page},
    row::{Heads, Row, rows},
    ui::{Choice, Frame, Moment, Section, Ui},
};
use crate::{
    app::{Admin, PageRequest},
    domain::{
        organization::Summary,
        organization_filter::{
            OrganizationFilter, OrganizationOrder, PAGE_SIZE_DEFAULT, parse_filter, parse_order,
        },
        time_text, words,
    },
    grpc::answered,
    rest::query::{Query, with_query},
    web::Web,
};

/// Where the pending ones are.
pub(super) const PENDING: &str = "/pending";
/// Where the billed ones are.
pub(super) const BILLED: &str = "/billed";

/// Where the ignored ones are.
pub(super) const IGNORED: &str = "/ignored";
/// The filter by the network that the first report came from.
const NETWORK: &str = "network";

/// The statuses of those that do not pay as they should, as one choice of the filter.
const TROUBLED_STATUSES: &str = "past_due,unpaid,incomplete,incomplete_expired";
/// Where these are.
pub(super) const TROUBLED: &str = "/billed?status=past_due,unpaid,incomplete,incomplete_expired";
/// Where those are whose collection is paused.
pub(super) const COLLECTION_PAUSED: &str = "/billed?collection=paused";
/// The filter by a pause of collection, and its one word.
const COLLECTION: &str = "collection";
const PAUSED: &str = "paused";
/// The filter by how the instances report.
const REPORTING: &str = "reporting";

/// Which of the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Pending,
    Billed,
    Ignored,
}

impl Kind {
    fn path(self) -> &'static str {
        match self {
            Self::Pending => PENDING,
            Self::Billed => BILLED,
            Self::Ignored => IGNORED,
        }
    }

    fn orders(self) -> &'static [OrganizationOrder] {
        const ALL: [OrganizationOrder; 5] = [
            OrganizationOrder::NewestFirst,
            OrganizationOrder::OldestFirst,
            OrganizationOrder::Name,
            OrganizationOrder::NameDescending,
            OrganizationOrder::Status,
        ];
        const BUT_STATUS: [OrganizationOrder; 4] = [
            OrganizationOrder::NewestFirst,
            OrganizationOrder::OldestFirst,
            OrganizationOrder::Name,
            OrganizationOrder::NameDescending,
        ];
        match self {
            Self::Pending | Self::Ignored => &BUT_STATUS,
            Self::Billed => &ALL,
        }
    }
}

/// What an address asks a list for.
#[derive(Debug)]
pub(super) struct Asked {
    kind: Kind,
    filter: OrganizationFilter,
    order: OrganizationOrder,
    cursor: String,
}

impl Asked {
    /// Reads an address.
    ///
    /// # Errors
    /// A word that is not known.
    pub(super) fn read(kind: Kind, query: &Query) -> Result<Self, Fault> {
        let text = |name| query.get(name).unwrap_or_default();
        // What is pending has no status, plan or deployment type yet.
        let facets = match kind {
            Kind::Pending | Kind::Ignored => [""; 3],
            Kind::Billed => [text("status"), text("plan"), text("deployment")],
        };
        let mut violations = Vec::new();
        let mut filter = parse_filter(text("q").trim(), facets, &mut violations);
        let order = parse_order(text("sort"), &mut violations);
        match kind {
            Kind::Billed => {
                filter.reporting_state = parse_reporting(text(REPORTING), &mut violations);
                filter.collection_paused = parse_collection(text(COLLECTION), &mut violations);
            }
            Kind::Pending | Kind::Ignored => filter.source_network = text(NETWORK).to_owned(),
        }
        if !violations.is_empty() {
            return Err(Fault::invalid(violations));
        }
        Ok(Self {
            kind,
            filter,
            order,
            cursor: text("cursor").to_owned(),
        })
    }

    /// A page of the list, of this size, from this cursor on.
    pub(super) fn request(&self, page_size: i32, cursor: String) -> PageRequest {
        PageRequest {
            filter: self.filter.clone(),
            link_filter: match self.kind {
                Kind::Pending => LinkFilter::Pending,
                Kind::Billed => LinkFilter::Linked,
                Kind::Ignored => LinkFilter::Ignored,
            },
            order: self.order,
            page_size,
            page_token: cursor,
            except_networks: Vec::new(),
        }
    }

    /// Where the page begins.
    pub(super) fn cursor(&self) -> &str {
        &self.cursor
    }

    fn is_filtered(&self) -> bool {
        self.filter != OrganizationFilter::default()
    }

    /// Whether those that have been silent longest come first, whatever order is asked for.
    fn is_by_silence(&self) -> bool {
        self.filter.reporting_state.is_some()
    }

    fn heads(&self, path: &str) -> Heads {
        if self.is_by_silence() {
            return Heads::default();
        }
        Heads::of(self.order, |order| self.address(path, order, ""))
    }

    /// The same list under another path, in another order, or at another page.
    fn address(&self, path: &str, order: OrganizationOrder, cursor: &str) -> String {
        let OrganizationFilter {
            query,
            statuses,
            plans,
            deployments,
            reporting_state,
            collection_paused,
            source_network,
        } = &self.filter;
        let statuses: Vec<_> = statuses.iter().map(|s| words::status(*s)).collect();
        let plans = plans.iter().filter_map(|plan| words::plan_type(*plan));
        let plans: Vec<_> = plans.collect();
        let deployments = deployments
            .iter()
            .filter_map(|deployment| words::deployment_type(*deployment));
        let deployments: Vec<_> = deployments.collect();
        let reporting = reporting_state.and_then(words::reporting_state);
        let sort = if order == OrganizationOrder::default() {
            ""
        } else {
            order.word()
        };
        with_query(
            path,
            &[
                ("q", query),
                ("status", &statuses.join(",")),
                ("plan", &plans.join(",")),
                ("deployment", &deployments.join(",")),
                (REPORTING, &reporting.unwrap_or_default()),
                (COLLECTION, if *collection_paused { PAUSED } else { "" }),
                (NETWORK, source_network),
                ("sort", sort),
                ("cursor", cursor),
            ],
        )
    }
}

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage<'a> {
    ui: Frame<'a>,
    title: &'static str,
    path: &'static str,
    total: i64,
    query: &'a str,
    selects: Vec<Select>,
    /// Whether the browser looks again by itself.
    polls: bool,
    /// What is told to whoever does not see the page.
    news: String,
    reporting_available: bool,
    /// Whether the list has an order of its own.
    is_by_silence: bool,
    heads: Heads,
    rows: Vec<Row>,
    is_pending: bool,
    is_filtered: bool,
    notice: Option<&'static str>,
    /// Pending organizations that came from one network each, in place of their rows.
    groups: Vec<Group>,
    /// The network that the list is of, or empty.
    network: &'a str,
    /// What is done with those that are chosen.
    choosing: Option<Choosing>,
    /// How many are ignored, and are in a list of their own.
    ignored: Option<String>,
    none: &'static str,
    none_hint: &'static str,
    export: String,
    first: Option<String>,
    next: Option<String>,
}

/// What is done with the rows that a person chooses, or with all of the network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choosing {
    action: &'static str,
    pub(super) button: &'static str,
}

/// The pending organizations of one network.
#[derive(Debug)]
struct Group {
    network: String,
    count: String,
    last: Moment,
    /// The moment of the last one, as exact as it is known.
    until: String,
    href: String,
    ignore_label: String,
}

fn group(ui: &Ui, group: PendingGroup) -> Group {
    let PendingGroup {
        source_network,
        organization_count,
        first_create_time: _,
        last_create_time,
    } = group;
    let until = time_text::known(last_create_time).map(time_text::exact);
    Group {
        href: with_query(PENDING, &[(NETWORK, &source_network)]),
        ignore_label: ui.about(ui.t.ignore_network, &source_network),
        network: source_network,
        count: ui.number(&organization_count),
        last: ui.promised_day(last_create_time),
        until: until.unwrap_or_default(),
    }
}

/// A filter, or the order, to choose.
#[derive(Debug)]
struct Select {
    name: &'static str,
    label: &'static str,
    choices: Vec<Choice>,
}

/// Those that wait to be linked.
pub(super) async fn pending(
    web: State<Web>,
    ui: Extension<Arc<Ui>>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    list(Kind::Pending, web, ui, query, headers).await
}

/// Those that are billed.
pub(super) async fn billed(
    web: State<Web>,
    ui: Extension<Arc<Ui>>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    list(Kind::Billed, web, ui, query, headers).await
}

/// Those that an admin ignores.
pub(super) async fn ignored(
    web: State<Web>,
    ui: Extension<Arc<Ui>>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    list(Kind::Ignored, web, ui, query, headers).await
}

/// The groups that stand in place of their rows: none where the list is of something else.
async fn groups(web: &Web, admin: &Admin, asked: &Asked) -> Result<Vec<PendingGroup>, Fault> {
    if asked.kind != Kind::Pending || asked.is_filtered() {
        return Ok(Vec::new());
    }
    let request = admin.asks(ListPendingGroupsRequest {});
    Ok(answered(web.admin_client().list_pending_groups(request).await)?.groups)
}

async fn list(
    kind: Kind,
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let query = Query::read(query.as_deref());
    let asked = Asked::read(kind, &query)?;
    let app = web.app();
    let groups = groups(&web, &admin, &asked).await?;
    let request = PageRequest {
        except_networks: groups.iter().map(|it| it.source_network.clone()).collect(),
        ..asked.request(PAGE_SIZE_DEFAULT, asked.cursor.clone())
    };
    let ((listed, reporting_available), summary) = tokio::try_join!(
        app.list_reporting(&admin, request),
        app.count_organizations(&admin)
    )?;
    let is_pending = kind == Kind::Pending;
    let Titles {
        section,
        title,
        total,
        none,
        none_hint,
    } = titles(&ui, kind, &summary);
    let path = kind.path();
    let is_first = asked.cursor.is_empty();
    let shown = ListPage {
        ui: ui.frame(&admin.email, section),
        title,
        path,
        total,
        query: &asked.filter.query,
        selects: selects(&ui, &asked),
        polls: is_pending && is_first,
        news: if is_pending {
            ui.count(&ui.t.pending_now, &summary.pending)
        } else {
            String::new()
        },
        reporting_available,
        is_by_silence: asked.is_by_silence(),
        heads: asked.heads(path),
        rows: rows(&ui, listed.organizations),
        is_pending: kind != Kind::Billed,
        is_filtered: asked.is_filtered(),
        notice: query.get("notice").and_then(|word| notice(&ui, word)),
        groups: if is_first {
            groups.into_iter().map(|it| group(&ui, it)).collect()
        } else {
            Vec::new()
        },
        network: &asked.filter.source_network,
        choosing: choosing(&ui, kind),
        ignored: (is_pending && summary.ignored > 0).then(|| ui.number(&summary.ignored)),
        none,
        none_hint,
        export: asked.address(export::path(kind), asked.order, ""),
        first: (!is_first).then(|| asked.address(path, asked.order, "")),
        next: listed
            .next_page_token
            .map(|next| asked.address(path, asked.order, &next)),
    };
    Ok(page(StatusCode::OK, &shown))
}

/// What a list is called, and what it says where it is empty.
struct Titles {
    section: Section,
    title: &'static str,
    total: i64,
    none: &'static str,
    none_hint: &'static str,
}

fn titles(ui: &Ui, kind: Kind, summary: &Summary) -> Titles {
    let t = ui.t;
    match kind {
        Kind::Pending => Titles {
            section: Section::Pending,
            title: t.pending_title,
            total: summary.pending,
            none: t.none_pending,
            none_hint: t.none_pending_hint,
        },
        Kind::Billed => Titles {
            section: Section::Billed,
            title: t.billed_title,
            total: summary.linked,
            none: t.none_billed,
            none_hint: t.none_billed_hint,
        },
        Kind::Ignored => Titles {
            section: Section::Pending,
            title: t.ignored_title,
            total: summary.ignored,
            none: t.none_ignored,
            none_hint: t.none_ignored_hint,
        },
    }
}

/// What can be done with those that are chosen.
fn choosing(ui: &Ui, kind: Kind) -> Option<Choosing> {
    match kind {
        Kind::Pending => Some(Choosing {
            action: ignore::IGNORE,
            button: ui.t.ignore_chosen,
        }),
        Kind::Ignored => Some(Choosing {
            action: ignore::RESTORE,
            button: ui.t.restore_chosen,
        }),
        Kind::Billed => None,
    }
}

/// What was just done.
pub(super) fn notice(ui: &Ui, word: &str) -> Option<&'static str> {
    match word {
        ignore::IGNORED => Some(ui.t.notice_ignored),
        ignore::RESTORED => Some(ui.t.notice_restored),
        ignore::NONE_CHOSEN => Some(ui.t.notice_none_chosen),
        _ => None,
    }
}

fn selects(ui: &Ui, asked: &Asked) -> Vec<Select> {
    let t = ui.t;
    let order = Select {
        name: "sort",
        label: t.sort,
        choices: asked
            .kind
            .orders()
            .iter()
            .map(|order| Choice {
                // The usual order needs no word in the address.
                value: if *order == OrganizationOrder::default() {
                    ""
                } else {
                    order.word()
                },
                label: match order {
                    OrganizationOrder::NewestFirst => t.newest_first,
                    OrganizationOrder::OldestFirst => t.oldest_first,
                    OrganizationOrder::Name => t.name_up,
                    OrganizationOrder::NameDescending => t.name_down,
                    OrganizationOrder::Status => t.status_first,
                },
                selected: *order == asked.order,
            })
            .collect(),
    };
    if asked.kind != Kind::Billed {
        return vec![order];
    }
    let plans = words::PLAN_TYPES.split(", ").filter_map(|word| {
        let plan = words::parse_plan_type(word)?;
        Some(Choice {
            value: word,
            label: t.plan_word(plan),
            selected: asked.filter.plans.contains(&plan),
        })
    });
    let deployments = words::DEPLOYMENT_TYPES.split(", ").filter_map(|word| {
        let deployment = words::parse_deployment_type(word)?;
        Some(Choice {
            value: word,
            label: t.deployment_word(deployment),
            selected: asked.filter.deployments.contains(&deployment),
        })
    });
    vec![
        status_select(ui, asked),
        select(ui, "plan", t.plan, plans),
        select(ui, "deployment", t.deployment, deployments),
        reporting_select(ui, asked),
        collection_select(ui, asked),
        order,
    ]
}

/// The filter by status, those that do not pay as they should as one choice of it.
fn status_select(ui: &Ui, asked: &Asked) -> Select {
    let statuses = [
        SubscriptionStatus::Trial,
        SubscriptionStatus::Active,
        SubscriptionStatus::PastDue,
        SubscriptionStatus::Unpaid,
        SubscriptionStatus::Incomplete,
        SubscriptionStatus::IncompleteExpired,
        SubscriptionStatus::Paused,
        SubscriptionStatus::Canceled,
    ];
    let chosen: Vec<_> = asked
        .filter
        .statuses
        .iter()
        .copied()
        .map(words::status)
        .collect();
    let chosen = chosen.join(",");
    let troubled = Choice {
        value: TROUBLED_STATUSES,
        label: ui.t.problems,
        selected: chosen == TROUBLED_STATUSES,
    };
    let statuses = statuses.map(|status| Choice {
        value: words::status(status),
        label: ui.t.status_word(status),
        selected: chosen == words::status(status),
    });
    let statuses = statuses.into_iter().chain([troubled]);
    select(ui, "status", ui.t.status, statuses)
}

/// The filter by how the instances report.
fn reporting_select(ui: &Ui, asked: &Asked) -> Select {
    let states = LOOKED_FOR.map(|(value, state)| Choice {
        value,
        label: match state {
            ReportingState::Silent => ui.t.silent,
            ReportingState::Late | ReportingState::OnTime | ReportingState::Unspecified => {
                ui.t.late
            }
        },
        selected: asked.filter.reporting_state == Some(state),
    });
    select(ui, REPORTING, ui.t.reporting, states)
}

/// The filter by a pause of collection.
fn collection_select(ui: &Ui, asked: &Asked) -> Select {
    let paused = Choice {
        value: PAUSED,
        label: ui.t.collection_paused,
        selected: asked.filter.collection_paused,
    };
    select(ui, COLLECTION, ui.t.collection, [paused])
}

fn parse_collection(text: &str, violations: &mut Vec<Violation>) -> bool {
    if !text.is_empty() && text != PAUSED {
        violations.push(Violation::new(COLLECTION, "It must be paused."));
    }
    text == PAUSED
}

/// Late and silent ones are looked for, those in order are not.
const LOOKED_FOR: [(&str, ReportingState); 2] = [
    ("late", ReportingState::Late),
    ("silent", ReportingState::Silent),
];

/// The state of a word.
fn parse_reporting(text: &str, violations: &mut Vec<Violation>) -> Option<ReportingState> {
    let mut states = LOOKED_FOR.into_iter();
    let found = states.find(|(word, _)| *word == text);
    let found = found.map(|(_, state)| state);
    if found.is_none() && !text.is_empty() {
        violations.push(Violation::new(REPORTING, "It must be late or silent."));
    }
    found
}

/// A filter; the first choice is none.
fn select(
    ui: &Ui,
    name: &'static str,
    label: &'static str,
    choices: impl IntoIterator<Item = Choice>,
) -> Select {
    let mut all = vec![Choice {
        value: "",
        label: ui.t.any,
        selected: false,
    }];
    all.extend(choices);
    Select {
        name,
        label,
        choices: all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::{
        row::tests::{ATTACK, at, organization},
        ui::tests::readers,
    };

    fn asked(kind: Kind, query: &str) -> Asked {
        Asked::read(kind, &Query::read(Some(query))).unwrap()
    }

    fn html(ui: &Ui, kind: Kind, asked: &Asked, empty: bool) -> String {
        let is_pending = kind == Kind::Pending;
        let organizations = if empty {
            Vec::new()
        } else {
            vec![organization(!is_pending)]
        };
        ListPage {
            ui: ui.frame(ATTACK, Section::Pending),
            title: ui.t.pending_title,
            path: kind.path(),
            total: 12_345,
            query: &asked.filter.query,
            selects: selects(ui, asked),
            polls: is_pending,
            news: "news".to_owned(),
            reporting_available: false,
            is_by_silence: asked.is_by_silence(),
            heads: asked.heads(kind.path()),
            rows: rows(ui, organizations),
            is_pending,
            is_filtered: asked.is_filtered(),
            notice: Some(ui.t.notice_ignored),
            groups: if empty {
                Vec::new()
            } else {
                vec![group(
                    ui,
                    PendingGroup {
                        source_network: ATTACK.to_owned(),
                        organization_count: 9_876,
                        first_create_time: at(0),
                        last_create_time: at(0),
                    },
                )]
            },
            network: &asked.filter.source_network,
            choosing: choosing(ui, kind),
            ignored: Some("4".to_owned()),
            none: ui.t.none_pending,
            none_hint: ui.t.none_pending_hint,
            export: asked.address(export::path(kind), asked.order, ""),
            first: Some("/pending".to_owned()),
            next: Some(asked.address(kind.path(), asked.order, "next")),
        }
        .render()
        .unwrap()
    }

    #[test]
    fn both_lists_render_in_both_languages_and_escape_all() {
        for ui in readers() {
            let t = ui.t;
            let asked_pending = asked(Kind::Pending, &format!("q={ATTACK}&status=trial&sort=name"));
            let pending = html(&ui, Kind::Pending, &asked_pending, false);
            let asked_billed = asked(
                Kind::Billed,
                "q=a%26b&status=past_due&plan=self-hosted&deployment=on-premise&sort=status",
            );
            let billed = html(&ui, Kind::Billed, &asked_billed, false);
            for html in [&pending, &billed] {
                assert!(!html.contains("<img"), "{html}");
                for shown in [
                    "&#60;img src=x onerror=alert(1)&#62;",
                    t.users_not_known,
                    t.next_page,
                    t.export,
                    &ui.number(&12_345),
                    &format!(">{}<", ui.number(&1_245)),
                ] {
                    assert!(html.contains(shown), "{shown} in {html}");
                }
            }
            for shown in [
                t.link,
                t.since,
                "Stripe said no.",
                "aria-sort=\"ascending\"",
                "/pending?q=%3Cimg",
                t.pending_groups_title,
                &ui.number(&9_876),
                "name=\"until\" value=\"1970-01-01T00:00:00.000000Z\"",
                "action=\"/pending/ignore\"",
                "type=\"checkbox\" name=\"id\"",
                t.ignored_title,
            ] {
                assert!(pending.contains(shown), "{shown} in {pending}");
            }
            for shown in [
                t.words.past_due,
                "<option value=\"self-hosted\" selected>",
                "/billed.csv?q=a%26b&#38;status=past_due&#38;plan=self-hosted&#38;deployment=on-premise&#38;sort=status",
                "cursor=next",
            ] {
                assert!(billed.contains(shown), "{shown} in {billed}");
            }
        }
    }

    #[test]
    fn an_empty_list_says_why() {
        for ui in readers() {
            let all = html(&ui, Kind::Pending, &asked(Kind::Pending, ""), true);
            assert!(all.contains(ui.t.none_pending) && !all.contains(ui.t.export));
            let none = html(&ui, Kind::Pending, &asked(Kind::Pending, "q=x"), true);
            assert!(none.contains(ui.t.none_match) && none.contains(ui.t.show_all));
        }
    }

    #[test]
    fn the_specifications_words_stand_above_the_tables() {
        let [french, _] = readers();
        let t = french.t;
        assert_eq!(t.pending_title, "Organisations en attente de liaison");
        assert_eq!(t.billed_title, "Organisations facturées");
        let heads = [
            t.name, t.instance, t.users, t.since, t.link, t.plan, t.status,
        ];
        assert_eq!(
            heads,
            [
                "Nom", "Instance", "Users", "Depuis", "Lier", "Plan", "Status"
            ]
        );
    }

    #[test]
    fn the_silent_ones_have_an_order_of_their_own() {
        for ui in readers() {
            let silent = asked(Kind::Billed, "reporting=silent&sort=status");
            let html = html(&ui, Kind::Billed, &silent, false);
            for shown in [
                ui.t.silent_first,
                "<option value=\"silent\" selected>",
                "/billed.csv?reporting=silent",
            ] {
                assert!(html.contains(shown), "{shown} in {html}");
            }
            assert!(!html.contains("aria-sort"), "{html}");
            // Nobody waits for a report of those that are pending.
            assert!(!asked(Kind::Pending, "reporting=silent").is_by_silence());
        }
    }

    #[test]
    fn what_is_not_known_is_told() {
        let refused = Asked::read(
            Kind::Billed,
            &Query::read(Some("plan=gold&sort=users&reporting=on_time")),
        );
        let fields: Vec<_> = refused.unwrap_err().violations;
        assert_eq!(fields.len(), 3);
    }
}
