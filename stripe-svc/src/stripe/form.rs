//! Between a form as it is sent and its pairs as they are stored.

use std::collections::BTreeMap;

use stripe_client_core::{RequestBuilder, StripeMethod};
use url::form_urlencoded;

use crate::domain::call::{Call, CallRequest};

/// What a typed request would send, in the form in which it is stored.
pub(super) fn to_stored(request: RequestBuilder) -> CallRequest {
    let body = request.body.unwrap_or_default();
    let pairs: BTreeMap<_, _> = form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    CallRequest::new(request.path, pairs)
}

/// A request with these pairs.
pub(super) fn post(path: &str, form: &[(&str, &str)]) -> RequestBuilder {
    let mut body = form_urlencoded::Serializer::new(String::new());
    RequestBuilder {
        query: None,
        body: Some(body.extend_pairs(form).finish()),
        path: path.to_owned(),
        method: StripeMethod::Post,
    }
}

/// The request that was stored, pair by pair in their order.
pub(crate) fn to_sent(request: &CallRequest) -> RequestBuilder {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(&request.form);
    RequestBuilder {
        query: None,
        body: Some(body.finish()),
        path: request.path.clone(),
        method: StripeMethod::Post,
    }
}

/// A stored call as it is sent.
pub(crate) fn call_to_sent(call: &Call) -> RequestBuilder {
    call_to_sent_as(&call.request, call.step.is_delete())
}

/// A stored request as it is sent, a DELETE or a POST.
pub(crate) fn call_to_sent_as(request: &CallRequest, is_delete: bool) -> RequestBuilder {
    let request = to_sent(request);
    if is_delete {
        RequestBuilder {
            method: StripeMethod::Delete,
            ..request
        }
    } else {
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_what_is_sent() {
        let pairs = BTreeMap::from([("name", "Café & Söhne = 1"), ("note", "b[c]")]);
        let typed = RequestBuilder::new(StripeMethod::Post, "/customers").form(&pairs);
        let stored = to_stored(typed);
        assert_eq!(stored.value("name"), Some("Café & Söhne = 1"));
        let sent = to_sent(&stored);
        assert_eq!(to_stored(sent), stored);
    }
}
