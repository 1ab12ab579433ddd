//! `/v1/billing/meters`

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::choice::choices;
use crate::errors::Refusal;
use crate::page::{self, PageRequest};
use crate::store::{Record, Store};
use crate::world::{Answer, Call};

choices! {
    Formula { Sum = "sum", Count = "count", Last = "last" }
}

choices! {
    /// A UTC day or hour.
    Window { Day = "day", Hour = "hour" }
}

choices! {
    Status { Active = "active", Inactive = "inactive" }
}

choices! {
    MappingType { ById = "by_id" }
}

impl Window {
    pub(crate) fn seconds(self) -> i64 {
        match self {
            Self::Day => 86_400,
            Self::Hour => 3_600,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Meter {
    pub(crate) id: String,
    pub(crate) event_name: String,
    pub(crate) formula: Formula,
    /// Within such a window only the event received last counts.
    pub(crate) event_time_window: Option<Window>,
    /// The payload's keys of the customer and of the value.
    pub(crate) customer_key: String,
    pub(crate) value_key: String,
    created: i64,
    updated: i64,
    display_name: String,
    deactivated_at: Option<i64>,
}

impl Record for Meter {
    const NOUN: &'static str = "billing meter";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Meter {
    pub(crate) fn is_active(&self) -> bool {
        self.deactivated_at.is_none()
    }

    fn status(&self) -> Status {
        if self.is_active() {
            Status::Active
        } else {
            Status::Inactive
        }
    }

    pub(crate) fn to_value(&self) -> Value {
        json!({
            "id": self.id,
            "object": "billing.meter",
            "created": self.created,
            "customer_mapping": {
                "event_payload_key": self.customer_key,
                "type": MappingType::ById,
            },
            "default_aggregation": { "formula": self.formula },
            "display_name": self.display_name,
            "event_name": self.event_name,
            "event_time_window": self.event_time_window,
            "livemode": false,
            "status": self.status(),
            "status_transitions": { "deactivated_at": self.deactivated_at },
            "updated": self.updated,
            "value_settings": { "event_payload_key": self.value_key },
        })
    }
}

/// The active meter that takes events of this name; there is one at most.
pub(crate) fn active<'s>(meters: &'s Store<Meter>, event_name: &str) -> Option<(usize, &'s Meter)> {
    let mut positions = meters.as_slice().iter().enumerate();
    positions.find(|(_, meter)| meter.event_name == event_name && meter.is_active())
}

pub(crate) fn create(mut call: Call<'_>) -> Answer {
    let fields = &mut call.fields;
    let formula = fields.need_object("default_aggregation", |it| it.need_choice("formula"));
    let display_name = fields.need_text("display_name", 250);
    let event_name = fields.need_text("event_name", 100);
    let event_time_window = fields.choice("event_time_window");
    let customer_key = fields.object("customer_mapping", |mapping| {
        let _only_one_exists: MappingType = mapping.need_choice("type");
        mapping.need_text("event_payload_key", 100)
    });
    let value_key = fields.object("value_settings", |it| {
        it.need_text("event_payload_key", 100)
    });
    fields.finish()?;
    if active(&call.world.meters, &event_name).is_some() {
        return Err(Refusal::refused(
            Some("event_name"),
            Some("resource_already_exists"),
            format!("A meter with the event name {event_name} already exists."),
        ));
    }
    let meter = Meter {
        id: call.ids.meter(),
        event_name,
        formula,
        event_time_window,
        customer_key: customer_key.unwrap_or_else(|| "stripe_customer_id".to_owned()),
        value_key: value_key.unwrap_or_else(|| "value".to_owned()),
        created: call.now,
        updated: call.now,
        display_name,
        deactivated_at: None,
    };
    let value = meter.to_value();
    call.world.meters.push(meter);
    Ok(value)
}

pub(crate) fn retrieve(mut call: Call<'_>) -> Answer {
    call.fields.finish()?;
    let found = call.world.meters.get(&call.id);
    let meter = found.ok_or_else(|| Refusal::no_such(Meter::NOUN, &call.id))?;
    Ok(meter.to_value())
}

/// Only the name that people see can change.
pub(crate) fn update(mut call: Call<'_>) -> Answer {
    let display_name = call.fields.text("display_name", 250);
    call.fields.finish()?;
    change(call, |meter| {
        if let Some(display_name) = display_name {
            meter.display_name = display_name;
        }
    })
}

pub(crate) fn deactivate(mut call: Call<'_>) -> Answer {
    call.fields.finish()?;
    let now = call.now;
    change(call, |meter| {
        meter.deactivated_at = Some(meter.deactivated_at.unwrap_or(now))
    })
}

pub(crate) fn reactivate(mut call: Call<'_>) -> Answer {
    call.fields.finish()?;
    let name = call
        .world
        .meters
        .get(&call.id)
        .map(|meter| meter.event_name.clone());
    let holder = name.and_then(|name| active(&call.world.meters, &name));
    if holder.is_some_and(|(_, holder)| holder.id != call.id) {
        return Err(Refusal::refused(
            None,
            Some("resource_already_exists"),
            "Another active meter has this event name.",
        ));
    }
    change(call, |meter| meter.deactivated_at = None)
}

fn change(call: Call<'_>, change: impl FnOnce(&mut Meter)) -> Answer {
    let found = call.world.meters.get_mut(&call.id);
    let meter = found.ok_or_else(|| Refusal::no_such(Meter::NOUN, &call.id))?;
    change(meter);
    meter.updated = call.now;
    Ok(meter.to_value())
}

pub(crate) fn list(mut call: Call<'_>) -> Answer {
    let page = PageRequest::read(&mut call.fields);
    let status: Option<Status> = call.fields.choice("status");
    call.fields.finish()?;
    let (meters, has_more) = page.of_store(&call.world.meters, |meter| {
        status.is_none_or(|status| meter.status() == status)
    })?;
    let data = meters.into_iter().map(Meter::to_value).collect();
    Ok(page::list("/v1/billing/meters", data, has_more))
}
