//! The part of an organization's page that says where its reports come from and what of them was
//! refused; and the form that puts a refused one in the place of the recorded one.

use axum::{
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use http::HeaderMap;
use uuid::Uuid;

use super::{
    form,
    page::PageError,
    ui::{Moment, Ui},
};
use crate::{
    domain::intake::{Intake, LastRefusal, RefusedConflict, SourceNetwork},
    rest::query::organization_id,
    web::Web,
};

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
    pub(super) id: Uuid,
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

pub(super) fn shown(ui: &Ui, intake: Intake) -> Shown {
    let Intake {
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
        first_seen_at: _,
        last_seen_at,
        report_count,
        is_known,
    } = network;
    NetworkRow {
        network,
        last_seen_at: ui.minute(last_seen_at),
        reports: ui.number(&report_count),
        known: if is_known {
            ui.t.network_known
        } else {
            ui.t.network_new
        },
    }
}

fn conflict(ui: &Ui, conflict: RefusedConflict) -> ConflictRow {
    let RefusedConflict {
        id,
        reported_at,
        user_count,
        recorded_user_count,
        organization_name: _,
        instance_url: _,
        source_address,
        first_refused_at: _,
        last_refused_at,
        refused_count,
        replaced,
    } = conflict;
    let nothing = || ui.t.nothing.to_owned();
    ConflictRow {
        id,
        reported_at: ui.minute(reported_at),
        users: ui.number(&user_count),
        recorded: recorded_user_count.map_or_else(nothing, |count| ui.number(&count)),
        source: source_address.unwrap_or_else(nothing),
        last_refused_at: ui.minute(last_refused_at),
        times: ui.number(&refused_count),
        is_replaced: replaced.is_some(),
    }
}

fn refusal(ui: &Ui, refusal: LastRefusal) -> RefusalShown {
    let LastRefusal {
        refused_at,
        // The sentences say it.
        reason: _,
        message,
        source_address,
    } = refusal;
    RefusalShown {
        refused_at: ui.minute(refused_at),
        message,
        source: source_address,
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
    web.app().replace_report(&admin, conflict).await?;
    Ok(Redirect::to(&format!("/organizations/{id}?notice={REPLACED}")).into_response())
}

#[cfg(test)]
pub(super) mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::intake::RefusalReason;

    /// One of each.
    pub(in crate::dashboard) fn intake(text: &str) -> Intake {
        let at = DateTime::from_timestamp(1_730_419_200, 0).unwrap();
        Intake {
            networks: vec![SourceNetwork {
                network: "203.0.113.0/24".to_owned(),
                first_seen_at: at,
                last_seen_at: at,
                report_count: 7_300,
                is_known: true,
            }],
            conflicts: vec![RefusedConflict {
                id: Uuid::from_u128(9),
                reported_at: at,
                user_count: 450,
                recorded_user_count: Some(45),
                organization_name: text.to_owned(),
                instance_url: text.to_owned(),
                source_address: Some("198.51.100.9".to_owned()),
                first_refused_at: at,
                last_refused_at: at,
                refused_count: 2,
                replaced: None,
            }],
            last_refusal: Some(LastRefusal {
                refused_at: at,
                reason: RefusalReason::Rejected,
                message: text.to_owned(),
                source_address: None,
            }),
        }
    }
}
