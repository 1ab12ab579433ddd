//! Lists the usage that Stripe took and then did not count.

use billing_kit::Fault;
use billing_proto::stripe::v1::{ListMeterErrorsRequest, ListMeterErrorsResponse};

use super::{Admin, App, translate};
use crate::{domain::webhook_event::MeterError, upstream::internal_fault};

/// A page of errors, those that were told last first.
#[derive(Debug, Clone)]
pub(crate) struct MeterErrorPage {
    /// The errors.
    pub errors: Vec<MeterError>,
    /// Where the next page begins; `None` after the last.
    pub next_page_token: Option<String>,
}

impl App {
    /// A page of meter errors.
    ///
    /// # Errors
    /// A page token that is none; stripe-svc away.
    pub(crate) async fn list_meter_errors(
        &self,
        admin: &Admin,
        page_size: i32,
        page_token: String,
    ) -> Result<MeterErrorPage, Fault> {
        let request = admin.request(ListMeterErrorsRequest {
            page_size,
            page_token,
        });
        let mut inbox = self.upstream.webhooks.clone();
        let listed = inbox.list_meter_errors(request).await;
        let ListMeterErrorsResponse {
            errors,
            next_page_token,
        } = listed.map_err(internal_fault)?.into_inner();
        let errors = errors.into_iter().map(translate::meter_error);
        Ok(MeterErrorPage {
            errors: errors.collect::<Result<_, _>>()?,
            next_page_token: (!next_page_token.is_empty()).then_some(next_page_token),
        })
    }
}
