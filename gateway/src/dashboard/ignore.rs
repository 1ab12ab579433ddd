//! Takes pending organizations out of the lists, and brings them back: those that are chosen in a list,
//! the one of a page, or all of a network.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use billing_kit::{Fault, Violation};
use chrono::DateTime;
use http::HeaderMap;

use super::{
    form, list,
    page::{PageError, local_address},
};
use crate::{domain::pending::Chosen, rest::query::Query, web::Web};

/// Where they are ignored.
pub(super) const IGNORE: &str = "/pending/ignore";
/// Where they are brought back.
pub(super) const RESTORE: &str = "/ignored/restore";
/// What the address says that became of them.
pub(super) const IGNORED: &str = "ignored";
pub(super) const RESTORED: &str = "restored";
pub(super) const NONE_CHOSEN: &str = "none_chosen";
/// The form's field of the page that it is on.
const BACK: &str = "back";

/// Ignores pending organizations, and goes back to the page that the form was on.
pub(super) async fn ignore(
    State(web): State<Web>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    let admin = web.admin_for_change(&headers).await?;
    let form = form::read(&web, &headers, body).await?;
    let Some(chosen) = chosen(&form)? else {
        return Ok(back(&form, list::PENDING, NONE_CHOSEN));
    };
    web.app().ignore_organizations(&admin, chosen).await?;
    Ok(back(&form, list::PENDING, IGNORED))
}

/// Brings ignored organizations back.
pub(super) async fn restore(
    State(web): State<Web>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    let admin = web.admin_for_change(&headers).await?;
    let form = form::read(&web, &headers, body).await?;
    let Some(chosen) = chosen(&form)? else {
        return Ok(back(&form, list::IGNORED, NONE_CHOSEN));
    };
    web.app().restore_organizations(&admin, chosen).await?;
    Ok(back(&form, list::IGNORED, RESTORED))
}

fn back(form: &Query, list: &str, notice: &str) -> Response {
    let back = form.get(BACK).and_then(local_address).unwrap_or(list);
    let mark = if back.contains('?') { '&' } else { '?' };
    Redirect::to(&format!("{back}{mark}notice={notice}")).into_response()
}

/// Whom a form chose; none where no box was ticked.
fn chosen(form: &Query) -> Result<Option<Chosen>, Fault> {
    let chosen = Chosen {
        organization_ids: form.all("id"),
        source_network: form.get("network").unwrap_or_default().to_owned(),
        until: match form.get("until").filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => {
                let until = DateTime::parse_from_rfc3339(text).map_err(|error| {
                    let violation = Violation::new("until", "It is not a time.");
                    Fault::invalid(vec![violation]).caused_by(error)
                })?;
                Some(until.to_utc())
            }
        },
    };
    let is_none = chosen.organization_ids.is_empty() && chosen.source_network.is_empty();
    Ok((!is_none).then_some(chosen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_names_ids_or_a_network() {
        let form = |text: &str| chosen(&Query::read(Some(text)));
        let ids = form("id=a&id=b").unwrap().unwrap();
        assert_eq!(ids.organization_ids, ["a", "b"]);
        let network = form("network=203.0.113.0%2F24&until=2026-12-01T00:00:00.000001Z");
        let network = network.unwrap().unwrap();
        assert_eq!(network.source_network, "203.0.113.0/24");
        let micros = network.until.unwrap().timestamp_subsec_micros();
        assert_eq!(micros, 1);
        assert_eq!(form("id_=a").unwrap(), None);
        assert!(form("network=a&until=soon").is_err());
    }
}
