//! The words of the JSON as schemas: the same lists that the words themselves are written from.

use billing_proto::common::v1::{
    CancelMode, DeploymentType, ErrorReason, LinkOperationKind, LinkOperationState, PlanType,
    ReportingState,
};
use utoipa::openapi::{Object, Type, schema::ObjectBuilder, schema::SchemaType};

use crate::{
    domain::words::{self, STATUSES},
    rest::answer::code_of,
};

/// The numbers that reasons may have.
const REASON_NUMBERS: std::ops::RangeInclusive<i32> = 1..=999;

fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words))
        .build()
}

fn one_of_or_null<'a>(words: impl IntoIterator<Item = &'a str>) -> Object {
    let words = words.into_iter().map(serde_json::Value::from);
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .enum_values(Some(words.chain([serde_json::Value::Null])))
        .build()
}

pub(crate) fn error_codes() -> Object {
    let reasons = REASON_NUMBERS.filter_map(|number| ErrorReason::try_from(number).ok());
    let codes: Vec<String> = reasons.map(code_of).collect();
    one_of(codes.iter().map(String::as_str))
}

pub(crate) fn statuses() -> Object {
    // The last: a status that a newer service knows and this gateway does not.
    one_of(STATUSES.map(words::status).into_iter().chain(["unknown"]))
}

const DEPLOYMENT_TYPES: [DeploymentType; 2] =
    [DeploymentType::OnPremise, DeploymentType::ManagedCloud];
const PLAN_TYPES: [PlanType; 2] = [PlanType::ManagedCloud, PlanType::SelfHosted];

pub(crate) fn deployment_types() -> Object {
    one_of(
        DEPLOYMENT_TYPES
            .into_iter()
            .filter_map(words::deployment_type),
    )
}

pub(crate) fn deployment_types_or_null() -> Object {
    one_of_or_null(
        DEPLOYMENT_TYPES
            .into_iter()
            .filter_map(words::deployment_type),
    )
}

pub(crate) fn plan_types() -> Object {
    one_of(PLAN_TYPES.into_iter().filter_map(words::plan_type))
}

pub(crate) fn plan_types_or_null() -> Object {
    one_of_or_null(PLAN_TYPES.into_iter().filter_map(words::plan_type))
}

pub(crate) fn reporting_states() -> Object {
    let all = [
        ReportingState::OnTime,
        ReportingState::Late,
        ReportingState::Silent,
    ];
    let words: Vec<_> = all.into_iter().filter_map(words::reporting_state).collect();
    one_of(words.iter().map(String::as_str))
}

pub(crate) fn link_states() -> Object {
    let all = [
        LinkOperationState::Running,
        LinkOperationState::Succeeded,
        LinkOperationState::Refused,
    ];
    let words: Vec<_> = all.into_iter().filter_map(words::link_state).collect();
    one_of(words.iter().map(String::as_str))
}

pub(crate) fn link_kinds() -> Object {
    let all = [
        LinkOperationKind::Link,
        LinkOperationKind::Update,
        LinkOperationKind::Cancel,
    ];
    let words: Vec<_> = all.into_iter().filter_map(words::link_kind).collect();
    one_of(words.iter().map(String::as_str))
}

pub(crate) fn cancel_modes() -> Object {
    let all = [CancelMode::AtPeriodEnd, CancelMode::Now];
    one_of(all.into_iter().filter_map(words::cancel_mode))
}
