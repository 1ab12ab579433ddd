//! The words that every contract shares, to domain types and back, each enum by one exhaustive match.

use billing_kit::{Fault, proto_time};
use billing_proto::{common::v1 as common, org::v1::OrganizationStanding};
use uuid::Uuid;

use crate::domain::standing::{DeploymentType, Drain, Standing, SubscriptionStatus};

pub(crate) fn status_to_proto(status: SubscriptionStatus) -> common::SubscriptionStatus {
    match status {
        SubscriptionStatus::Pending => common::SubscriptionStatus::Pending,
        SubscriptionStatus::Trial => common::SubscriptionStatus::Trial,
        SubscriptionStatus::Active => common::SubscriptionStatus::Active,
        SubscriptionStatus::PastDue => common::SubscriptionStatus::PastDue,
        SubscriptionStatus::Unpaid => common::SubscriptionStatus::Unpaid,
        SubscriptionStatus::Incomplete => common::SubscriptionStatus::Incomplete,
        SubscriptionStatus::IncompleteExpired => common::SubscriptionStatus::IncompleteExpired,
        SubscriptionStatus::Paused => common::SubscriptionStatus::Paused,
        SubscriptionStatus::Canceled => common::SubscriptionStatus::Canceled,
    }
}

fn status_from_proto(status: common::SubscriptionStatus) -> Option<SubscriptionStatus> {
    match status {
        common::SubscriptionStatus::Unspecified => None,
        common::SubscriptionStatus::Pending => Some(SubscriptionStatus::Pending),
        common::SubscriptionStatus::Trial => Some(SubscriptionStatus::Trial),
        common::SubscriptionStatus::Active => Some(SubscriptionStatus::Active),
        common::SubscriptionStatus::PastDue => Some(SubscriptionStatus::PastDue),
        common::SubscriptionStatus::Unpaid => Some(SubscriptionStatus::Unpaid),
        common::SubscriptionStatus::Incomplete => Some(SubscriptionStatus::Incomplete),
        common::SubscriptionStatus::IncompleteExpired => {
            Some(SubscriptionStatus::IncompleteExpired)
        }
        common::SubscriptionStatus::Paused => Some(SubscriptionStatus::Paused),
        common::SubscriptionStatus::Canceled => Some(SubscriptionStatus::Canceled),
    }
}

pub(crate) fn deployment_to_proto(deployment: Option<DeploymentType>) -> common::DeploymentType {
    match deployment {
        None => common::DeploymentType::Unspecified,
        Some(DeploymentType::OnPremise) => common::DeploymentType::OnPremise,
        Some(DeploymentType::ManagedCloud) => common::DeploymentType::ManagedCloud,
    }
}

fn deployment_from_proto(deployment: common::DeploymentType) -> Option<DeploymentType> {
    match deployment {
        common::DeploymentType::Unspecified => None,
        common::DeploymentType::OnPremise => Some(DeploymentType::OnPremise),
        common::DeploymentType::ManagedCloud => Some(DeploymentType::ManagedCloud),
    }
}

/// What org-svc tells of an organization. It is believed as a whole or not at all: a word that is
/// not known here must not pass for another.
pub(crate) fn standing_from_proto(standing: &OrganizationStanding) -> Result<Standing, Fault> {
    let OrganizationStanding {
        organization_id,
        subscription_status: _,
        deployment_type: _,
        stripe_customer_id,
        billing_start_time,
        standing_version,
        billable,
        draining,
        billing_end_time,
        invoiced_until_time,
        trial_end_time,
        drained,
        // No report is treated differently for it: see `app::keep_standings`.
        ignored: _,
    } = standing;
    let status = status_from_proto(standing.subscription_status())
        .ok_or_else(|| Fault::internal("org-svc told a subscription status that is not known"))?;
    let time = |time: &Option<prost_types::Timestamp>| {
        let time = time.as_ref().map(|time| {
            proto_time::from_proto(time)
                .ok_or_else(|| Fault::internal("org-svc told a time that does not exist"))
        });
        time.transpose()
    };
    Ok(Standing {
        organization_id: Uuid::try_parse(organization_id).map_err(Fault::internal)?,
        status,
        deployment_type: deployment_from_proto(standing.deployment_type()),
        stripe_customer_id: Some(stripe_customer_id.clone()).filter(|id| !id.is_empty()),
        billing_start_at: time(billing_start_time)?,
        billable: *billable,
        billing_end_at: time(billing_end_time)?,
        trial_end_at: time(trial_end_time)?,
        invoiced_until: time(invoiced_until_time)?,
        version: *standing_version,
        drain: match (*draining, *drained) {
            (false, _) => Drain::None,
            (true, false) => Drain::Draining,
            (true, true) => Drain::Drained,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_with_an_unknown_word_is_not_believed() {
        let standing = OrganizationStanding {
            organization_id: Uuid::max().to_string(),
            subscription_status: 99,
            ..OrganizationStanding::default()
        };
        assert!(standing_from_proto(&standing).is_err());
    }
}
