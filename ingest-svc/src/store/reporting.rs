//! `organization_reporting`: one row per organization, and the lock that orders all that concerns
//! its reports.
//!
//! Every function here that writes takes the rows' locks in the order of their ids and holds them to
//! the end of the transaction. A transaction that is about to decide where a report goes comes here
//! first; statements after it see whatever the transactions before it committed.

use std::collections::HashMap;

use billing_kit_db::{StoreError, query::column};
use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DerivePartialModel, EntityTrait, FromQueryResult, QueryFilter,
    QuerySelect, Set, raw_sql, sea_query::LockType,
};
use uuid::Uuid;

use super::{
    entities::reporting::{ActiveModel, Column, Entity, Scope as _},
    signing_keys::hex,
};
use crate::domain::{
    expectation::Span,
    signing::{Fingerprint, KeyRule, PublicKey},
    standing::{DeploymentType, Drain, Standing, SubscriptionStatus},
};

#[derive(Debug, DerivePartialModel)]
#[sea_orm(entity = "Entity")]
struct StandingRow {
    organization_id: Uuid,
    subscription_status: String,
    deployment_type: Option<String>,
    stripe_customer_id: Option<String>,
    billing_start_at: Option<DateTime<Utc>>,
    billable: bool,
    standing_version: i64,
    draining: bool,
    drained: bool,
    drained_version: Option<i64>,
    billing_end_at: Option<DateTime<Utc>>,
    trial_end_at: Option<DateTime<Utc>>,
    invoiced_until: Option<DateTime<Utc>>,
}

impl StandingRow {
    fn into_domain(self) -> Result<Standing, StoreError> {
        let Self {
            organization_id,
            subscription_status,
            deployment_type,
            stripe_customer_id,
            billing_start_at,
            billable,
            standing_version,
            draining,
            drained,
            drained_version,
            billing_end_at,
            trial_end_at,
            invoiced_until,
        } = self;
        let status = SubscriptionStatus::parse(&subscription_status)
            .ok_or_else(|| StoreError::unknown("subscription_status", &subscription_status))?;
        let deployment_type = deployment_type
            .map(|word| {
                DeploymentType::parse(&word)
                    .ok_or_else(|| StoreError::unknown("deployment_type", &word))
            })
            .transpose()?;
        Ok(Standing {
            organization_id,
            status,
            deployment_type,
            stripe_customer_id,
            billing_start_at,
            billable,
            billing_end_at,
            trial_end_at,
            invoiced_until,
            version: standing_version,
            drain: match (draining, drained) {
                (false, _) => Drain::None,
                (true, true) => Drain::Drained,
                (true, false) if drained_version == Some(standing_version) => Drain::Drained,
                (true, false) => Drain::Draining,
            },
        })
    }
}

/// The latest report of an organization in a batch, and how org-svc says that it stands.
#[derive(Debug)]
pub(crate) struct Latest {
    pub(crate) standing: Standing,
    pub(crate) user_count: i32,
    pub(crate) reported_at: DateTime<Utc>,
    /// Where it came from.
    pub(crate) instance_url: String,
    /// The key that signed it.
    pub(crate) signing_key: Option<PublicKey>,
    /// Whether the batch has more reports of the organization: those of days in between may be missing.
    pub(crate) has_several: bool,
}

/// An organization whose row is locked, with its latest report taken note of.
#[derive(Debug)]
pub(crate) struct Locked {
    pub(crate) standing: Standing,
    pub(crate) key_rule: KeyRule,
    /// The time of its latest report.
    pub(crate) last_reported_at: DateTime<Utc>,
    /// The latest day on which its reports did not follow each other by a day; long ago where they always did.
    pub(crate) gap_seen_on: NaiveDate,
}

#[derive(Debug, FromQueryResult)]
struct LockedRow {
    #[sea_orm(nested)]
    standing: StandingRow,
    pinned_key: Option<Vec<u8>>,
    awaited_fingerprint: Option<Vec<u8>>,
    last_reported_at: DateTime<Utc>,
    gap_seen_on: NaiveDate,
}

