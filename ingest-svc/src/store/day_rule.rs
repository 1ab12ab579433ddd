//! The day rule in SQL: of an organization's UTC day the report with the greatest timestamp is billed,
//! and it replaces the others.
//!
//! A report may replace another only while it is to be billed itself. One from after the end of the
//! subscription is not, unless Stripe took it before the end was heard of: then that is what Stripe
//! counts for the day.

/// That `later` replaces `u`, a report of the organization `r`: it is a later one of its UTC day, and
/// was sent, or is in one of these states and owed.
macro_rules! replaces {
    ($states:literal) => {
        concat!(
            "later.organization_id = u.organization_id AND NOT later.adopted
            AND later.reported_at > u.reported_at
            AND later.reported_at < date_trunc('day', u.reported_at, 'UTC') + interval '1 day'
            AND (later.delivery_state = 'sent' OR later.delivery_state IN (",
            $states,
            ") AND later.reported_at < coalesce(r.billing_end_at, 'infinity'))"
        )
    };
}

pub(super) use replaces;
