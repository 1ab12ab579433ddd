//! Where reports come from and what of them was refused, as messages.

use billing_kit::proto_time;
use billing_proto::common::v1::{
    GetIntakeResponse, LastRefusal, RefusalReason as ProtoReason, RefusedConflict,
    SourceNetwork as ProtoNetwork,
};

use crate::{
    app::Intake,
    domain::refusal::{Refusal, RefusalReason},
    store::{conflicts::Conflict, sources::SourceNetwork},
};

pub(super) fn intake_to_proto(intake: Intake) -> GetIntakeResponse {
    let Intake {
        networks,
        conflicts,
        last_refusal,
    } = intake;
    GetIntakeResponse {
        networks: networks.into_iter().map(network_to_proto).collect(),
        conflicts: conflicts.into_iter().map(conflict_to_proto).collect(),
        last_refusal: last_refusal.map(refusal_to_proto),
    }
}

fn network_to_proto(network: SourceNetwork) -> ProtoNetwork {
    let SourceNetwork {
        network,
        first_seen_at,
        last_seen_at,
        report_count,
        has_counted,
    } = network;
    ProtoNetwork {
        network: network.to_string(),
        first_see_time: Some(proto_time::to_proto(first_seen_at)),
        last_see_time: Some(proto_time::to_proto(last_seen_at)),
        report_count,
        known: has_counted,
    }
}

fn conflict_to_proto(conflict: Conflict) -> RefusedConflict {
    let Conflict {
        id,
        organization_id: _,
        reported_at,
        user_count,
        organization_name,
        instance_url,
        source_address,
        first_refused_at,
        last_refused_at,
        refused_count,
        replaced_at,
        replacement_id,
        recorded_id: _,
        recorded_user_count,
    } = conflict;
    RefusedConflict {
        id: id.to_string(),
        report_time: Some(proto_time::to_proto(reported_at)),
        user_count: user_count.into(),
        recorded_user_count: recorded_user_count.map(Into::into),
        organization_name,
        instance_url,
        source_address: source_address.unwrap_or_default(),
        first_refuse_time: Some(proto_time::to_proto(first_refused_at)),
        last_refuse_time: Some(proto_time::to_proto(last_refused_at)),
        refuse_count: refused_count,
        replace_time: replaced_at.map(proto_time::to_proto),
        replacement_id: replacement_id.map(|id| id.to_string()).unwrap_or_default(),
    }
}

fn refusal_to_proto(refusal: Refusal) -> LastRefusal {
    let Refusal {
        organization_id: _,
        refused_at,
        reason,
        message,
        source,
    } = refusal;
    let reason = match reason {
        RefusalReason::Conflict => ProtoReason::Conflict,
        RefusalReason::Rejected => ProtoReason::Rejected,
        RefusalReason::Unreadable => ProtoReason::Unreadable,
    };
    LastRefusal {
        refuse_time: Some(proto_time::to_proto(refused_at)),
        reason: reason.into(),
        message,
        source_address: source.map(|it| it.to_string()).unwrap_or_default(),
    }
}