impl LockedRow {
    fn into_domain(self) -> Result<Locked, StoreError> {
        let Self {
            standing,
            pinned_key,
            awaited_fingerprint,
            last_reported_at,
            gap_seen_on,
        } = self;
        Ok(Locked {
            standing: standing.into_domain()?,
            key_rule: KeyRule {
                pinned: pinned_key.and_then(|bytes| PublicKey::from_bytes(&bytes)),
                awaited: awaited_fingerprint.and_then(|bytes| Fingerprint::from_bytes(&bytes)),
            },
            last_reported_at,
            gap_seen_on,
        })
    }
}

/// Locks the rows of organizations that reported, takes note of their latest report, and keeps how
/// they stand where that is newer than what is known. Answers how each stands now.
pub(crate) async fn lock_with_reports(
    db: &impl ConnectionTrait,
    latest: &[Latest],
) -> Result<Vec<Locked>, StoreError> {
    let standings = StandingColumns::of(latest.iter().map(|it| &it.standing));
    let user_counts = column(latest, |it| it.user_count);
    let reported_at = column(latest, |it| it.reported_at);
    let urls = column(latest, |it| it.instance_url.clone());
    let keys = column(latest, |it| hex(it.signing_key));
    let have_several = column(latest, |it| it.has_several);
    // A conflicting report repeats the timestamp of a recorded one, so `>` never lets it change the
    // count. A standing that is not known is older than any that is. Without a customer every report
    // counts, and is what the first report of a link is compared with. A new link makes the counted days
    // unknown: they are computed before the next report is compared.
    let lock = raw_sql!(
        Postgres,
        "INSERT INTO organization_reporting AS r (organization_id, user_count, last_reported_at,
            baseline_user_count, baseline_reported_at, baseline_instance_url,
            last_signing_key, gap_seen_on,
            subscription_status, deployment_type, stripe_customer_id, billing_start_at, billable,
            standing_version, billing_end_at, trial_end_at, invoiced_until, draining, drained)
        SELECT id, user_count, reported_at,
            CASE WHEN customer_id = '' THEN user_count END, CASE WHEN customer_id = '' THEN reported_at END,
            CASE WHEN customer_id = '' THEN instance_url END, decode(nullif(signing_key, ''), 'hex'),
            CASE WHEN has_several THEN (reported_at AT TIME ZONE 'UTC')::date ELSE date '2000-01-01' END, status, nullif(deployment_type, ''),
            nullif(customer_id, ''), nullif(start_at, '')::timestamptz, billable, version,
            nullif(end_at, '')::timestamptz, nullif(trial_end_at, '')::timestamptz,
            nullif(invoiced_until, '')::timestamptz, draining, drained
        FROM unnest({standings.ids}::uuid[], {standings.statuses}::text[], {standings.deployment_types}::text[], {standings.customers}::text[], {standings.starts}::text[], {standings.are_billable}::boolean[],
            {standings.versions}::bigint[], {standings.ends}::text[], {standings.trial_ends}::text[], {standings.invoiced_until}::text[], {standings.are_draining}::boolean[], {standings.are_drained}::boolean[],
            {user_counts}::integer[], {reported_at}::timestamptz[], {urls}::text[], {keys}::text[], {have_several}::boolean[])
            AS t (id, status, deployment_type, customer_id, start_at, billable, version, end_at,
                trial_end_at, invoiced_until, draining, drained, user_count, reported_at, instance_url,
                signing_key, has_several)
        ORDER BY id
        ON CONFLICT (organization_id) DO UPDATE SET
            user_count = CASE WHEN r.last_reported_at IS NULL OR excluded.last_reported_at > r.last_reported_at
                THEN excluded.user_count ELSE r.user_count END,
            last_reported_at = greatest(r.last_reported_at, excluded.last_reported_at),
            last_signing_key = CASE WHEN r.last_reported_at IS NULL OR excluded.last_reported_at > r.last_reported_at
                THEN excluded.last_signing_key ELSE r.last_signing_key END,
            gap_seen_on = CASE WHEN (excluded.last_reported_at AT TIME ZONE 'UTC')::date
                    - (r.last_reported_at AT TIME ZONE 'UTC')::date BETWEEN 0 AND 1
                THEN greatest(r.gap_seen_on, excluded.gap_seen_on)
                ELSE greatest(r.gap_seen_on, (excluded.last_reported_at AT TIME ZONE 'UTC')::date) END,
            (baseline_user_count, baseline_reported_at, baseline_instance_url) = (SELECT
                CASE WHEN is_new THEN excluded.baseline_user_count ELSE r.baseline_user_count END,
                CASE WHEN is_new THEN excluded.baseline_reported_at ELSE r.baseline_reported_at END,
                CASE WHEN is_new THEN excluded.baseline_instance_url ELSE r.baseline_instance_url END
                FROM (SELECT coalesce(CASE WHEN excluded.standing_version > r.standing_version
                        THEN excluded.stripe_customer_id ELSE r.stripe_customer_id END IS NULL
                    AND excluded.baseline_reported_at > coalesce(r.baseline_reported_at, '-infinity')
                    AND (r.pinned_key IS NULL OR r.pinned_key = excluded.last_signing_key), false)
                    AS is_new) AS n),
            (day_user_counts, day_reported_at) = (SELECT
                CASE WHEN l.is_new THEN NULL ELSE r.day_user_counts END,
                CASE WHEN l.is_new THEN NULL ELSE r.day_reported_at END
                FROM (SELECT excluded.standing_version > r.standing_version
                    AND excluded.stripe_customer_id IS NOT NULL
                    AND (excluded.stripe_customer_id, excluded.billing_start_at)
                        IS DISTINCT FROM (r.stripe_customer_id, r.billing_start_at) AS is_new) AS l),
            (subscription_status, deployment_type, stripe_customer_id, billing_start_at, billable,
                billing_end_at, trial_end_at, invoiced_until, draining, drained, standing_version) = (SELECT n.* FROM (VALUES
                (excluded.subscription_status, excluded.deployment_type, excluded.stripe_customer_id,
                    excluded.billing_start_at, excluded.billable, excluded.billing_end_at,
                    excluded.trial_end_at, excluded.invoiced_until, excluded.draining, excluded.drained,
                    excluded.standing_version),
                (r.subscription_status, r.deployment_type, r.stripe_customer_id,
                    r.billing_start_at, r.billable, r.billing_end_at,
                    r.trial_end_at, r.invoiced_until, r.draining, r.drained, r.standing_version))
                AS n (a, b, c, d, e, f, g, h, i, j, version)
                ORDER BY n.version DESC LIMIT 1)
        RETURNING organization_id, subscription_status, deployment_type, stripe_customer_id,
            billing_start_at, billable, standing_version, billing_end_at, trial_end_at, invoiced_until,
            draining, drained, drained_version, pinned_key, awaited_fingerprint, last_reported_at, gap_seen_on"
    );
    let rows = LockedRow::find_by_statement(lock).all(db).await?;
    rows.into_iter().map(LockedRow::into_domain).collect()
}

