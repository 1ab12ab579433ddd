//! Goal: what a report of a linked organization is compared with is the days that counted before it, and
//! what a person confirmed, in whatever order links, reports and migrations come.
//! Method: a freshly migrated database, and the steps that recording a report takes.

use billing_harness::TestDatabase;
use billing_kit::Ids;
use billing_kit_db::DatabaseConfig;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection, TransactionTrait};
use uuid::Uuid;

use super::{
    baselines::{Baselines, learn_unknown},
    recording::new_report,
};
use crate::{
    config::DB_ROLE,
    domain::{
        baseline::{Anchor, Baseline, LINK_DAYS},
        delivery::DeliveryState,
        hold::HoldRules,
        report::{Content, Report},
        standing::{Standing, SubscriptionStatus},
    },
    store::{
        baselines::{self, Known},
        delivery,
        reporting::{self, Latest},
        reports,
    },
};

const RULES: HoldRules = HoldRules {
    jump_factor: 2,
    jump_seats: 20,
    drop_factor: 10,
    drop_seats: 50,
    low_factor: 2,
    other_url: true,
    new_network: true,
    late_raise: true,
};

/// An organization, and the days since its link.
struct World {
    _database: TestDatabase,
    db: DatabaseConnection,
    id: Uuid,
    standing: Standing,
}

fn at(day: i64, hour: i64) -> DateTime<Utc> {
    let link: DateTime<Utc> = "2026-03-01T00:00:00Z".parse().unwrap();
    link + TimeDelta::days(day) + TimeDelta::hours(hour)
}

impl World {
    async fn pending() -> Self {
        let database = TestDatabase::migrated().await;
        let config = DatabaseConfig::new(database.url(), 4);
        let db = billing_kit_db::connect(&config, DB_ROLE).await.unwrap();
        let id = Ids::random().next();
        let owner = database.connect().await;
        let insert = format!("INSERT INTO organizations (id, name) VALUES ('{id}', 'Acme')");
        owner.execute_unprepared(&insert).await.unwrap();
        owner.close().await.unwrap();
        Self {
            _database: database,
            db,
            id,
            standing: Standing::unknown(id),
        }
    }

    /// Linked at the beginning of day 0, with 45 users.
    async fn linked() -> Self {
        let mut world = Self::pending().await;
        world.report(45, at(-1, 3)).await;
        world.link(at(0, 0)).await;
        world
    }

    fn becomes_linked(&mut self, start: DateTime<Utc>) {
        self.standing = Standing {
            status: SubscriptionStatus::Active,
            stripe_customer_id: Some("cus_1".to_owned()),
            billing_start_at: Some(start),
            billable: true,
            version: self.standing.version + 2,
            ..Standing::unknown(self.id)
        };
    }

    /// The feed tells of a link.
    async fn link(&mut self, start: DateTime<Utc>) {
        self.becomes_linked(start);
        let txn = self.db.begin().await.unwrap();
        let standing = std::slice::from_ref(&self.standing);
        reporting::lock_with_standings(&txn, standing)
            .await
            .unwrap();
        learn_unknown(&txn, RULES, vec![self.id]).await.unwrap();
        delivery::reconsider(&txn, vec![self.id], start + TimeDelta::days(1))
            .await
            .unwrap();
        txn.commit().await.unwrap();
    }

    async fn report(&self, user_count: i32, reported_at: DateTime<Utc>) -> DeliveryState {
        self.report_of(user_count, reported_at, reported_at, "acme.example")
            .await
    }

    async fn report_of(
        &self,
        user_count: i32,
        reported_at: DateTime<Utc>,
        now: DateTime<Utc>,
        url: &str,
    ) -> DeliveryState {
        let report = Report {
            organization_id: self.id,
            content: Content {
                organization_name: "Acme".to_owned(),
                instance_url: url.to_owned(),
                user_count,
            },
            reported_at,
            signature: None,
            source: None,
        };
        let latest = Latest {
            standing: self.standing.clone(),
            user_count,
            reported_at,
            instance_url: url.to_owned(),
            signing_key: None,
            has_several: false,
        };
        let txn = self.db.begin().await.unwrap();
        let locked = reporting::lock_with_reports(&txn, &[latest]).await.unwrap();
        let standing = &locked[0].standing;
        let mut compared = Baselines::load(&txn, RULES, std::iter::once(standing))
            .await
            .unwrap();
        let mut new = new_report(Ids::random().next(), report, now, standing, now);
        compared.compare(&mut new, standing, None, None);
        reports::insert_new(&txn, std::slice::from_ref(&new))
            .await
            .unwrap();
        compared
            .keep(&txn, std::iter::once(&new), now)
            .await
            .unwrap();
        txn.commit().await.unwrap();
        new.state
    }

