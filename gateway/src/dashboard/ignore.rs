//! Takes pending organizations out of the lists, and brings them back: those that are chosen in a list,
//! the one of a page, or all of a network.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use billing_kit::{Fault, Violation, proto_time};
use billing_proto::common::v1::{IgnoreOrganizationsRequest, RestoreOrganizationsRequest};
use chrono::DateTime;
use http::HeaderMap;

use super::{
    form, list,
    page::{PageError, local_address},
};
use crate::{grpc::answered, rest::query::Query, web::Web};

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
    let ignored = web
        .admin_client()
        .ignore_organizations(admin.asks(chosen))
        .await;
    answered(ignored)?;
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
    let request = RestoreOrganizationsRequest {
        organization_ids: chosen.organization_ids,
        source_network: chosen.source_network,
    };
    let restored = web
        .admin_client()
        .restore_organizations(admin.asks(request))
        .await;
    answered(restored)?;
    Ok(back(&form, list::IGNORED, RESTORED))
}

fn back(form: &Query, list: &str, notice: &str) -> Response {
    let back = form.get(BACK).and_then(local_address).unwrap_or(list);
    let mark = if back.contains('?') { '&' } else { '?' };
    Redirect::to(&format!("{back}{mark}notice={notice}")).into_response()
}

/// Whom a form chose; none where no box was ticked.
fn chosen(form: &Query) -> Result<Option<IgnoreOrganizationsRequest>, Fault> {
    let chosen = IgnoreOrganizationsRequest {
        organization_ids: form.all("id"),
        source_network: form.get("network").unwrap_or_default().to_owned(),
        until_time: match form.get("until").filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => {
                let until = DateTime::parse_from_rfc3339(text).map_err(|error| {
                    let violation = Violation::new("until", "It is not a time.");
                    Fault::invalid(vec![violation]).caused_by(error)
                })?;
                Some(proto_time::to_proto(until.to_utc()))
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
        assert_eq!(network.until_time.unwrap().nanos, 1_000);
        assert_eq!(form("id_=a").unwrap(), None);
        assert!(form("network=a&until=soon").is_err());
    }
}