/// Locks the rows of organizations and keeps how they stand where that is newer than what is known.
pub(crate) async fn lock_with_standings(
    db: &impl ConnectionTrait,
    standings: &[Standing],
) -> Result<(), StoreError> {
    let standings = StandingColumns::of(standings.iter());
    let lock = raw_sql!(
        Postgres,
        "INSERT INTO organization_reporting AS r (organization_id, subscription_status, deployment_type,
            stripe_customer_id, billing_start_at, billable, standing_version, billing_end_at,
            trial_end_at, invoiced_until, draining, drained)
        SELECT id, status, nullif(deployment_type, ''), nullif(customer_id, ''),
            nullif(start_at, '')::timestamptz, billable, version, nullif(end_at, '')::timestamptz,
            nullif(trial_end_at, '')::timestamptz, nullif(invoiced_until, '')::timestamptz,
            draining, drained
        FROM unnest({standings.ids}::uuid[], {standings.statuses}::text[], {standings.deployment_types}::text[], {standings.customers}::text[], {standings.starts}::text[], {standings.are_billable}::boolean[],
            {standings.versions}::bigint[], {standings.ends}::text[], {standings.trial_ends}::text[], {standings.invoiced_until}::text[], {standings.are_draining}::boolean[], {standings.are_drained}::boolean[])
            AS t (id, status, deployment_type, customer_id, start_at, billable, version, end_at,
                trial_end_at, invoiced_until, draining, drained)
        ORDER BY id
        ON CONFLICT (organization_id) DO UPDATE SET
            subscription_status = excluded.subscription_status,
            deployment_type = excluded.deployment_type,
            stripe_customer_id = excluded.stripe_customer_id,
            billing_start_at = excluded.billing_start_at,
            billable = excluded.billable,
            billing_end_at = excluded.billing_end_at,
            trial_end_at = excluded.trial_end_at,
            invoiced_until = excluded.invoiced_until,
            draining = excluded.draining,
            drained = excluded.drained,
            (day_user_counts, day_reported_at) = (SELECT
                CASE WHEN l.is_new THEN NULL ELSE r.day_user_counts END,
                CASE WHEN l.is_new THEN NULL ELSE r.day_reported_at END
                FROM (SELECT excluded.stripe_customer_id IS NOT NULL
                    AND (excluded.stripe_customer_id, excluded.billing_start_at)
                        IS DISTINCT FROM (r.stripe_customer_id, r.billing_start_at) AS is_new) AS l),
            standing_version = excluded.standing_version
        WHERE excluded.standing_version > r.standing_version"
    );
    db.execute_raw(lock).await?;
    Ok(())
}

