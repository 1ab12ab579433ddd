//! Where reports come from and what of them was refused, as messages of `billing.admin.v1`.

use billing_kit::proto_time::to_proto;
use billing_proto::admin::v1 as admin;

use crate::domain::intake::{Intake, LastRefusal, RefusalReason, RefusedConflict, SourceNetwork};

pub(super) fn intake(intake: Intake) -> admin::GetIntakeResponse {
    let Intake {
        networks,
        conflicts,
        last_refusal,
    } = intake;
    admin::GetIntakeResponse {
        networks: networks.into_iter().map(network).collect(),
        conflicts: conflicts.into_iter().map(conflict).collect(),
        last_refusal: last_refusal.map(refusal),
    }
}

fn network(network: SourceNetwork) -> admin::SourceNetwork {
    let SourceNetwork {
        network,
        first_seen_at,
        last_seen_at,
        report_count,
        is_known,
    } = network;
    admin::SourceNetwork {
        network,
        first_see_time: Some(to_proto(first_seen_at)),
        last_see_time: Some(to_proto(last_seen_at)),
        report_count,
        known: is_known,
    }
}

fn conflict(conflict: RefusedConflict) -> admin::RefusedConflict {
    let RefusedConflict {
        id,
        reported_at,
        user_count,
        recorded_user_count,
        organization_name,
        instance_url,
        source_address,
        first_refused_at,
        last_refused_at,
        refused_count,
        replaced,
    } = conflict;
    let (replaced_at, replacement_id) = replaced.unzip();
    admin::RefusedConflict {
        id: id.to_string(),
        report_time: Some(to_proto(reported_at)),
        user_count,
        recorded_user_count,
        organization_name,
        instance_url,
        source_address: source_address.unwrap_or_default(),
        first_refuse_time: Some(to_proto(first_refused_at)),
        last_refuse_time: Some(to_proto(last_refused_at)),
        refuse_count: refused_count,
        replace_time: replaced_at.map(to_proto),
        replacement_id: replacement_id.map(|id| id.to_string()).unwrap_or_default(),
    }
}

fn refusal(refusal: LastRefusal) -> admin::LastRefusal {
    let LastRefusal {
        refused_at,
        reason,
        message,
        source_address,
    } = refusal;
    let reason = match reason {
        RefusalReason::Conflict => admin::RefusalReason::Conflict,
        RefusalReason::Rejected => admin::RefusalReason::Rejected,
        RefusalReason::Unreadable => admin::RefusalReason::Unreadable,
    };
    admin::LastRefusal {
        refuse_time: Some(to_proto(refused_at)),
        reason: reason.into(),
        message,
        source_address: source_address.unwrap_or_default(),
    }
}
