//! The SQL of a page of a list of organizations.
//!
//! Every page is read from an index in the list's own order, whatever the filter, so that a page of
//! a million organizations costs what a page of a hundred does. A filter picks some statuses, plans
//! and deployment types; each combination is an *arm*: a stretch of an index that has the order. The
//! page is merged from the first rows of all arms.
//!
//! A text is looked for in the stored normal form, and of a row that has none yet in its lower case.
//!
//! A text is looked for twice. Where many have it, a page of them is soon found by walking the list; where
//! few have it, by the index of letters. Which it is nobody knows beforehand, and those that have it may
//! stand all together far down the list: so only so many rows are walked, and if these have no full page
//! all that have the text are found and sorted.
//!
//! Architecture invariant: no text of a caller is ever part of the SQL. What is put together here are
//! this module's own fragments; texts, ids and times are values.

use chrono::{DateTime, Datelike, Utc};
use sea_orm::{DbBackend, IdenStatic, Iterable, Statement, Value};
use uuid::Uuid;

use super::organizations::entity::Column;
use crate::domain::{
    organization::{DeploymentType, PlanType, SubscriptionStatus},
    page::{Filter, LinkFilter, List, Order, Position, RANK_PENDING, Search, status_rank},
};

/// Rows of an older database that are pending and have what only a link gives.
const PENDING_ODD: &str =
    "(plan_type IS NOT NULL OR deployment_type IS NOT NULL OR subscription_status <> 'pending')";
/// How many rows of a list are walked for a text before all that have it are looked for.
const WALKED: i64 = 1_000;
/// Later than every row.
const END_OF_TIME_YEAR: i32 = 9999;

/// The columns of an organization. They are listed, because the plan of a statement with `*` breaks when a
/// migration adds a column.
fn column_list() -> String {
    let columns: Vec<_> = Column::iter().map(|column| column.as_str()).collect();
    columns.join(", ")
}

/// A page.
pub(super) fn page_sql(list: &List, after: Option<&Position>, limit: i64) -> Statement {
    let mut sql = Sql {
        text: String::new(),
        values: Vec::new(),
    };
    let sides: &[LinkFilter] = match list.filter.link {
        None => &[LinkFilter::Pending, LinkFilter::Linked],
        Some(LinkFilter::Pending) => &[LinkFilter::Pending],
        Some(LinkFilter::Linked) => &[LinkFilter::Linked],
        Some(LinkFilter::Ignored) => &[LinkFilter::Ignored],
    };
    sql.push(&format!("SELECT {} FROM (", column_list()));
    for (at, side) in sides.iter().enumerate() {
        if at > 0 {
            sql.push(" UNION ALL ");
        }
        sql.push("(");
        match side {
            _ if is_walked(list) => sql.walked(*side, list, after, limit),
            LinkFilter::Pending | LinkFilter::Ignored => sql.pending(*side, list, after, limit),
            LinkFilter::Linked if list.filter.query.is_none() && has_arms(list) => {
                sql.linked_arms(list, after, limit);
            }
            LinkFilter::Linked => sql.linked(list, after, limit),
        }
        sql.push(")");
    }
    sql.push(") AS page");
    sql.order(list.order, limit);
    Statement::from_sql_and_values(DbBackend::Postgres, sql.text, sql.values)
}

/// Whether one index alone does not have this list in its order.
fn has_arms(list: &List) -> bool {
    let Filter {
        query: _,
        link: _,
        statuses,
        plans,
        deployments,
        collection_paused,
        source_network: _,
        except_networks: _,
    } = &list.filter;
    let is_filtered = !statuses.is_empty() || !plans.is_empty() || !deployments.is_empty();
    // Of a pause there are few, and an index of its own has them.
    !collection_paused && (is_filtered || list.order == Order::Status)
}

/// Whether a text is looked for anywhere, in an order that an index has.
fn is_walked(list: &List) -> bool {
    let query = list.filter.query.as_ref();
    let is_anywhere = query.is_some_and(|it| matches!(it.search(), Search::Anywhere { .. }));
    is_anywhere && list.order != Order::Status
}

/// What all rows of one side have.
fn condition(side: LinkFilter) -> &'static str {
    match side {
        LinkFilter::Pending => "stripe_customer_id IS NULL AND ignored_at IS NULL",
        LinkFilter::Linked => "stripe_customer_id IS NOT NULL",
        LinkFilter::Ignored => "stripe_customer_id IS NULL AND ignored_at IS NOT NULL",
    }
}

struct Sql {
    text: String,
    values: Vec<Value>,
}