/// Standings as the columns of an `unnest`. Times are texts, because an array of the driver's has no
/// place for what is missing.
#[derive(Default)]
struct StandingColumns {
    ids: Vec<Uuid>,
    statuses: Vec<String>,
    deployment_types: Vec<String>,
    customers: Vec<String>,
    starts: Vec<String>,
    are_billable: Vec<bool>,
    versions: Vec<i64>,
    ends: Vec<String>,
    trial_ends: Vec<String>,
    invoiced_until: Vec<String>,
    are_draining: Vec<bool>,
    are_drained: Vec<bool>,
}

impl StandingColumns {
    fn of<'a>(standings: impl Iterator<Item = &'a Standing>) -> Self {
        let text =
            |time: Option<DateTime<Utc>>| time.map_or_else(String::new, |it| it.to_rfc3339());
        let mut columns = Self::default();
        for standing in standings {
            let Standing {
                organization_id,
                status,
                deployment_type,
                stripe_customer_id,
                billing_start_at,
                billable,
                billing_end_at,
                trial_end_at,
                invoiced_until,
                version,
                drain,
            } = standing;
            let deployment_type = deployment_type.map_or("", DeploymentType::as_str);
            let customer = stripe_customer_id.clone().unwrap_or_default();
            columns.ids.push(*organization_id);
            columns.statuses.push(status.as_str().to_owned());
            columns.deployment_types.push(deployment_type.to_owned());
            columns.customers.push(customer);
            columns.starts.push(text(*billing_start_at));
            columns.are_billable.push(*billable);
            columns.versions.push(*version);
            columns.ends.push(text(*billing_end_at));
            columns.trial_ends.push(text(*trial_end_at));
            columns.invoiced_until.push(text(*invoiced_until));
            columns.are_draining.push(*drain != Drain::None);
            columns.are_drained.push(*drain == Drain::Drained);
        }
        columns
    }
}

/// Brings forward when an organization's queue is next looked at.
pub(crate) async fn schedule(
    db: &impl ConnectionTrait,
    queued: &[(Uuid, DateTime<Utc>)],
) -> Result<(), StoreError> {
    let (ids, times): (Vec<_>, Vec<_>) = queued.iter().copied().unzip();
    let schedule = raw_sql!(
        Postgres,
        "UPDATE organization_reporting r SET next_delivery_at = least(r.next_delivery_at, q.due_at)
        FROM (SELECT id, min(due_at) AS due_at
            FROM unnest({ids}::uuid[], {times}::timestamptz[]) AS t (id, due_at) GROUP BY id) q
        WHERE r.organization_id = q.id AND r.stripe_customer_id IS NOT NULL
            AND (r.next_delivery_at IS NULL OR r.next_delivery_at > q.due_at)"
    );
    db.execute_raw(schedule).await?;
    Ok(())
}

