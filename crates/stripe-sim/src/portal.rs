//! `/v1/billing_portal/sessions`: a link for a customer. Nobody is behind it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::customers;
use crate::fields::MAX_TEXT;
use crate::store::Record;
use crate::world::{Answer, Call};

/// The account's only configuration, which is its default.
const CONFIGURATION: &str = "bpc_1SimulatedDefault";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PortalSession {
    id: String,
    created: i64,
    customer: String,
    return_url: Option<String>,
    url: String,
}

impl Record for PortalSession {
    const NOUN: &'static str = "billing portal session";

    fn id(&self) -> &str {
        &self.id
    }
}

impl PortalSession {
    pub(crate) fn to_value(&self) -> Value {
        json!({
            "id": self.id,
            "object": "billing_portal.session",
            "configuration": CONFIGURATION,
            "created": self.created,
            "customer": self.customer,
            "customer_account": null,
            "flow": null,
            "livemode": false,
            "locale": null,
            "on_behalf_of": null,
            "return_url": self.return_url,
            "url": self.url,
        })
    }
}

pub(crate) fn create(mut call: Call<'_>) -> Answer {
    let customer = call.fields.need_text("customer", MAX_TEXT);
    let return_url = call.fields.text("return_url", MAX_TEXT);
    if let Some(text) = &return_url
        && url::Url::parse(text).is_err()
    {
        let message = format!("Invalid URL: {text}");
        call.fields
            .violate("return_url", Some("url_invalid"), message);
    }
    call.fields.finish()?;
    customers::named_by(call.world, "customer", &customer)?;
    let session = PortalSession {
        id: call.ids.portal_session(),
        created: call.now,
        url: format!(
            "https://billing.stripe.com/p/session/{}",
            call.ids.portal_secret()
        ),
        customer,
        return_url,
    };
    let value = session.to_value();
    call.world.portal_sessions.push(session);
    Ok(value)
}
