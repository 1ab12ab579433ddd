//! The paths of the API and who answers them.

use crate::world::{Answer, Call};
use crate::{
    customers, events, invoice_calls, meter_events, meters, portal, prices, products,
    subscription_change, subscription_create, subscription_list, subscriptions, summaries,
    test_clocks, thin_events, webhook_endpoints,
};

/// One method of one path. `{id}` stands for any one segment.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    template: &'static str,
    pub(crate) run: fn(Call<'_>) -> Answer,
}

impl Route {
    /// `POST /v1/customers/{id}`
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.template)
    }
}

const fn get(template: &'static str, run: fn(Call<'_>) -> Answer) -> Route {
    Route {
        method: "GET",
        template,
        run,
    }
}

const fn post(template: &'static str, run: fn(Call<'_>) -> Answer) -> Route {
    Route {
        method: "POST",
        template,
        run,
    }
}

const fn delete(template: &'static str, run: fn(Call<'_>) -> Answer) -> Route {
    Route {
        method: "DELETE",
        template,
        run,
    }
}

/// In the order of matching: the busiest first, and words before `{id}`.
static ROUTES: &[Route] = &[
    post("/v1/billing/meter_events", meter_events::create),
    post("/v1/billing/meter_event_adjustments", meter_events::adjust),
    get("/v1/billing/meters/{id}/event_summaries", summaries::list),
    post("/v1/billing/meters/{id}/deactivate", meters::deactivate),
    post("/v1/billing/meters/{id}/reactivate", meters::reactivate),
    get("/v1/billing/meters/{id}", meters::retrieve),
    post("/v1/billing/meters/{id}", meters::update),
    get("/v1/billing/meters", meters::list),
    post("/v1/billing/meters", meters::create),
    post("/v1/customers", customers::create),
    get("/v1/customers", customers::list),
    get("/v1/customers/search", customers::search),
    get("/v1/customers/{id}", customers::retrieve),
    post("/v1/customers/{id}", customers::update),
    delete("/v1/customers/{id}", customers::delete),
    post("/v1/subscriptions", subscription_create::create),
    get("/v1/subscriptions", subscription_list::list),
    get("/v1/subscriptions/search", subscription_list::search),
    get("/v1/subscriptions/{id}", subscriptions::retrieve),
    post("/v1/subscriptions/{id}", subscription_change::update),
    delete("/v1/subscriptions/{id}", subscription_change::cancel),
    post("/v1/subscriptions/{id}/resume", subscription_change::resume),
    post("/v1/products", products::create),
    get("/v1/products", products::list),
    get("/v1/products/{id}", products::retrieve),
    post("/v1/products/{id}", products::update),
    post("/v1/prices", prices::create),
    get("/v1/prices", prices::list),
    get("/v1/prices/{id}", prices::retrieve),
    post("/v1/prices/{id}", prices::update),
    post("/v1/invoices/create_preview", invoice_calls::create_preview),
    get("/v1/invoices", invoice_calls::list),
    get("/v1/invoices/{id}/lines", invoice_calls::lines),
    get("/v1/invoices/{id}", invoice_calls::retrieve),
    post("/v1/invoices/{id}/finalize", invoice_calls::finalize),
    post("/v1/invoices/{id}/pay", invoice_calls::pay),
    post("/v1/invoices/{id}/void", invoice_calls::void),
    get("/v1/events", events::list),
    get("/v1/events/{id}", events::retrieve),
    get("/v2/core/events", thin_events::list),
    get("/v2/core/events/{id}", thin_events::retrieve),
    post("/v1/webhook_endpoints", webhook_endpoints::create),
    get("/v1/webhook_endpoints", webhook_endpoints::list),
    get("/v1/webhook_endpoints/{id}", webhook_endpoints::retrieve),
    post("/v1/webhook_endpoints/{id}", webhook_endpoints::update),
    delete("/v1/webhook_endpoints/{id}", webhook_endpoints::delete),
    post("/v1/billing_portal/sessions", portal::create),
    post("/v1/test_helpers/test_clocks", test_clocks::create),
    get("/v1/test_helpers/test_clocks", test_clocks::list),
    get("/v1/test_helpers/test_clocks/{id}", test_clocks::retrieve),
    delete("/v1/test_helpers/test_clocks/{id}", test_clocks::delete),
    post(
        "/v1/test_helpers/test_clocks/{id}/advance",
        test_clocks::advance,
    ),
];

/// The route of a request, and the id in its path.
pub(crate) fn find<'p>(method: &str, path: &'p str) -> Option<(&'static Route, &'p str)> {
    let methods = ROUTES.iter().filter(|route| route.method == method);
    methods
        .into_iter()
        .find_map(|route| Some((route, match_path(route.template, path)?)))
}

/// The route that a test names by its template; what stands in the braces does not matter.
pub(crate) fn by_template(method: &str, template: &str) -> Option<&'static Route> {
    let any = |segment: &str| segment.starts_with('{') && segment.ends_with('}');
    let same = |route: &&Route| {
        let ours = route.template.split('/');
        let mut pairs = ours.clone().zip(template.split('/'));
        ours.count() == template.split('/').count()
            && pairs.all(|(ours, theirs)| ours == theirs || (any(ours) && any(theirs)))
    };
    ROUTES
        .iter()
        .filter(|route| route.method == method)
        .find(same)
}

fn match_path<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    let mut id = "";
    let mut theirs = path.split('/');
    for ours in template.split('/') {
        let segment = theirs.next()?;
        if ours == "{id}" && !segment.is_empty() {
            id = segment;
        } else if ours != segment {
            return None;
        }
    }
    theirs.next().is_none().then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_their_route_and_id() {
        for (method, path, name, id) in [
            (
                "GET",
                "/v1/customers/search",
                "GET /v1/customers/search",
                "",
            ),
            (
                "GET",
                "/v1/customers/cus_1",
                "GET /v1/customers/{id}",
                "cus_1",
            ),
            (
                "POST",
                "/v1/subscriptions/sub_1/resume",
                "POST /v1/subscriptions/{id}/resume",
                "sub_1",
            ),
        ] {
            let (route, found) = find(method, path).unwrap();
            assert_eq!((route.name().as_str(), found), (name, id));
        }
        for (method, path) in [
            ("PUT", "/v1/customers"),
            ("GET", "/v1/customers/"),
            ("GET", "/v1"),
        ] {
            assert!(find(method, path).is_none(), "{method} {path}");
        }
    }
}
