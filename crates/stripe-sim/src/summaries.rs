//! `/v1/billing/meters/{id}/event_summaries`

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::choice::Choice as _;
use crate::customers;
use crate::errors::Refusal;
use crate::fields::{Fields, MAX_TEXT};
use crate::meters::{Meter, Window};
use crate::page::{self, PageRequest};
use crate::store::Record;
use crate::world::{Answer, Call};

const MINUTE_S: i64 = 60;

#[derive(Debug)]
struct Summary {
    id: String,
    start: i64,
    end: i64,
    value: Decimal,
}

impl Record for Summary {
    const NOUN: &'static str = "billing meter event summary";

    fn id(&self) -> &str {
        &self.id
    }
}

fn read_time(fields: &mut Fields, name: &str, grouping: Option<Window>) -> i64 {
    let time = fields.timestamp(name);
    let time = fields.need(name, time);
    let step = grouping.map_or(MINUTE_S, Window::seconds);
    if time % step != 0 {
        let unit = grouping.map_or("minute", Window::word);
        fields.violate(
            name,
            None,
            format!("{name} must be aligned with {unit} boundaries."),
        );
    }
    time
}

/// Ungrouped: one summary of the whole range. Grouped: one per window with usage, newest first.
pub(crate) fn list(mut call: Call<'_>) -> Answer {
    let fields = &mut call.fields;
    let page = PageRequest::read(fields);
    let customer = fields.need_text("customer", MAX_TEXT);
    let grouping: Option<Window> = fields.choice("value_grouping_window");
    let start = read_time(fields, "start_time", grouping);
    let end = read_time(fields, "end_time", grouping);
    if end <= start {
        fields.violate("end_time", None, "end_time must be after start_time.");
    }
    fields.finish()?;
    let world = &*call.world;
    let found = world
        .meters
        .get(&call.id)
        .zip(world.meters.position(&call.id));
    let (meter, meter_at) = found.ok_or_else(|| Refusal::no_such(Meter::NOUN, &call.id))?;
    customers::named_by(world, "customer", &customer)?;
    let customer_at = world.customers.position(&customer).unwrap_or_default();
    let series = (meter_at, customer_at);
    let as_of = call.now.saturating_sub(world.settings.summary_lag_s);
    let summary = |start: i64, end: i64, value: Decimal| Summary {
        id: summary_id(&call.id, &customer, start, end),
        start,
        end,
        value,
    };
    let summaries: Vec<Summary> = match grouping {
        None => {
            let value = world.usage.aggregate(meter, series, start..end, as_of);
            vec![summary(start, end, value.unwrap_or_default())]
        }
        Some(grouping) => {
            let step = grouping.seconds();
            let groups = world
                .usage
                .aggregate_by(meter, series, start..end, step, as_of);
            groups
                .into_iter()
                .map(|(start, value)| summary(start, start + step, value))
                .collect()
        }
    };
    let position = |id: &str| summaries.iter().position(|summary| summary.id == id);
    let (summaries, has_more) = page.of_slice(&summaries, position, |_| true)?;
    let data = summaries
        .into_iter()
        .map(|summary| to_value(summary, meter))
        .collect();
    let url = format!("/v1/billing/meters/{}/event_summaries", meter.id);
    Ok(page::list(&url, data, has_more))
}

fn to_value(summary: &Summary, meter: &Meter) -> Value {
    // A decimal's text is a JSON number already; going through a float could lose digits.
    let text = summary.value.normalize().to_string();
    let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    json!({
        "id": summary.id,
        "object": "billing.meter_event_summary",
        "aggregated_value": value,
        "end_time": summary.end,
        "livemode": false,
        "meter": meter.id,
        "start_time": summary.start,
    })
}

/// The same for the same question, so that it can be a cursor.
fn summary_id(meter: &str, customer: &str, start: i64, end: i64) -> String {
    let plain = |id: &str| id.rsplit('_').next().unwrap_or_default().to_owned();
    format!(
        "mtrusg_test_{}{}{start:x}{end:x}",
        plain(meter),
        plain(customer)
    )
}