    async fn baseline(&self) -> Baseline {
        let found = baselines::get_many(&self.db, vec![self.id]).await.unwrap();
        match found.into_iter().next() {
            Some((_, Known::Yes(baseline))) => baseline,
            other => panic!("{other:?}"),
        }
    }

    async fn text(&self, query: &str) -> Option<String> {
        let statement = sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, query);
        let row = self.db.query_one_raw(statement).await.unwrap()?;
        row.try_get("", "text").unwrap()
    }
}

/// 45 users, then 450, 4,500, 45,000 and 450,000 within ten seconds: each was compared with the last
/// report, and all were billed.
#[tokio::test]
async fn a_count_that_grows_report_by_report_within_a_day_is_held_from_the_first() {
    let world = World::linked().await;
    for day in 0..9 {
        let state = world.report(45, at(day, 3)).await;
        assert_eq!(state, DeliveryState::Queued);
    }
    for (second, users) in [(1, 450), (2, 4_500), (3, 45_000), (4, 450_000)] {
        let state = world
            .report(users, at(9, 3) + TimeDelta::seconds(second))
            .await;
        assert_eq!(state, DeliveryState::Held, "{users}");
    }
    // What is as expected goes its way, also below the limit many times a day.
    for (hour, users) in [(4, 90), (5, 90), (6, 91), (7, 46)] {
        let expected = if users > 90 {
            DeliveryState::Held
        } else {
            DeliveryState::Queued
        };
        assert_eq!(world.report(users, at(9, hour)).await, expected, "{users}");
    }
    assert_eq!(world.baseline().await.user_count, 46);
    let why = "SELECT compared_with::text AS text FROM usage_reports WHERE user_count = 450";
    let why = world.text(why).await.unwrap();
    assert_eq!(
        why,
        r#"{"limit_user_count": 90, "baseline_user_count": 45}"#
    );
}

#[tokio::test]
async fn what_is_kept_with_each_report_is_what_the_stored_reports_say() {
    let world = World::linked().await;
    // On time, a second one of the day, a jump, a correction of yesterday, and a day long past.
    for (users, reported_at, now) in [
        (45, at(0, 3), at(0, 3)),
        (46, at(0, 9), at(0, 9)),
        (47, at(1, 3), at(1, 3)),
        (900, at(1, 4), at(1, 4)),
        (48, at(1, 23), at(2, 5)),
        (49, at(2, 3), at(2, 6)),
        (44, at(2, 1), at(2, 7)),
        (20, at(3, 3), at(3, 3)),
        (50, at(4, 3), at(9, 3)),
        (51, at(9, 4), at(9, 4)),
        (52, at(10, 4), at(10, 4)),
        (53, at(11, 4), at(11, 4)),
        (54, at(12, 4), at(12, 4)),
        (55, at(13, 4), at(13, 4)),
        (56, at(14, 4), at(14, 4)),
        (57, at(8, 4), at(14, 5)),
    ] {
        world
            .report_of(users, reported_at, now, "acme.example")
            .await;
        let kept = world.baseline().await;
        baselines::compute(&world.db, vec![world.id]).await.unwrap();
        assert_eq!(world.baseline().await, kept, "{users}");
    }
    let days: Vec<_> = world
        .baseline()
        .await
        .days
        .iter()
        .map(|it| it.user_count)
        .collect();
    assert_eq!(days, [49, 20, 51, 52, 53, 54, 55, 56]);
}

