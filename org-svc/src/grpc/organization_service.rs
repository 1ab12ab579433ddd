//! `billing.org.v1.OrganizationService`.

use std::sync::Arc;

use billing_kit::{Fault, access::Caller, assertion::Verifier, proto_time};
use billing_proto::org::v1::organization_service_server::OrganizationService;
use billing_proto::{common::v1 as common, org::v1 as proto};
use chrono::{DurationRound, TimeDelta};
use futures::{StreamExt, stream::BoxStream};
use tonic::{Request, Response, Status};

use super::{door::Door, messages, selection};
use crate::{
    access,
    app::{
        Described, Organizations,
        batch_get_organizations::batch_get_organizations,
        cancel_subscription::cancel_subscription,
        confirm_drained::confirm_drained,
        count_organizations::count_organizations,
        delete_organizations::delete_organizations,
        get_organization::get_organization,
        ignore_organizations::{Ignoring, ignore_organizations},
        link_organization::link_organization,
        list_expired_organizations::{EXPIRED_AT_ONCE_MAX, list_expired_organizations},
        list_organizations::list_organizations,
        list_pending_groups::list_pending_groups,
        observe_organizations::observe_organizations,
        unlink_organization::unlink_organization,
        update_subscription::update_subscription,
        watch_organizations::watch_organizations,
    },
    domain::{
        change::AskedTerms,
        email::EmailAddress,
        keyset::Keyset,
        link::{LinkTerms, TrialDays},
        observation::{OBSERVATIONS_MAX, Observation},
        organization::{
            DeploymentType, InstanceUrl, OrganizationId, OrganizationName, PlanType, SourceNetwork,
            StripeCustomerId, SubscriptionStatus,
        },
        page::{Filter, LinkFilter, List, Order, PageSize, Position, Query},
        unlink::UnlinkReason,
    },
    wire,
};

/// What ties a page token to the list of expired organizations.
const EXPIRED_LIST: &str = "expired organizations";

/// The service.
#[derive(Debug)]
pub(crate) struct OrganizationsService {
    pub(crate) app: Arc<Organizations>,
    pub(crate) verifier: Verifier,
}

