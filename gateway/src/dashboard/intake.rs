//! The part of an organization's page that says where its reports come from and what of them was
//! refused; and the form that puts a refused one in the place of the recorded one.

use axum::{
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use billing_proto::common::v1::{
    GetIntakeResponse, LastRefusal, RefusedConflict, ReplaceReportRequest, SourceNetwork,
};
use http::HeaderMap;

use super::{
    form,
    page::PageError,
    ui::{Moment, Ui},
};
use crate::{domain::words::filled, grpc::answered, rest::query::organization_id, web::Web};

/// Where a refused report is put in the place of the recorded one.
pub(super) const REPLACE: &str = "/organizations/{id}/conflicts/{conflict}/replace";
/// What the address says once that is done.
pub(super) const REPLACED: &str = "replaced";

/// How reports come in, as the page shows it.
pub(super) struct Shown {
    pub(super) networks: Vec<NetworkRow>,
    pub(super) conflicts: Vec<ConflictRow>,
    pub(super) refusal: Option<RefusalShown>,
}

pub(super) struct NetworkRow {
    pub(super) network: String,
    pub(super) last_seen_at: Moment,
    pub(super) reports: String,
    pub(super) known: &'static str,
}

pub(super) struct ConflictRow {
    pub(super) id: String,
    pub(super) reported_at: Moment,
    pub(super) users: String,
    pub(super) recorded: String,
    pub(super) source: String,
    pub(super) last_refused_at: Moment,
    pub(super) times: String,
    pub(super) is_replaced: bool,
}

pub(super) struct RefusalShown {
    pub(super) refused_at: Moment,
    pub(super) message: String,
    pub(super) source: Option<String>,
}

pub(super) fn shown(ui: &Ui, intake: GetIntakeResponse) -> Shown {
    let GetIntakeResponse {
        networks,
        conflicts,
        last_refusal,
    } = intake;
    Shown {
        networks: networks.into_iter().map(|it| network(ui, it)).collect(),
        conflicts: conflicts.into_iter().map(|it| conflict(ui, it)).collect(),
        refusal: last_refusal.map(|it| refusal(ui, it)),
    }
}

fn network(ui: &Ui, network: SourceNetwork) -> NetworkRow {
    let SourceNetwork {
        network,
        first_see_time: _,
        last_see_time,
        report_count,
        known,
    } = network;
    NetworkRow {
        network,
        last_seen_at: ui.promised_minute(last_see_time),
        reports: ui.number(&report_count),
        known: if known {
            ui.t.network_known
        } else {
            ui.t.network_new
        },
    }
}

fn conflict(ui: &Ui, conflict: RefusedConflict) -> ConflictRow {
    let RefusedConflict {
        id,
        report_time,
        user_count,
        recorded_user_count,
        organization_name: _,
        instance_url: _,
        source_address,
        first_refuse_time: _,
        last_refuse_time,
        refuse_count,
        replace_time,
        replacement_id: _,
    } = conflict;
    let nothing = || ui.t.nothing.to_owned();
    ConflictRow {
        id,
        reported_at: ui.promised_minute(report_time),
        users: ui.number(&user_count),
        recorded: recorded_user_count.map_or_else(nothing, |count| ui.number(&count)),
        source: filled(source_address).unwrap_or_else(nothing),
        last_refused_at: ui.promised_minute(last_refuse_time),
        times: ui.number(&refuse_count),
        is_replaced: replace_time.is_some(),
    }
}

fn refusal(ui: &Ui, refusal: LastRefusal) -> RefusalShown {
    let LastRefusal {
        refuse_time,
        // The sentences say it.
        reason: _,
        message,
        source_address,
    } = refusal;
    RefusalShown {
        refused_at: ui.promised_minute(refuse_time),
        message,
        source: filled(source_address),
    }
}

/// Puts a refused report in the place of the recorded one, and goes back to the organization.
pub(super) async fn replace(
    State(web): State<Web>,
    Path((id, conflict)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    let admin = web.admin_for_change(&headers).await?;
    form::read(&web, &headers, body).await?;
    let id = organization_id(&id)?;
    let request = ReplaceReportRequest {
        conflict_id: conflict,
    };
    answered(web.admin_client().replace_report(admin.asks(request)).await)?;
    Ok(Redirect::to(&format!("/organizations/{id}?notice={REPLACED}")).into_response())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::dashboard::row::tests::at;

    /// One of each.
    pub(in crate::dashboard) fn intake(text: &str) -> GetIntakeResponse {
        let at = at(1_730_419_200);
        GetIntakeResponse {
            networks: vec![SourceNetwork {
                network: "203.0.113.0/24".to_owned(),
                first_see_time: at,
                last_see_time: at,
                report_count: 7_300,
                known: true,
            }],
            conflicts: vec![RefusedConflict {
                id: "00000000-0000-0000-0000-000000000009".to_owned(),
                report_time: at,
                user_count: 450,
                recorded_user_count: Some(45),
                source_address: "198.51.100.9".to_owned(),
                last_refuse_time: at,
                refuse_count: 2,
                ..RefusedConflict::default()
            }],
            last_refusal: Some(LastRefusal {
                refuse_time: at,
                message: text.to_owned(),
                ..LastRefusal::default()
            }),
        }
    }
}
