//! Gets where an organization's reports come from, and what of them was refused.

use billing_kit::Fault;
use billing_proto::ingest::v1::{self as ingest, GetIntakeRequest, GetIntakeResponse};
use uuid::Uuid;

use super::{Admin, App, translate};
use crate::{
    domain::intake::{Intake, LastRefusal, RefusalReason, RefusedConflict, SourceNetwork},
    upstream::internal_fault,
};

impl App {
    /// Gets it; all is empty for an organization that never reported.
    ///
    /// # Errors
    /// ingest-svc could not be asked.
    pub(crate) async fn get_intake(&self, admin: &Admin, id: Uuid) -> Result<Intake, Fault> {
        let request = admin.request(GetIntakeRequest {
            organization_id: id.to_string(),
        });
        let answer = self.upstream.reporting.clone().get_intake(request).await;
        let GetIntakeResponse {
            networks,
            conflicts,
            last_refusal,
        } = answer.map_err(internal_fault)?.into_inner();
        Ok(Intake {
            networks: networks
                .into_iter()
                .map(network)
                .collect::<Result<_, _>>()?,
            conflicts: conflicts
                .into_iter()
                .map(conflict)
                .collect::<Result<_, _>>()?,
            last_refusal: last_refusal.map(refusal).transpose()?,
        })
    }
}

fn network(message: ingest::SourceNetwork) -> Result<SourceNetwork, Fault> {
    let ingest::SourceNetwork {
        network,
        first_see_time,
        last_see_time,
        report_count,
        known,
    } = message;
    Ok(SourceNetwork {
        network,
        first_seen_at: translate::time(first_see_time, "first_see_time")?,
        last_seen_at: translate::time(last_see_time, "last_see_time")?,
        report_count,
        is_known: known,
    })
}

fn conflict(message: ingest::RefusedConflict) -> Result<RefusedConflict, Fault> {
    let ingest::RefusedConflict {
        id,
        report_time,
        user_count,
        recorded_user_count,
        organization_name,
        instance_url,
        source_address,
        first_refuse_time,
        last_refuse_time,
        refuse_count,
        replace_time,
        replacement_id,
    } = message;
    let replaced = translate::optional_time(replace_time)
        .map(|at| Ok::<_, Fault>((at, translate::id(&replacement_id)?)));
    Ok(RefusedConflict {
        id: translate::id(&id)?,
        reported_at: translate::time(report_time, "report_time")?,
        user_count,
        recorded_user_count,
        organization_name,
        instance_url,
        source_address: translate::filled(source_address),
        first_refused_at: translate::time(first_refuse_time, "first_refuse_time")?,
        last_refused_at: translate::time(last_refuse_time, "last_refuse_time")?,
        refused_count: refuse_count,
        replaced: replaced.transpose()?,
    })
}

fn refusal(message: ingest::LastRefusal) -> Result<LastRefusal, Fault> {
    let reason = match message.reason() {
        ingest::RefusalReason::Conflict => RefusalReason::Conflict,
        ingest::RefusalReason::Rejected => RefusalReason::Rejected,
        ingest::RefusalReason::Unreadable => RefusalReason::Unreadable,
        ingest::RefusalReason::Unspecified => {
            return Err(Fault::internal("a refusal has no known reason"));
        }
    };
    let ingest::LastRefusal {
        refuse_time,
        reason: _,
        message: sentences,
        source_address,
    } = message;
    Ok(LastRefusal {
        refused_at: translate::time(refuse_time, "refuse_time")?,
        reason,
        message: sentences,
        source_address: translate::filled(source_address),
    })
}