/// Locks an organization and answers how it stands; none where it never reported.
pub(crate) async fn lock(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
) -> Result<Option<Standing>, StoreError> {
    Entity::find()
        .of_organization(organization_id)
        .lock(LockType::Update)
        .into_partial_model::<StandingRow>()
        .one(db)
        .await?
        .map(StandingRow::into_domain)
        .transpose()
}

/// When these organizations reported last, by their own time; those that did.
pub(crate) async fn last_reported(
    db: &impl ConnectionTrait,
    organizations: Vec<Uuid>,
) -> Result<HashMap<Uuid, DateTime<Utc>>, StoreError> {
    let rows: Vec<(Uuid, DateTime<Utc>)> = Entity::find()
        .among(organizations)
        .reported()
        .select_only()
        .columns([Column::OrganizationId, Column::LastReportedAt])
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows.into_iter().collect())
}

/// Takes note of a count that was put in the place of another one, or behind it, where it is the
/// organization's latest; under its lock.
pub(crate) async fn correct_latest(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    user_count: i32,
    reported_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let corrected = ActiveModel {
        user_count: Set(Some(user_count)),
        last_reported_at: Set(Some(reported_at)),
        ..Default::default()
    };
    Entity::update_many()
        .set(corrected)
        .of_organization(organization_id)
        .filter(Column::LastReportedAt.lte(reported_at))
        .exec(db)
        .await?;
    Ok(())
}

/// What is known of an organization's reporting.
#[derive(Debug, FromQueryResult)]
pub(crate) struct Reporting {
    pub(crate) organization_id: Uuid,
    /// Of the last report that counts; none before the first.
    pub(crate) user_count: Option<i32>,
    pub(crate) last_reported_at: Option<DateTime<Utc>>,
    /// Its last report, or its link where there was none since; none where none is expected.
    pub(crate) expected_since: Option<DateTime<Utc>>,
    pub(crate) held_count: i64,
}

/// The organizations of these ids that have reported or are expected to.
pub(crate) async fn get_many(
    db: &impl ConnectionTrait,
    ids: Vec<Uuid>,
) -> Result<Vec<Reporting>, StoreError> {
    let get_many = raw_sql!(
        Postgres,
        "SELECT organization_id, baseline_user_count AS user_count, last_reported_at,
            CASE WHEN billable AND billing_end_at IS NULL
                THEN greatest(last_reported_at, billing_start_at) END AS expected_since,
            (SELECT count(*) FROM usage_reports h
                WHERE h.organization_id = r.organization_id AND h.delivery_state = 'held') AS held_count
        FROM organization_reporting r
        WHERE organization_id = ANY({ids}) AND (last_reported_at IS NOT NULL OR billable AND billing_end_at IS NULL)"
    );
    let found = Reporting::find_by_statement(get_many);
    Ok(found.all(db).await?)
}

/// Where a page of organizations ends: since when the last of them is expected, and its id.
pub(crate) type ExpectedEnd = (DateTime<Utc>, Uuid);

/// Organizations that are expected to report since a time within this span, those first that have not
/// for longest.
pub(crate) async fn list_expected(
    db: &impl ConnectionTrait,
    span: Span,
    after: Option<ExpectedEnd>,
    limit: i64,
) -> Result<Vec<Reporting>, StoreError> {
    let Span { from, until } = span;
    // Nothing was reported before that.
    let first = from.unwrap_or(DateTime::UNIX_EPOCH);
    let (since, id) = after.unwrap_or((first, Uuid::nil()));
    let list_expected = raw_sql!(
        Postgres,
        "SELECT organization_id, baseline_user_count AS user_count, last_reported_at,
            greatest(last_reported_at, billing_start_at) AS expected_since,
            (SELECT count(*) FROM usage_reports h
                WHERE h.organization_id = r.organization_id AND h.delivery_state = 'held') AS held_count
        FROM organization_reporting r
        WHERE billable AND billing_end_at IS NULL
            AND (greatest(last_reported_at, billing_start_at), organization_id) > ({since}, {id})
            AND greatest(last_reported_at, billing_start_at) < coalesce({until}, 'infinity'::timestamptz)
        ORDER BY greatest(last_reported_at, billing_start_at), organization_id LIMIT {limit}"
    );
    let found = Reporting::find_by_statement(list_expected);
    Ok(found.all(db).await?)
}
