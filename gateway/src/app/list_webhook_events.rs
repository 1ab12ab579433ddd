//! Lists what Stripe sent, and what became of it.

use billing_kit::Fault;
use billing_proto::stripe::v1::{
    ListWebhookEventsRequest, ListWebhookEventsResponse, WebhookEventState,
};

use super::{Admin, App, translate};
use crate::{domain::webhook_event::WebhookEvent, upstream::internal_fault};

/// A page of events, those that came last first.
#[derive(Debug, Clone)]
pub(crate) struct WebhookEventPage {
    /// The events.
    pub events: Vec<WebhookEvent>,
    /// Where the next page begins; `None` after the last.
    pub next_page_token: Option<String>,
}

impl App {
    /// A page of the inbox.
    ///
    /// # Errors
    /// A page token that is none; stripe-svc away.
    pub(crate) async fn list_webhook_events(
        &self,
        admin: &Admin,
        state: WebhookEventState,
        page_size: i32,
        page_token: String,
    ) -> Result<WebhookEventPage, Fault> {
        let request = admin.request(ListWebhookEventsRequest {
            state: state.into(),
            page_size,
            page_token,
        });
        let mut inbox = self.upstream.webhooks.clone();
        let listed = inbox.list_webhook_events(request).await;
        let ListWebhookEventsResponse {
            events,
            next_page_token,
        } = listed.map_err(internal_fault)?.into_inner();
        let events = events.into_iter().map(translate::webhook_event);
        Ok(WebhookEventPage {
            events: events.collect::<Result<_, _>>()?,
            next_page_token: (!next_page_token.is_empty()).then_some(next_page_token),
        })
    }
}