impl Sql {
    fn push(&mut self, fragment: &str) {
        self.text.push_str(fragment);
    }

    fn value(&mut self, value: impl Into<Value>) {
        self.values.push(value.into());
        self.text.push_str(&format!("${}", self.values.len()));
    }

    fn order(&mut self, order: Order, limit: i64) {
        self.order_by(order, "lower(name)", limit);
    }

    /// Orders, by this form of the name where it is by name.
    fn order_by(&mut self, order: Order, name: &str, limit: i64) {
        match order {
            Order::NewestFirst => self.push(" ORDER BY created_at DESC, id DESC LIMIT "),
            Order::OldestFirst => self.push(" ORDER BY created_at, id LIMIT "),
            Order::Name => self.push(&format!(" ORDER BY {name}, id LIMIT ")),
            Order::NameDescending => self.push(&format!(" ORDER BY {name} DESC, id DESC LIMIT ")),
            Order::Status => self.push(" ORDER BY rank, created_at DESC, id DESC LIMIT "),
        }
        self.value(limit);
    }

    /// A page of those of one side that have a text.
    fn walked(&mut self, side: LinkFilter, list: &List, after: Option<&Position>, limit: i64) {
        let columns = column_list();
        self.push(&format!(
            "WITH walked AS MATERIALIZED (SELECT {columns}, rank FROM ("
        ));
        self.of_side(side, &format!("{columns}, search_text, search_form"));
        if let Some(after) = after {
            self.behind(list.order, after);
        }
        self.order(list.order, WALKED);
        self.push(") AS organizations WHERE true");
        self.facets(&list.filter);
        self.search(&list.filter);
        self.order(list.order, limit);
        self.push("), enough AS (SELECT count(*) >= ");
        self.value(limit);
        self.push(&format!(
            " AS is_full FROM walked)
            SELECT {columns}, rank FROM walked WHERE (SELECT is_full FROM enough)
            UNION ALL (SELECT {columns}, found.rank FROM (SELECT id, rank FROM ("
        ));
        self.of_side(side, "id, search_name, created_at");
        self.push(" AND NOT (SELECT is_full FROM enough)");
        if let Some(after) = after {
            self.behind(list.order, after);
        }
        self.facets(&list.filter);
        self.search(&list.filter);
        // Kept apart from the order, whose index it would otherwise walk; and what is sorted is narrow.
        self.push(" OFFSET 0) AS organizations");
        self.order_by(list.order, "search_name", limit);
        self.push(") AS found JOIN organizations USING (id))");
    }

    /// These columns of all of one side, with the rank that they have in no order that is walked.
    fn of_side(&mut self, side: LinkFilter, columns: &str) {
        self.push(&format!(
            "SELECT {columns}, {RANK_PENDING} AS rank FROM organizations WHERE "
        ));
        self.push(condition(side));
    }

    fn pending(&mut self, side: LinkFilter, list: &List, after: Option<&Position>, limit: i64) {
        let Filter {
            query: _,
            link: _,
            statuses,
            plans,
            deployments,
            collection_paused: _,
            source_network: _,
            except_networks: _,
        } = &list.filter;
        self.of_side(side, &column_list());
        let leaves_out_the_usual = !plans.is_empty()
            || !deployments.is_empty()
            || !statuses.is_empty() && !statuses.contains(&SubscriptionStatus::Pending);
        if leaves_out_the_usual {
            self.push(" AND ");
            self.push(PENDING_ODD);
        }
        self.facets(&list.filter);
        self.search(&list.filter);
        match after {
            // All that is pending stands before whatever is linked.
            Some(after) if list.order == Order::Status && after.rank > RANK_PENDING => {
                self.push(" AND false");
            }
            Some(after) => self.behind(list.order, after),
            None => {}
        }
        self.order(list.order, limit);
    }

    fn linked(&mut self, list: &List, after: Option<&Position>, limit: i64) {
        self.push(&format!("SELECT {}, ", column_list()));
        self.rank();
        self.push(" AS rank FROM organizations WHERE stripe_customer_id IS NOT NULL");
        self.facets(&list.filter);
        self.search(&list.filter);
        match after {
            Some(after) if list.order == Order::Status => {
                let rank = i32::from(after.rank);
                self.push(" AND (");
                self.rank();
                self.push(" > ");
                self.value(rank);
                self.push(" OR ");
                self.rank();
                self.push(" = ");
                self.value(rank);
                self.behind(list.order, after);
                self.push(")");
            }
            Some(after) => self.behind(list.order, after),
            None => {}
        }
        self.order(list.order, limit);
    }

    fn linked_arms(&mut self, list: &List, after: Option<&Position>, limit: i64) {
        let mut columns = Arms::default();
        for arm in arms(list, after) {
            columns.push(arm);
        }
        let Arms {
            ranks,
            statuses,
            plans,
            deployments,
            times,
            ids,
        } = columns;
        let columns = column_list();
        self.push(&format!("SELECT {columns}, arm.rank FROM unnest("));
        let values: [Value; 6] = [
            ranks.into(),
            statuses.into(),
            plans.into(),
            deployments.into(),
            times.into(),
            ids.into(),
        ];
        let types = ["integer", "text", "text", "text", "timestamptz", "uuid"];
        for (at, (value, name)) in values.into_iter().zip(types).enumerate() {
            self.push(if at > 0 { ", " } else { "" });
            self.value(value);
            self.push(&format!("::{name}[]"));
        }
        self.push(&format!(
            ") AS arm (rank, status, plan, deployment, after_at, after_id) CROSS JOIN LATERAL (
               SELECT {columns} FROM organizations WHERE stripe_customer_id IS NOT NULL
                 AND subscription_status = arm.status AND coalesce(plan_type, '') = arm.plan
                 AND coalesce(deployment_type, '') = arm.deployment"
        ));
        match (list.order, after) {
            (Order::NewestFirst | Order::Status, _) => {
                self.push(" AND (created_at, id) < (arm.after_at, arm.after_id)");
            }
            (Order::OldestFirst | Order::Name | Order::NameDescending, Some(after)) => {
                self.behind(list.order, after);
            }
            (Order::OldestFirst | Order::Name | Order::NameDescending, None) => {}
        }
        // Within an arm there is one rank.
        let within = match list.order {
            Order::Status => Order::NewestFirst,
            order @ (Order::NewestFirst
            | Order::OldestFirst
            | Order::Name
            | Order::NameDescending) => order,
        };
        self.order(within, limit);
        self.push(") AS page");
        self.order(list.order, limit);
    }

    /// The statuses, plans, deployment types and source networks that the filter picks.
    fn facets(&mut self, filter: &Filter) {
        let statuses: Vec<_> = filter.statuses.iter().map(|s| s.as_str()).collect();
        let plans: Vec<_> = filter.plans.iter().map(|plan| plan.as_str()).collect();
        let deployments: Vec<_> = filter.deployments.iter().map(|d| d.as_str()).collect();
        for (column, words) in [
            (" AND subscription_status = ANY(", statuses),
            (" AND plan_type = ANY(", plans),
            (" AND deployment_type = ANY(", deployments),
        ] {
            if !words.is_empty() {
                let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
                self.push(column);
                self.value(words);
                self.push("::text[])");
            }
        }
        if filter.collection_paused {
            self.push(" AND collection_pause IS NOT NULL");
        }
        if let Some(network) = &filter.source_network {
            self.push(" AND source_network = ");
            self.value(network.as_str());
        }
        if !filter.except_networks.is_empty() {
            let networks = filter.except_networks.iter();
            let networks: Vec<String> = networks.map(|it| it.as_str().to_owned()).collect();
            self.push(" AND (source_network IS NULL OR source_network <> ALL(");
            self.value(networks);
            self.push("::text[]))");
        }
    }

    fn search(&mut self, filter: &Filter) {
        match filter.query.as_ref().map(|query| query.search()) {
            None => {}
            Some(Search::Beginning { like }) => {
                self.push(" AND (left(search_form, 8) LIKE ");
                self.value(like.clone());
                self.push(r" ESCAPE '\' OR left(split_part(search_form, E'\n', 2), 8) LIKE ");
                self.value(like.clone());
                self.push(r" ESCAPE '\' OR search_form IS NULL AND (lower(name) LIKE ");
                self.value(like.clone());
                self.push(r" ESCAPE '\' OR lower(instance_url) LIKE ");
                self.value(like);
                self.push(r" ESCAPE '\'))");
            }
            Some(Search::Anywhere { like, ids }) => {
                self.push(" AND (search_form LIKE ");
                self.value(like.clone());
                self.push(r" ESCAPE '\' OR search_form IS NULL AND search_text LIKE ");
                self.value(like);
                self.push(r" ESCAPE '\'");
                if let Some((least, greatest)) = ids {
                    self.push(" OR id BETWEEN ");
                    self.value(least);
                    self.push(" AND ");
                    self.value(greatest);
                }
                self.push(")");
            }
        }
    }

    /// Only what stands behind a position.
    fn behind(&mut self, order: Order, after: &Position) {
        let Position {
            rank: _,
            created_at,
            id,
            name,
        } = after;
        match order {
            Order::NewestFirst | Order::Status => self.push(" AND (created_at, id) < ("),
            Order::OldestFirst => self.push(" AND (created_at, id) > ("),
            Order::Name => self.push(" AND (lower(name), id) > (lower("),
            Order::NameDescending => self.push(" AND (lower(name), id) < (lower("),
        }
        match order {
            Order::NewestFirst | Order::OldestFirst | Order::Status => self.value(*created_at),
            Order::Name | Order::NameDescending => {
                self.value(name.clone());
                self.push(")");
            }
        }
        self.push(", ");
        self.value(id.0);
        self.push(")");
    }

    fn rank(&mut self) {
        self.push("CASE subscription_status");
        for status in SubscriptionStatus::ALL {
            let rank = status_rank(status);
            self.push(&format!(" WHEN '{}' THEN {rank}", status.as_str()));
        }
        self.push(" END");
    }
}

/// One combination that a filter picks, and where it goes on.
struct Arm {
    status: SubscriptionStatus,
    plan: &'static str,
    deployment: &'static str,
    after_at: DateTime<Utc>,
    after_id: Uuid,
}

/// The arms as columns.
#[derive(Default)]
struct Arms {
    ranks: Vec<i32>,
    statuses: Vec<String>,
    plans: Vec<String>,
    deployments: Vec<String>,
    times: Vec<DateTime<Utc>>,
    ids: Vec<Uuid>,
}

impl Arms {
    fn push(&mut self, arm: Arm) {
        let Arm {
            status,
            plan,
            deployment,
            after_at,
            after_id,
        } = arm;
        self.ranks.push(i32::from(status_rank(status)));
        self.statuses.push(status.as_str().to_owned());
        self.plans.push(plan.to_owned());
        self.deployments.push(deployment.to_owned());
        self.times.push(after_at);
        self.ids.push(after_id);
    }
}

/// The combinations that the filter picks: at most 81.
fn arms(list: &List, after: Option<&Position>) -> Vec<Arm> {
    let Filter {
        query: _,
        link: _,
        statuses,
        plans,
        deployments,
        collection_paused: _,
        source_network: _,
        except_networks: _,
    } = &list.filter;
    let statuses = if statuses.is_empty() {
        SubscriptionStatus::ALL.to_vec()
    } else {
        distinct(statuses)
    };
    // Where all are picked, so is a row of an older database that has none.
    let plans: Vec<_> = if plans.is_empty() {
        let all = PlanType::ALL.map(PlanType::as_str);
        all.into_iter().chain([""]).collect()
    } else {
        distinct(plans).into_iter().map(PlanType::as_str).collect()
    };
    let deployments: Vec<_> = if deployments.is_empty() {
        let all = DeploymentType::ALL.map(DeploymentType::as_str);
        all.into_iter().chain([""]).collect()
    } else {
        let picked = distinct(deployments).into_iter();
        picked.map(DeploymentType::as_str).collect()
    };
    let mut arms = Vec::new();
    for status in statuses {
        let Some((after_at, after_id)) = arm_position(list.order, status, after) else {
            continue;
        };
        for plan in &plans {
            for deployment in &deployments {
                arms.push(Arm {
                    status,
                    plan,
                    deployment,
                    after_at,
                    after_id,
                });
            }
        }
    }
    arms
}

/// Where an arm of this status goes on; `None` where the list is past it.
fn arm_position(
    order: Order,
    status: SubscriptionStatus,
    after: Option<&Position>,
) -> Option<(DateTime<Utc>, Uuid)> {
    let start = (end_of_time(), Uuid::max());
    let Some(after) = after else {
        return Some(start);
    };
    let here = Some((after.created_at, after.id.0));
    match order {
        Order::NewestFirst | Order::OldestFirst | Order::Name | Order::NameDescending => here,
        Order::Status => match status_rank(status).cmp(&after.rank) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => here,
            std::cmp::Ordering::Greater => Some(start),
        },
    }
}

fn end_of_time() -> DateTime<Utc> {
    let epoch = DateTime::UNIX_EPOCH;
    epoch.with_year(END_OF_TIME_YEAR).unwrap_or(epoch)
}

fn distinct<T: Copy + PartialEq>(values: &[T]) -> Vec<T> {
    let mut distinct = Vec::new();
    for value in values {
        if !distinct.contains(value) {
            distinct.push(*value);
        }
    }
    distinct
}
