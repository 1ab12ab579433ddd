//! The assertions: a name, what relies on it, and the check.

use futures::future::LocalBoxFuture;

use crate::{
    account::Account,
    checks::{cancel, errors, idempotency, invoices, look_ups, meter_events, prices, told, trial},
};

/// Where an assertion can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// Against Stripe's test mode too.
    Everywhere,
    /// Why not against Stripe's test mode.
    SimulatorOnly(&'static str),
}

/// Something that we rely on of Stripe.
#[derive(Debug)]
pub struct Assertion {
    /// Its name, in the output and in docs/TESTING.md.
    pub name: &'static str,
    /// What relies on it.
    pub relied_on: &'static str,
    /// Where it can be run.
    pub runs: Runs,
    pub(crate) check: for<'a> fn(&'a Account) -> LocalBoxFuture<'a, anyhow::Result<()>>,
}

impl Assertion {
    /// Its row in docs/TESTING.md.
    pub fn row(&self) -> String {
        let real = match self.runs {
            Runs::Everywhere => "not yet",
            Runs::SimulatorOnly(why) => why,
        };
        format!("| `{}` | {} | {real} |", self.name, self.relied_on)
    }
}

macro_rules! assertions {
    ($($runs:expr, $module:ident :: $check:ident, $relied_on:literal;)*) => {
        /// All of them.
        pub const ASSERTIONS: &[Assertion] = &[$(
            Assertion {
                name: stringify!($check),
                relied_on: $relied_on,
                runs: $runs,
                check: |account| Box::pin($module::$check(account)),
            },
        )*];
    };
}

const EVERYWHERE: Runs = Runs::Everywhere;
const NO_PUBLIC_ADDRESS: Runs =
    Runs::SimulatorOnly("never: Stripe delivers only to a public address");
const NO_EVENT_DESTINATION: Runs =
    Runs::SimulatorOnly("never: Stripe reports only to an event destination with a public address");
const NO_WAY_TO_PROVOKE: Runs =
    Runs::SimulatorOnly("never: Stripe cannot be made to answer so without overloading it");

