//! `/v1/webhook_endpoints`: who is told of what.
//!
//! Guess: thin events go to an endpoint that names their type, and to the one that the
//! configuration names; at Stripe they need an event destination of their own.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use crate::choice::choices;
use crate::errors::Refusal;
use crate::events::names;
use crate::fields::{Fields, MAX_TEXT, Patch};
use crate::metadata::{self, Metadata};
use crate::page::{self, PageRequest};
use crate::store::Record;
use crate::world::{Answer, Call};

const MAX_ENDPOINTS: usize = 16;
const MAX_EVENTS: usize = 300;
/// The endpoint that the configuration names.
pub(crate) const CONFIGURED: &str = "we_configured";

choices! {
    EndpointStatus { Enabled = "enabled", Disabled = "disabled" }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) id: String,
    pub(crate) url: String,
    pub(crate) secret: String,
    pub(crate) api_version: Option<String>,
    pub(crate) deleted: bool,
    pub(crate) status: EndpointStatus,
    pub(crate) enabled_events: Vec<String>,
    pub(crate) takes_all_thin: bool,
    pub(crate) created: i64,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Metadata,
}

impl Record for Endpoint {
    const NOUN: &'static str = "webhook endpoint";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Endpoint {
    pub(crate) fn configured(url: &str, secret: &str) -> Self {
        Self {
            id: CONFIGURED.to_owned(),
            url: url.to_owned(),
            secret: secret.to_owned(),
            api_version: None,
            deleted: false,
            status: EndpointStatus::Enabled,
            enabled_events: vec!["*".to_owned()],
            takes_all_thin: true,
            created: 0,
            description: Some("Named by the simulator's configuration".to_owned()),
            metadata: Metadata::new(),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        !self.deleted && self.status == EndpointStatus::Enabled
    }

    /// Whether events of this type are sent to it.
    pub(crate) fn wants(&self, kind: &str, is_thin: bool) -> bool {
        let named = |wanted: &String| {
            if is_thin && !self.takes_all_thin {
                wanted == kind
            } else {
                names(wanted, kind)
            }
        };
        self.is_on() && self.enabled_events.iter().any(named)
    }

    /// The secret is only shown when the endpoint is made.
    pub(crate) fn to_value(&self) -> Value {
        json!({
            "id": self.id,
            "object": "webhook_endpoint",
            "api_version": self.api_version,
            "application": null,
            "created": self.created,
            "description": self.description,
            "enabled_events": self.enabled_events,
            "livemode": false,
            "metadata": self.metadata,
            "status": self.status,
            "url": self.url,
        })
    }
}

/// The simulator speaks no TLS, and needs none to deliver on the same machine.
fn check_url(fields: &mut Fields, text: &str) {
    let usable = Url::parse(text).is_ok_and(|url| url.scheme() == "http" && url.has_host());
    if !usable {
        let message = format!("Invalid URL: {text}; this simulator delivers over http:// only.");
        fields.violate("url", Some("url_invalid"), message);
    }
}

fn read_events(fields: &mut Fields) -> Vec<String> {
    let events = fields.texts("enabled_events", MAX_EVENTS);
    let known = |name: &String| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._*".contains(c);
        name == "*" || (name.contains('.') && name.chars().all(plain))
    };
    if let Some(unknown) = events.iter().find(|name| !known(name)) {
        let message = format!("Invalid enabled_events: {unknown} is not a type of event.");
        fields.violate("enabled_events", None, message);
    }
    events
}

pub(crate) fn create(mut call: Call<'_>) -> Answer {
    let fields = &mut call.fields;
    let url = fields.need_text("url", MAX_TEXT);
    if !url.is_empty() {
        check_url(fields, &url);
    }
    let enabled_events = read_events(fields);
    if enabled_events.is_empty() {
        fields.need::<()>("enabled_events", None);
    }
    let api_version = fields.text("api_version", 40);
    let description = fields.clearable("description", MAX_TEXT).into_option();
    let metadata = metadata::created(metadata::read(fields));
    fields.finish()?;
    let endpoints = &mut call.world.webhooks.endpoints;
    let living = endpoints.as_slice().iter().filter(|it| !it.deleted);
    if living.count() >= MAX_ENDPOINTS {
        let message = format!("You have reached the maximum of {MAX_ENDPOINTS} webhook endpoints.");
        return Err(Refusal::refused(None, None, message));
    }
    let endpoint = Endpoint {
        id: call.ids.webhook_endpoint(),
        url,
        secret: call.ids.webhook_secret(),
        api_version,
        deleted: false,
        status: EndpointStatus::Enabled,
        enabled_events,
        takes_all_thin: false,
        created: call.now,
        description,
        metadata,
    };
    let mut value = endpoint.to_value();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("secret".to_owned(), json!(endpoint.secret));
    }
    endpoints.push(endpoint);
    Ok(value)
}

fn living<'w>(call: &'w mut Call<'_>) -> Result<&'w mut Endpoint, Refusal> {
    let found = call.world.webhooks.endpoints.get_mut(&call.id);
    found
        .filter(|endpoint| !endpoint.deleted)
        .ok_or_else(|| Refusal::no_such(Endpoint::NOUN, &call.id))
}

pub(crate) fn retrieve(mut call: Call<'_>) -> Answer {
    call.fields.finish()?;
    Ok(living(&mut call)?.to_value())
}

pub(crate) fn update(mut call: Call<'_>) -> Answer {
    let fields = &mut call.fields;
    let url = fields.text("url", MAX_TEXT);
    if let Some(url) = &url {
        check_url(fields, url);
    }
    let enabled_events = read_events(fields);
    let disabled = fields.boolean("disabled");
    let description: Patch<String> = fields.clearable("description", MAX_TEXT);
    let metadata = metadata::read(fields);
    fields.finish()?;
    let endpoint = living(&mut call)?;
    endpoint.url = url.unwrap_or_else(|| endpoint.url.clone());
    if !enabled_events.is_empty() {
        endpoint.enabled_events = enabled_events;
    }
    endpoint.status = match disabled {
        Some(true) => EndpointStatus::Disabled,
        Some(false) => EndpointStatus::Enabled,
        None => endpoint.status,
    };
    description.apply(&mut endpoint.description);
    metadata::merge(&mut endpoint.metadata, metadata);
    Ok(endpoint.to_value())
}

pub(crate) fn delete(mut call: Call<'_>) -> Answer {
    call.fields.finish()?;
    living(&mut call)?.deleted = true;
    Ok(json!({ "id": call.id, "object": "webhook_endpoint", "deleted": true }))
}

pub(crate) fn list(mut call: Call<'_>) -> Answer {
    let page = PageRequest::read(&mut call.fields);
    call.fields.finish()?;
    let endpoints = &call.world.webhooks.endpoints;
    let (endpoints, has_more) = page.of_store(endpoints, |endpoint| !endpoint.deleted)?;
    let data = endpoints.into_iter().map(Endpoint::to_value).collect();
    Ok(page::list("/v1/webhook_endpoints", data, has_more))
}
