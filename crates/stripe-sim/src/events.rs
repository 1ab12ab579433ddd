//! `/v1/events`: what happened, each with the object as it was right after.
//!
//! An event is written once and never changes; that is why it is kept as text.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::errors::Refusal;
use crate::fields::MAX_TEXT;
use crate::moment::Moment;
use crate::page::{self, PageRequest};
use crate::store::{Record, Store};
use crate::thin_events::ThinEvent;
use crate::world::{Answer, Call, World};

/// The version of events for an endpoint that pins none, and for `/v1/events`.
pub(crate) const API_VERSION: &str = "2026-09-30.endive";
/// Events kept at most. Past it the oldest quarter is forgotten, as Stripe forgets after 30 days.
const MAX_KEPT: usize = 20_000;

/// JSON that is shared and not read again here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(crate) struct Text(Arc<str>);

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0.as_ref().to_owned()
    }
}

impl Text {
    pub(crate) fn of(value: &Value) -> Self {
        Self(value.to_string().into())
    }

    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

/// The call that caused an event. None is the passing of time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cause {
    pub(crate) request_id: String,
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) kind: String,
    created: i64,
    object: Text,
    previous: Option<Text>,
    cause: Option<Cause>,
}

impl Record for Event {
    const NOUN: &'static str = "event";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Event {
    pub(crate) fn to_value(&self, api_version: &str, pending_webhooks: usize) -> Value {
        let mut data = json!({ "object": self.object.value() });
        if let (Some(previous), Some(data)) = (&self.previous, data.as_object_mut()) {
            data.insert("previous_attributes".to_owned(), previous.value());
        }
        let cause = self.cause.as_ref();
        json!({
            "id": self.id,
            "object": "event",
            "api_version": api_version,
            "created": self.created,
            "data": data,
            "livemode": false,
            "pending_webhooks": pending_webhooks,
            "request": {
                "id": cause.map(|cause| &cause.request_id),
                "idempotency_key": cause.and_then(|cause| cause.idempotency_key.as_ref()),
            },
            "type": self.kind,
        })
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Events {
    pub(crate) snapshots: Store<Event>,
    pub(crate) thin: Store<ThinEvent>,
    /// Events ever made, the forgotten ones included.
    pub(crate) count: u64,
    /// The call that is being carried out.
    #[serde(skip)]
    pub(crate) cause: Option<Cause>,
}

impl Events {
    pub(crate) fn reindex(&mut self) {
        self.snapshots.reindex();
        self.thin.reindex();
    }

    pub(crate) fn push(&mut self, event: Event) {
        self.count += 1;
        self.snapshots.push(event);
        self.snapshots.keep_newest(MAX_KEPT);
    }

    pub(crate) fn push_thin(&mut self, event: ThinEvent) {
        self.count += 1;
        self.thin.push(event);
        self.thin.keep_newest(MAX_KEPT);
    }
}

/// Of each property that is no longer what it was, what it was. Guess: nested objects are shown
/// whole, where Stripe shows of some only what changed in them.
pub(crate) fn previous_attributes(before: &Value, after: &Value) -> Option<Value> {
    let changed: serde_json::Map<String, Value> = before
        .as_object()?
        .iter()
        .filter(|(name, value)| after.get(name.as_str()) != Some(value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    (!changed.is_empty()).then_some(Value::Object(changed))
}

impl Moment<'_> {
    /// Tells of something that has just happened to an object.
    pub(crate) fn tell(&mut self, kind: &str, object: &Value, previous: Option<&Value>) {
        let event = Event {
            id: self.ids.event(),
            kind: kind.to_owned(),
            created: self.at,
            object: Text::of(object),
            previous: previous.map(Text::of),
            cause: self.world.events.cause.clone(),
        };
        let (id, kind) = (event.id.clone(), event.kind.clone());
        self.world.events.push(event);
        self.world.webhooks.announce(self.ids, &id, &kind, false);
    }
}

fn to_value(event: &Event, world: &World) -> Value {
    event.to_value(API_VERSION, world.webhooks.pending_of(&event.id))
}

pub(crate) fn retrieve(mut call: Call<'_>) -> Answer {
    call.fields.finish()?;
    let found = call.world.events.snapshots.get(&call.id);
    let event = found.ok_or_else(|| Refusal::no_such(Event::NOUN, &call.id))?;
    Ok(to_value(event, call.world))
}

pub(crate) fn list(mut call: Call<'_>) -> Answer {
    let fields = &mut call.fields;
    let page = PageRequest::read(fields);
    let kind = fields.text("type", MAX_TEXT);
    let kinds = fields.texts("types", 20);
    let created = fields.range("created");
    if kind.is_some() && !kinds.is_empty() {
        fields.violate(
            "types",
            Some("parameters_exclusive"),
            "You may only specify one of these parameters: type, types.",
        );
    }
    fields.finish()?;
    let wanted: Vec<String> = kind.into_iter().chain(kinds).collect();
    let world = &*call.world;
    let (events, has_more) = page.of_store(&world.events.snapshots, |event| {
        created.holds(event.created)
            && (wanted.is_empty() || wanted.iter().any(|wanted| names(wanted, &event.kind)))
    })?;
    let data = events.into_iter().map(|it| to_value(it, world)).collect();
    Ok(page::list("/v1/events", data, has_more))
}

/// Whether a type, or a group of them such as `invoice.*`, names this one.
pub(crate) fn names(wanted: &str, kind: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(start) => kind.starts_with(start),
        None => wanted == kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previous_attributes_are_those_that_changed() {
        let before = json!({ "a": 1, "b": { "c": 2 }, "d": null });
        let after = json!({ "a": 1, "b": { "c": 3 }, "d": 4 });
        assert_eq!(
            previous_attributes(&before, &after),
            Some(json!({ "b": { "c": 2 }, "d": null }))
        );
        assert_eq!(previous_attributes(&before, &before), None);
        assert!(names("invoice.*", "invoice.paid") && !names("invoice.*", "customer.created"));
    }
}