assertions! {
    EVERYWHERE, meter_events::an_identifier_counts_once,
        "delivery: the same event again is answered with \"already exists\", and we take that for delivered";
    EVERYWHERE, meter_events::timestamps_have_bounds,
        "delivery: 35 days back and 5 minutes ahead are accepted; an older event is finally refused, a later one is tried again";
    EVERYWHERE, meter_events::an_unknown_meter_is_no_fault_of_the_event,
        "delivery: without the meter, an event waits and is not refused";
    EVERYWHERE, meter_events::an_unknown_customer_is_a_final_no,
        "delivery: an event of a deleted customer is refused and shown, and not tried for ever";
    EVERYWHERE, meter_events::the_event_received_last_counts_for_its_day,
        "the day rule: within a UTC day the event that was received last counts, with any timestamp";
    EVERYWHERE, meter_events::a_resend_of_a_day_is_harmless,
        "resending after Stripe's 24 h, when the identifier is new to it";
    EVERYWHERE, meter_events::summaries_tell_each_utc_day,
        "reconciliation: what the meter counts, by UTC day, and nothing for days without usage";
    EVERYWHERE, idempotency::the_same_key_brings_the_same_object,
        "links: a stored call that is sent again creates nothing twice, and its answer says that it is a replay";
    EVERYWHERE, idempotency::a_key_with_other_parameters_is_an_error,
        "links: Stripe reports a reused key, and we do not take that for a refusal of the customer";
    EVERYWHERE, look_ups::the_list_shows_a_customer_at_once,
        "links: after 23 h a customer is looked up by its e-mail and metadata; the search, which lags, is not relied on";
    EVERYWHERE, look_ups::the_search_shows_a_customer_in_the_end,
        "links: if somebody changed a customer's e-mail, its metadata still finds it, but later";
    EVERYWHERE, look_ups::the_list_shows_a_subscription_at_once,
        "links: the same for the subscription; a second one on the meter is seen before it is created";
    EVERYWHERE, look_ups::metadata_comes_back,
        "webhooks and look-ups: our ids are read back from customers and subscriptions, and survive changes";
    EVERYWHERE, look_ups::a_deleted_customer_ends_its_subscription,
        "the feed: a customer deleted in Stripe's dashboard is seen on its subscription, which has ended";
    EVERYWHERE, errors::what_is_not_there_is_resource_missing,
        "404 with the code `resource_missing` and the parameter: it distinguishes a deleted subscription from one that cannot be read";
    EVERYWHERE, errors::a_bad_parameter_is_named,
        "refusals: an admin sees the wrong field";
    EVERYWHERE, errors::a_bad_key_is_nobodys_refusal,
        "401 is our fault: it refuses no organization's link or usage";
    EVERYWHERE, errors::answers_carry_a_request_id,
        "support: each stored call and each refusal names Stripe's request";
    EVERYWHERE, errors::a_second_currency_is_refused,
        "links: a customer that is billed in another currency is a refusal, and stays as it was";
    EVERYWHERE, errors::a_customer_without_an_address_is_refused,
        "links: a customer without an e-mail address gets it before the subscription, every other one after it";
    EVERYWHERE, invoices::paused_collection_is_told_and_voids,
        "paused collection: the subscription says so beside its status, and its invoices are voided";
    EVERYWHERE, trial::a_trial_turns_active_without_a_payment_method,
        "statuses: with `send_invoice` a trial ends as active, and not paused or canceled";
    EVERYWHERE, trial::usage_of_the_trial_is_not_billed_and_the_first_paid_day_is,
        "trials: the trial is free, and each day after its end counts";
    EVERYWHERE, invoices::the_week_is_billed_to_the_cent,
        "invoices: seat-days × price, one line, at the period's end";
    EVERYWHERE, invoices::late_usage_is_billed_within_the_grace,
        "delivery: the last day of a period, reported after its end, is on its invoice while that is a draft";
    EVERYWHERE, invoices::usage_after_the_final_invoice_is_on_no_invoice,
        "delivery: such a report is a finding for a person, because Stripe would never bill it";
    EVERYWHERE, invoices::the_preview_tells_what_was_used,
        "the upcoming invoice that an admin sees";
    EVERYWHERE, invoices::billing_is_flexible,
        "price changes: the subscription has the billing mode that we ask for";
    EVERYWHERE, prices::each_day_is_billed_at_the_price_it_had,
        "change of plan: usage before the change is billed at the old price, and none is dropped";
    EVERYWHERE, cancel::now_bills_what_was_used,
        "cancelling now: `invoice_now` puts the open period's usage on a last invoice";
    EVERYWHERE, cancel::now_bills_what_was_accepted_a_moment_before,
        "cancelling now right after the queue was flushed: Stripe must have accepted the usage, but need not have counted it yet";
    EVERYWHERE, cancel::without_invoice_now_what_was_used_is_dropped,
        "why the product shows the unbilled usage of a subscription canceled in Stripe's dashboard";
    EVERYWHERE, cancel::at_period_end_bills_the_last_period,
        "cancelling at the period's end: the subscription says when, ends then, and the last period is billed";
    EVERYWHERE, cancel::twice_finds_nothing,
        "cancelling now: Stripe keeps no key for a DELETE, so a second one is `resource_missing`, which we take for ended";
    NO_WAY_TO_PROVOKE, told::retry_after_is_waited_for,
        "rate limits: the client obeys `Retry-After`, with the same key";
    NO_WAY_TO_PROVOKE, told::should_retry_goes_before_the_status,
        "`Stripe-Should-Retry` is read, both ways";
    NO_PUBLIC_ADDRESS, told::webhooks_are_signed_as_we_verify,
        "webhooks: scheme `v1` over time and body, with the endpoint's secret";
    NO_EVENT_DESTINATION, told::a_report_of_bad_usage_is_fetched_with_its_data,
        "usage that Stripe accepted and then did not count: thin events, fetched again for their data";
}