/// An instance's count falls below half: it counts, and is told of once until it is as before.
#[tokio::test]
async fn a_low_count_counts_is_marked_and_told_once_an_episode() {
    let world = World::linked().await;
    for (day, users) in (0..).zip([45, 45, 45, 45, 45, 45, 45, 20, 19, 45, 18]) {
        let state = world.report(users, at(day, 3)).await;
        assert_eq!(state, DeliveryState::Queued, "{users}");
    }
    let low = "SELECT string_agg(user_count::text, ',' ORDER BY reported_at) AS text FROM usage_reports WHERE count_low";
    assert_eq!(world.text(low).await.unwrap(), "20,19,18");
    let told = "SELECT string_agg(data ->> 'user_count', ',' ORDER BY key) AS text FROM notices_to_tell WHERE kind = 'count.low'";
    assert_eq!(world.text(told).await.unwrap(), "20,18");
}

/// A report that came between the link and the moment that it was learned of was queued unseen.
#[tokio::test]
async fn what_came_before_the_link_was_learned_of_is_compared_then() {
    let mut world = World::pending().await;
    world.report(45, at(-1, 3)).await;
    for (users, hour, url) in [
        (46, 1, "acme.example"),
        (4_500, 2, "acme.example"),
        (46, 3, "evil.example"),
        (47, 4, "acme.example:443"),
    ] {
        let state = world.report_of(users, at(0, hour), at(0, hour), url).await;
        assert_eq!(state, DeliveryState::Waiting);
    }
    world.link(at(0, 0)).await;
    let states =
        "SELECT string_agg(user_count || ' ' || delivery_state, ', ' ORDER BY reported_at) AS text
        FROM usage_reports WHERE delivery_state <> 'not_billed'";
    assert_eq!(
        world.text(states).await.unwrap(),
        "46 queued, 4500 held, 46 held, 47 queued"
    );
    let baseline = world.baseline().await;
    assert_eq!((baseline.user_count, baseline.days.len()), (47, 1));
    let seen = Anchor {
        user_count: 45,
        at: at(0, 0),
        days: LINK_DAYS,
    };
    assert_eq!(baseline.anchor, Some(seen), "what the admin saw");
}

/// The link is learned of with the report, not by the feed.
#[tokio::test]
async fn the_report_that_brings_the_news_of_a_link_is_compared_with_what_was_before() {
    let mut world = World::pending().await;
    world.report(45, at(-1, 3)).await;
    world.becomes_linked(at(0, 0));
    assert_eq!(world.report(450, at(0, 1)).await, DeliveryState::Held);
    assert_eq!(world.report(46, at(0, 2)).await, DeliveryState::Queued);
    // Unlinked, it is pending: every report is shown. The next link begins with what was seen last.
    world.standing = Standing {
        version: world.standing.version + 2,
        ..Standing::unknown(world.id)
    };
    world.report(300, at(5, 3)).await;
    assert_eq!(world.baseline().await.user_count, 300);
    world.becomes_linked(at(6, 0));
    assert_eq!(world.report(310, at(6, 3)).await, DeliveryState::Queued);
    assert_eq!(world.baseline().await.anchor.unwrap().user_count, 300);
}

/// A database of the release before knows no days: they are computed before the next report is compared.
#[tokio::test]
async fn a_migrated_database_has_its_baselines_at_once() {
    let world = World::linked().await;
    for (day, users) in (0..9).zip([45, 60, 60, 60, 60, 60, 60, 60, 60]) {
        world.report(users, at(day, 3)).await;
    }
    let expected = world.baseline().await;
    let forget = "UPDATE organization_reporting SET day_user_counts = NULL, day_reported_at = NULL,
        anchor_user_count = NULL, anchor_at = NULL, anchor_days = NULL";
    world.db.execute_unprepared(forget).await.unwrap();
    let txn = world.db.begin().await.unwrap();
    let unknown = baselines::lock_unknown(&txn, Uuid::nil(), 10)
        .await
        .unwrap();
    assert_eq!(unknown, [world.id]);
    learn_unknown(&txn, RULES, unknown).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(world.baseline().await, expected);
    world.db.execute_unprepared(forget).await.unwrap();
    assert_eq!(world.report(121, at(9, 3)).await, DeliveryState::Held);
    assert_eq!(world.report(120, at(9, 4)).await, DeliveryState::Queued);
}
