//! `/v2/core/events`: thin events, which only say what to fetch; their data is fetched with them.

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::errors::Refusal;
use crate::events::{Text, names};
use crate::fields::MAX_TEXT;
use crate::moment::Moment;
use crate::store::Record;
use crate::world::{Answer, Call};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Related {
    pub(crate) id: String,
    /// `billing.meter`
    pub(crate) kind: String,
    pub(crate) url: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ThinEvent {
    id: String,
    kind: String,
    created: i64,
    related: Option<Related>,
    data: Text,
}

impl Record for ThinEvent {
    const NOUN: &'static str = "event";

    fn id(&self) -> &str {
        &self.id
    }
}

/// `2026-03-02T12:00:00.000Z`
pub(crate) fn rfc3339(unix_s: i64) -> String {
    let time = DateTime::from_timestamp(unix_s, 0).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl ThinEvent {
    /// As it is delivered: without its data.
    pub(crate) fn notice(&self) -> Value {
        let mut value = json!({
            "id": self.id,
            "object": "v2.core.event",
            "created": rfc3339(self.created),
            "livemode": false,
            "type": self.kind,
        });
        if let (Some(related), Some(fields)) = (&self.related, value.as_object_mut()) {
            let related = json!({ "id": related.id, "type": related.kind, "url": related.url });
            fields.insert("related_object".to_owned(), related);
        }
        value
    }

    /// As it is fetched.
    pub(crate) fn to_value(&self) -> Value {
        let mut value = self.notice();
        if let Some(fields) = value.as_object_mut() {
            fields.insert("data".to_owned(), self.data.value());
        }
        value
    }
}

impl Moment<'_> {
    pub(crate) fn tell_thin(&mut self, kind: &str, related: Option<Related>, data: &Value) {
        let event = ThinEvent {
            id: self.ids.thin_event(),
            kind: kind.to_owned(),
            created: self.at,
            related,
            data: Text::of(data),
        };
        let (id, kind) = (event.id.clone(), event.kind.clone());
        self.world.events.push_thin(event);
        self.world.webhooks.announce(self.ids, &id, &kind, true);
    }
}

pub(crate) fn retrieve(mut call: Call<'_>) -> Answer {
    call.fields.finish()?;
    let found = call.world.events.thin.get(&call.id);
    let event = found.ok_or_else(|| Refusal::no_such(ThinEvent::NOUN, &call.id))?;
    Ok(event.to_value())
}

/// Newest first. Guess: a page is named by the id of the event before it.
pub(crate) fn list(mut call: Call<'_>) -> Answer {
    let fields = &mut call.fields;
    let limit = fields.integer("limit", 1..=100).unwrap_or(20);
    let page = fields.text("page", MAX_TEXT);
    let object = fields.text("object_id", MAX_TEXT);
    let kinds = fields.texts("types", 20);
    fields.finish()?;
    let limit = usize::try_from(limit).unwrap_or(20);
    let store = &call.world.events.thin;
    let end = match &page {
        Some(page) => store
            .position(page)
            .ok_or_else(|| Refusal::no_such_in("page", "page", page))?,
        None => store.as_slice().len(),
    };
    let older = store.as_slice().get(..end).unwrap_or_default();
    let related = |event: &ThinEvent| event.related.as_ref().map(|it| it.id.clone());
    let mut found: Vec<&ThinEvent> = older
        .iter()
        .rev()
        .filter(|event| object.is_none() || related(event) == object)
        .filter(|event| kinds.is_empty() || kinds.iter().any(|it| names(it, &event.kind)))
        .take(limit + 1)
        .collect();
    let has_more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| has_more);
    let next = last.map(|last| format!("/v2/core/events?limit={limit}&page={}", last.id));
    let data: Vec<Value> = found.into_iter().map(ThinEvent::to_value).collect();
    Ok(json!({ "data": data, "next_page_url": next, "previous_page_url": null }))
}