impl OrganizationsService {
    /// Lets a reader in: a service on its own business, or the gateway with an admin.
    fn admit_reader<T>(&self, request: &Request<T>) -> Result<(), Fault> {
        let caller = request.extensions().get::<Caller>();
        if access::reads_for_admins_only(caller) {
            self.verifier.reader(request.metadata())?;
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl OrganizationService for OrganizationsService {
    async fn observe_organizations(
        &self,
        request: Request<proto::ObserveOrganizationsRequest>,
    ) -> Result<Response<proto::ObserveOrganizationsResponse>, Status> {
        let request = request.into_inner();
        let is_tentative = request.tentative;
        let observations = observations(request)?;
        let observed = observe_organizations(&self.app, &observations, is_tentative).await?;
        Ok(Response::new(messages::observed(observed)))
    }

    async fn get_organization(
        &self,
        request: Request<proto::GetOrganizationRequest>,
    ) -> Result<Response<proto::GetOrganizationResponse>, Status> {
        self.admit_reader(&request)?;
        let proto::GetOrganizationRequest { organization_id } = request.into_inner();
        let mut door = Door::new();
        let id = door.check("organization_id", OrganizationId::parse(&organization_id));
        let described = get_organization(&self.app, door.pass(id)?).await?;
        Ok(Response::new(proto::GetOrganizationResponse {
            organization: Some(messages::organization(&described)),
        }))
    }

    async fn batch_get_organizations(
        &self,
        request: Request<proto::BatchGetOrganizationsRequest>,
    ) -> Result<Response<proto::BatchGetOrganizationsResponse>, Status> {
        self.admit_reader(&request)?;
        let proto::BatchGetOrganizationsRequest { organization_ids } = request.into_inner();
        let ids = selection::ids(&organization_ids, BATCH_MAX)?;
        let found = batch_get_organizations(&self.app, &ids).await?;
        Ok(Response::new(proto::BatchGetOrganizationsResponse {
            organizations: found.iter().map(messages::organization).collect(),
        }))
    }

    async fn list_organizations(
        &self,
        request: Request<proto::ListOrganizationsRequest>,
    ) -> Result<Response<proto::ListOrganizationsResponse>, Status> {
        self.admit_reader(&request)?;
        let (list, after, size) = list(request.into_inner())?;
        let page = list_organizations(&self.app, &list, after.as_ref(), size).await?;
        Ok(Response::new(proto::ListOrganizationsResponse {
            organizations: page
                .organizations
                .iter()
                .map(messages::organization)
                .collect(),
            next_page_token: page
                .next
                .map_or_else(String::new, |next| next.to_token(&list)),
        }))
    }

    async fn list_pending_groups(
        &self,
        request: Request<common::ListPendingGroupsRequest>,
    ) -> Result<Response<common::ListPendingGroupsResponse>, Status> {
        self.admit_reader(&request)?;
        let groups = list_pending_groups(&self.app).await?;
        Ok(Response::new(common::ListPendingGroupsResponse {
            groups: groups.into_iter().map(messages::pending_group).collect(),
        }))
    }

    async fn ignore_organizations(
        &self,
        request: Request<common::IgnoreOrganizationsRequest>,
    ) -> Result<Response<common::IgnoreOrganizationsResponse>, Status> {
        let admin = self.verifier.admin(request.metadata())?;
        let common::IgnoreOrganizationsRequest {
            organization_ids,
            source_network,
            until_time,
        } = request.into_inner();
        let chosen = selection::read(&organization_ids, &source_network, until_time.as_ref())?;
        let count = ignore_organizations(&self.app, &admin, Ignoring::Ignore, &chosen).await?;
        Ok(Response::new(common::IgnoreOrganizationsResponse {
            ignored_count: i64::try_from(count).unwrap_or(i64::MAX),
        }))
    }

    async fn restore_organizations(
        &self,
        request: Request<common::RestoreOrganizationsRequest>,
    ) -> Result<Response<common::RestoreOrganizationsResponse>, Status> {
        let admin = self.verifier.admin(request.metadata())?;
        let common::RestoreOrganizationsRequest {
            organization_ids,
            source_network,
        } = request.into_inner();
        let chosen = selection::read(&organization_ids, &source_network, None)?;
        let count = ignore_organizations(&self.app, &admin, Ignoring::Restore, &chosen).await?;
        Ok(Response::new(common::RestoreOrganizationsResponse {
            restored_count: i64::try_from(count).unwrap_or(i64::MAX),
        }))
    }

    async fn list_expired_organizations(
        &self,
        request: Request<proto::ListExpiredOrganizationsRequest>,
    ) -> Result<Response<proto::ListExpiredOrganizationsResponse>, Status> {
        let proto::ListExpiredOrganizationsRequest { page_token } = request.into_inner();
        let mut door = Door::new();
        let after = (!page_token.is_empty())
            .then(|| Keyset::from_token(&page_token, EXPIRED_LIST))
            .transpose();
        let after = door.check("page_token", after);
        let expired = list_expired_organizations(&self.app, door.pass(after)?).await?;
        let next = expired.next.map(|next| next.to_token(EXPIRED_LIST));
        Ok(Response::new(proto::ListExpiredOrganizationsResponse {
            organization_ids: messages::ids(expired.ids),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn delete_organizations(
        &self,
        request: Request<proto::DeleteOrganizationsRequest>,
    ) -> Result<Response<proto::DeleteOrganizationsResponse>, Status> {
        let proto::DeleteOrganizationsRequest { organization_ids } = request.into_inner();
        let ids = selection::ids(&organization_ids, EXPIRED_AT_ONCE_MAX)?;
        let deleted = delete_organizations(&self.app, &ids).await?;
        Ok(Response::new(proto::DeleteOrganizationsResponse {
            organization_ids: messages::ids(deleted),
        }))
    }

    async fn count_organizations(
        &self,
        request: Request<proto::CountOrganizationsRequest>,
    ) -> Result<Response<proto::CountOrganizationsResponse>, Status> {
        self.admit_reader(&request)?;
        let counts = count_organizations(&self.app).await?;
        Ok(Response::new(messages::counts(&counts)))
    }

    async fn link_organization(
        &self,
        request: Request<proto::LinkOrganizationRequest>,
    ) -> Result<Response<proto::LinkOrganizationResponse>, Status> {
        let admin = self.verifier.admin(request.metadata())?;
        let (id, terms) = link(request.into_inner())?;
        let described = link_organization(&self.app, &admin, id, terms).await?;
        let Described { operation, .. } = &described;
        Ok(Response::new(proto::LinkOrganizationResponse {
            organization: Some(messages::organization(&described)),
            operation: operation.as_ref().map(messages::link_operation),
        }))
    }

    async fn unlink_organization(
        &self,
        request: Request<proto::UnlinkOrganizationRequest>,
    ) -> Result<Response<proto::UnlinkOrganizationResponse>, Status> {
        let admin = self.verifier.admin(request.metadata())?;
        let proto::UnlinkOrganizationRequest {
            organization_id,
            reason,
            delivered_standing_version: delivered,
        } = request.into_inner();
        let mut door = Door::new();
        let id = door.check("organization_id", OrganizationId::parse(&organization_id));
        let reason = door.check("reason", UnlinkReason::parse(&reason));
        let (id, reason) = door.pass(id.zip(reason))?;
        let described = unlink_organization(&self.app, &admin, id, &reason, delivered).await?;
        Ok(Response::new(proto::UnlinkOrganizationResponse {
            organization: Some(messages::organization(&described)),
        }))
    }

    async fn update_subscription(
        &self,
        request: Request<proto::UpdateSubscriptionRequest>,
    ) -> Result<Response<proto::UpdateSubscriptionResponse>, Status> {
        let admin = self.verifier.admin(request.metadata())?;
        let (id, asked) = update(request.into_inner())?;
        let (described, has_operation) = update_subscription(&self.app, &admin, id, asked).await?;
        let operation = described.operation.as_ref().filter(|_| has_operation);
        Ok(Response::new(proto::UpdateSubscriptionResponse {
            operation: operation.map(messages::link_operation),
            organization: Some(messages::organization(&described)),
        }))
    }

    async fn cancel_subscription(
        &self,
        request: Request<proto::CancelSubscriptionRequest>,
    ) -> Result<Response<proto::CancelSubscriptionResponse>, Status> {
        let admin = self.verifier.admin(request.metadata())?;
        let proto::CancelSubscriptionRequest {
            organization_id,
            mode,
        } = request.into_inner();
        let mut door = Door::new();
        let id = door.check("organization_id", OrganizationId::parse(&organization_id));
        let mode = door.check(
            "mode",
            wire::cancel_mode_from(mode)
                .ok_or("It is missing or unknown. Use at_period_end or now."),
        );
        let (id, mode) = door.pass(id.zip(mode))?;
        let described = cancel_subscription(&self.app, &admin, id, mode).await?;
        let Described { operation, .. } = &described;
        Ok(Response::new(proto::CancelSubscriptionResponse {
            organization: Some(messages::organization(&described)),
            operation: operation.as_ref().map(messages::link_operation),
        }))
    }

    async fn confirm_drained(
        &self,
        request: Request<proto::ConfirmDrainedRequest>,
    ) -> Result<Response<proto::ConfirmDrainedResponse>, Status> {
        let proto::ConfirmDrainedRequest {
            organization_id,
            standing_version,
        } = request.into_inner();
        let mut door = Door::new();
        let id = door.check("organization_id", OrganizationId::parse(&organization_id));
        let accepted = confirm_drained(&self.app, door.pass(id)?, standing_version).await?;
        Ok(Response::new(proto::ConfirmDrainedResponse { accepted }))
    }

    type WatchOrganizationsStream =
        BoxStream<'static, Result<proto::WatchOrganizationsResponse, Status>>;

    async fn watch_organizations(
        &self,
        request: Request<proto::WatchOrganizationsRequest>,
    ) -> Result<Response<Self::WatchOrganizationsStream>, Status> {
        let proto::WatchOrganizationsRequest { cursor } = request.into_inner();
        let mut door = Door::new();
        let cursor = door.check(
            "cursor",
            if cursor < 0 {
                Err("It is negative.")
            } else {
                Ok(cursor)
            },
        );
        let changes = watch_organizations(Arc::clone(&self.app), door.pass(cursor)?);
        let messages =
            changes.map(|changes| changes.map(messages::changes).map_err(Fault::into_status));
        Ok(Response::new(messages.boxed()))
    }
}

fn observations(request: proto::ObserveOrganizationsRequest) -> Result<Vec<Observation>, Fault> {
    let proto::ObserveOrganizationsRequest {
        observations,
        tentative: _,
    } = request;
    let mut door = Door::new();
    let count = observations.len();
    if count == 0 || count > OBSERVATIONS_MAX {
        let _none: Option<()> = door.check(
            "observations",
            Err(format!(
                "There are {count}; from 1 to {OBSERVATIONS_MAX} are allowed."
            )),
        );
        return door.pass(None);
    }
    let parsed: Vec<_> = observations
        .iter()
        .enumerate()
        .filter_map(|(at, observation)| one_observation(&mut door, at, observation))
        .collect();
    door.pass(Some(parsed))
}

fn one_observation(
    door: &mut Door,
    at: usize,
    observation: &proto::OrganizationObservation,
) -> Option<Observation> {
    let proto::OrganizationObservation {
        organization_id,
        name,
        instance_url,
        observe_time,
        outdated,
        source_network,
    } = observation;
    let field = |name: &str| format!("observations[{at}].{name}");
    let organization_id = door.check(
        field("organization_id"),
        OrganizationId::parse(organization_id),
    );
    let name = door.check(field("name"), OrganizationName::parse(name));
    let instance_url = door.check(field("instance_url"), InstanceUrl::parse(instance_url));
    let observed_at = door.check(
        field("observe_time"),
        observe_time
            .as_ref()
            .and_then(proto_time::from_proto)
            // As exact as the database keeps it, so that the same observation again is no newer one.
            .and_then(|time| time.duration_trunc(TimeDelta::microseconds(1)).ok())
            .ok_or("It is missing or not a valid time."),
    );
    let source_network = (!source_network.is_empty())
        .then(|| SourceNetwork::parse(source_network))
        .transpose();
    let source_network = door.check(field("source_network"), source_network);
    Some(Observation {
        organization_id: organization_id?,
        name: name?,
        instance_url: instance_url?,
        observed_at: observed_at?,
        is_outdated: *outdated,
        source_network: source_network?,
    })
}

fn list(
    request: proto::ListOrganizationsRequest,
) -> Result<(List, Option<Position>, PageSize), Fault> {
    let proto::ListOrganizationsRequest {
        query,
        link_filter,
        statuses,
        page_size,
        page_token,
        plan_types,
        deployment_types,
        order_by,
        collection_paused,
        source_network,
        except_source_networks,
    } = request;
    let mut door = Door::new();
    let query = door.check("query", Query::parse(&query));
    let link = door.check("link_filter", link_filter_of(link_filter));
    let networks = networks(&mut door, &source_network, &except_source_networks);
    let facets = facets(&mut door, statuses, plan_types, deployment_types);
    let order = door.check("order_by", order(order_by));
    let size = door.check("page_size", PageSize::parse(page_size));
    let list = query.zip(link).zip(facets).zip(order).zip(networks).map(
        |((((query, link), (statuses, plans, deployments)), order), networks)| List {
            filter: Filter {
                query,
                link,
                statuses,
                plans,
                deployments,
                collection_paused,
                source_network: networks.0,
                except_networks: networks.1,
            },
            order,
        },
    );
    // A token belongs to its list; where that is at fault, it cannot be judged.
    let after = match &list {
        Some(list) if !page_token.is_empty() => door.check(
            "page_token",
            Position::from_token(&page_token, list).map(Some),
        ),
        _ => Some(None),
    };
    let parsed = list
        .zip(after)
        .zip(size)
        .map(|((list, after), size)| (list, after, size));
    door.pass(parsed)
}

fn link_filter_of(value: i32) -> Result<Option<LinkFilter>, &'static str> {
    match common::LinkFilter::try_from(value) {
        Ok(common::LinkFilter::Unspecified) => Ok(None),
        Ok(common::LinkFilter::Pending) => Ok(Some(LinkFilter::Pending)),
        Ok(common::LinkFilter::Linked) => Ok(Some(LinkFilter::Linked)),
        Ok(common::LinkFilter::Ignored) => Ok(Some(LinkFilter::Ignored)),
        Err(_) => Err("It is not known."),
    }
}

/// The network that is picked, and those that are left out.
fn networks(
    door: &mut Door,
    picked: &str,
    except: &[String],
) -> Option<(Option<SourceNetwork>, Vec<SourceNetwork>)> {
    const EXCEPT_MAX: usize = 100;
    let picked = (!picked.is_empty()).then(|| SourceNetwork::parse(picked));
    let picked = door.check("source_network", picked.transpose());
    let except = if except.len() > EXCEPT_MAX {
        Err("There are more than 100.")
    } else {
        except.iter().map(|it| SourceNetwork::parse(it)).collect()
    };
    let except = door.check("except_source_networks", except);
    picked.zip(except)
}

type Facets = (Vec<SubscriptionStatus>, Vec<PlanType>, Vec<DeploymentType>);

fn facets(
    door: &mut Door,
    statuses: Vec<i32>,
    plan_types: Vec<i32>,
    deployment_types: Vec<i32>,
) -> Option<Facets> {
    let statuses = every(
        statuses,
        wire::subscription_status_from,
        "It contains an unknown status.",
    );
    let plans = every(
        plan_types,
        wire::plan_type_from,
        "It contains an unknown plan.",
    );
    let deployments = every(
        deployment_types,
        wire::deployment_type_from,
        "It contains an unknown deployment type.",
    );
    let statuses = door.check("statuses", statuses);
    let plans = door.check("plan_types", plans);
    let deployments = door.check("deployment_types", deployments);
    Some((statuses?, plans?, deployments?))
}

fn every<T>(
    values: Vec<i32>,
    known: fn(i32) -> Option<T>,
    problem: &'static str,
) -> Result<Vec<T>, &'static str> {
    let known = values.into_iter().map(|value| known(value).ok_or(problem));
    known.collect()
}

fn order(value: i32) -> Result<Order, &'static str> {
    match common::OrganizationOrder::try_from(value) {
        Ok(common::OrganizationOrder::Unspecified) => Ok(Order::NewestFirst),
        Ok(common::OrganizationOrder::OldestFirst) => Ok(Order::OldestFirst),
        Ok(common::OrganizationOrder::Name) => Ok(Order::Name),
        Ok(common::OrganizationOrder::NameDescending) => Ok(Order::NameDescending),
        Ok(common::OrganizationOrder::Status) => Ok(Order::Status),
        Err(_) => Err("It is not known."),
    }
}

/// The most organizations that are got at once.
const BATCH_MAX: usize = 500;

/// The fields of the terms are named as an admin wrote them, without a path: in REST and in
/// `billing.admin.v1` they stand beside the organization's id.
fn link(request: proto::LinkOrganizationRequest) -> Result<(OrganizationId, LinkTerms), Fault> {
    let proto::LinkOrganizationRequest {
        organization_id,
        terms,
    } = request;
    let proto::LinkTerms {
        admin_email,
        deployment_type,
        plan_type,
        trial_days,
        adopt_customer_id,
    } = terms.unwrap_or_default();
    let mut door = Door::new();
    let id = door.check("organization_id", OrganizationId::parse(&organization_id));
    let admin_email = door.check("admin_email", EmailAddress::parse(&admin_email));
    let deployment_type = door.check(
        "deployment_type",
        wire::deployment_type_from(deployment_type)
            .ok_or("It is missing or unknown. Use on-premise or managed-cloud."),
    );
    let plan_type = door.check(
        "plan_type",
        wire::plan_type_from(plan_type)
            .ok_or("It is missing or unknown. Use managed-cloud or self-hosted."),
    );
    let trial_days = door.check(
        "trial_days",
        trial_days
            .ok_or("It is missing. Use 0 for a link without a trial.")
            .and_then(TrialDays::parse),
    );
    let adopted = Some(adopt_customer_id).filter(|id| !id.is_empty());
    let adopt_customer_id = door.check(
        "adopt_customer_id",
        adopted.map(|id| StripeCustomerId::parse(&id)).transpose(),
    );
    let terms = admin_email
        .zip(deployment_type)
        .zip(plan_type.zip(trial_days))
        .zip(adopt_customer_id);
    let terms = terms.map(
        |(((admin_email, deployment_type), (plan_type, trial_days)), adopt_customer_id)| {
            LinkTerms {
                admin_email,
                deployment_type,
                plan_type,
                trial_days,
                adopt_customer_id,
            }
        },
    );
    door.pass(id.zip(terms))
}

/// What is to be changed, named likewise.
fn update(
    request: proto::UpdateSubscriptionRequest,
) -> Result<(OrganizationId, AskedTerms), Fault> {
    const NOTHING: &str =
        "At least one of admin_email, deployment_type and plan_type must be given.";
    let proto::UpdateSubscriptionRequest {
        organization_id,
        admin_email,
        deployment_type,
        plan_type,
    } = request;
    let mut door = Door::new();
    let id = door.check("organization_id", OrganizationId::parse(&organization_id));
    if admin_email.is_none() && deployment_type.is_none() && plan_type.is_none() {
        for field in ["admin_email", "deployment_type", "plan_type"] {
            let _none: Option<()> = door.check(field, Err(NOTHING));
        }
        return door.pass(None);
    }
    let admin_email = admin_email
        .map(|text| EmailAddress::parse(&text))
        .transpose();
    let admin_email = door.check("admin_email", admin_email);
    let deployment_type = deployment_type.map(|value| {
        wire::deployment_type_from(value).ok_or("It is unknown. Use on-premise or managed-cloud.")
    });
    let deployment_type = door.check("deployment_type", deployment_type.transpose());
    let plan_type = plan_type.map(|value| {
        wire::plan_type_from(value).ok_or("It is unknown. Use managed-cloud or self-hosted.")
    });
    let plan_type = door.check("plan_type", plan_type.transpose());
    let asked = admin_email.zip(deployment_type).zip(plan_type).map(
        |((admin_email, deployment_type), plan_type)| AskedTerms {
            admin_email,
            deployment_type,
            plan_type,
        },
    );
    door.pass(id.zip(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fault: Fault) -> Vec<String> {
        fault.violations.into_iter().map(|v| v.field).collect()
    }

    #[test]
    fn every_field_of_a_link_that_is_at_fault_is_told() {
        let nothing = proto::LinkOrganizationRequest {
            organization_id: "acme".to_owned(),
            terms: None,
        };
        assert_eq!(
            fields(link(nothing).unwrap_err()),
            [
                "organization_id",
                "admin_email",
                "deployment_type",
                "plan_type",
                "trial_days"
            ]
        );
    }

    #[test]
    fn every_observation_at_fault_is_told_by_its_place() {
        let good = proto::OrganizationObservation {
            organization_id: "6f3c9a4e-0c1d-4a55-9d2b-3c3f0f3a9a10".to_owned(),
            name: "Acme".to_owned(),
            instance_url: "acme.vaultai.eu".to_owned(),
            observe_time: Some(prost_types::Timestamp {
                seconds: 1_800_000_000,
                nanos: 123_456_789,
            }),
            outdated: false,
            source_network: "203.0.113.0/24".to_owned(),
        };
        let bad = proto::OrganizationObservation {
            name: String::new(),
            observe_time: None,
            source_network: "somewhere".to_owned(),
            ..good.clone()
        };
        let request = proto::ObserveOrganizationsRequest {
            observations: vec![good.clone(), bad],
            tentative: false,
        };
        assert_eq!(
            fields(observations(request).unwrap_err()),
            [
                "observations[1].name",
                "observations[1].observe_time",
                "observations[1].source_network"
            ]
        );
        let request = proto::ObserveOrganizationsRequest {
            observations: vec![good],
            tentative: false,
        };
        let parsed = observations(request).unwrap();
        assert_eq!(parsed[0].observed_at.timestamp_subsec_nanos(), 123_456_000);
    }

    #[test]
    fn a_batch_has_bounds() {
        for count in [0, OBSERVATIONS_MAX + 1] {
            let request = proto::ObserveOrganizationsRequest {
                observations: vec![proto::OrganizationObservation::default(); count],
                tentative: false,
            };
            assert_eq!(fields(observations(request).unwrap_err()), ["observations"]);
        }
    }

    #[test]
    fn every_part_of_a_list_that_is_at_fault_is_told() {
        let request = proto::ListOrganizationsRequest {
            query: "q".repeat(256),
            link_filter: 9,
            statuses: vec![99],
            page_size: -1,
            page_token: "x".to_owned(),
            plan_types: vec![0],
            deployment_types: vec![1, 7],
            order_by: 9,
            collection_paused: false,
            source_network: "everywhere".to_owned(),
            except_source_networks: vec!["203.0.113.0".to_owned()],
        };
        assert_eq!(
            fields(list(request).unwrap_err()),
            [
                "query",
                "link_filter",
                "source_network",
                "except_source_networks",
                "statuses",
                "plan_types",
                "deployment_types",
                "order_by",
                "page_size"
            ]
        );
        let request = proto::ListOrganizationsRequest {
            page_token: "x".to_owned(),
            ..proto::ListOrganizationsRequest::default()
        };
        assert_eq!(fields(list(request).unwrap_err()), ["page_token"]);
    }
}
