//! `billing.org.v1.NoticeService`.

use std::sync::Arc;

use billing_kit::{Fault, Violation, assertion::Verifier, proto_time};
use billing_proto::org::v1::notice_service_server::NoticeService;
use billing_proto::{common::v1 as common, org::v1 as proto};
use tonic::{Request, Response, Status};

use super::door::Door;
use crate::{
    app::{
        Organizations,
        list_notices::{Page, list_notices},
        record_notices::{NOTICES_MAX, record_notices},
    },
    domain::{
        keyset::Keyset,
        notice::{
            About, Notice, NoticeKey, NoticeState, OpenNotice, Told, parse_facts, parse_told_kind,
        },
        page::PageSize,
    },
};

/// The service.
#[derive(Debug)]
pub(crate) struct Notices {
    pub(crate) app: Arc<Organizations>,
    pub(crate) verifier: Verifier,
}

#[tonic::async_trait]
impl NoticeService for Notices {
    async fn record_notices(
        &self,
        request: Request<proto::RecordNoticesRequest>,
    ) -> Result<Response<proto::RecordNoticesResponse>, Status> {
        let told = batch(request.into_inner())?;
        let keys = told.iter().map(|told| told.key.as_str().to_owned());
        let settled_keys = keys.collect();
        record_notices(&self.app, told).await?;
        Ok(Response::new(proto::RecordNoticesResponse { settled_keys }))
    }

    async fn list_notices(
        &self,
        request: Request<common::ListNoticesRequest>,
    ) -> Result<Response<common::ListNoticesResponse>, Status> {
        self.verifier.reader(request.metadata())?;
        let (state, after, size) = list(&request.into_inner())?;
        let Page { notices, next } = list_notices(&self.app, state, after, size).await?;
        let next = next.map(|next| next.to_token(&name_of(state)));
        Ok(Response::new(common::ListNoticesResponse {
            notices: notices.into_iter().map(message).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }
}

/// The notices that can be read. One that cannot, because it is of a newer release, must not keep the
/// others from being told: it is left out, and its sender asks again.
fn batch(request: proto::RecordNoticesRequest) -> Result<Vec<Told>, Fault> {
    let count = request.notices.len();
    if count > NOTICES_MAX {
        let message = format!("There are {count}; the maximum is {NOTICES_MAX}.");
        return Err(Fault::invalid(vec![Violation::new("notices", message)]));
    }
    let read = request.notices.into_iter().filter_map(|notice| {
        let key = notice.key.clone();
        told(notice)
            .inspect_err(|fault| tracing::error!(key, %fault, "a notice cannot be read"))
            .ok()
    });
    Ok(read.collect())
}

fn told(notice: proto::NoticeToRecord) -> Result<Told, Fault> {
    let proto::NoticeToRecord {
        key,
        r#type,
        organization_id,
        occur_time,
        data_json,
    } = notice;
    let mut door = Door::new();
    let key = door.check("key", NoticeKey::parse(&key));
    let kind = door.check("type", parse_told_kind(&r#type));
    let time = occur_time.as_ref().and_then(proto_time::from_proto);
    let time = door.check("occur_time", time.ok_or("It is no time."));
    let facts = door.check("data_json", parse_facts(&data_json));
    // Whom it is about is a matter of its kind and facts; where one of them is at fault it cannot be judged.
    let about = kind.zip(facts).and_then(|(kind, facts)| {
        let about = About::parse(kind, &organization_id, facts);
        door.check("organization_id", about)
    });
    let parsed = key.zip(kind).zip(time.zip(about));
    door.pass(parsed.map(|((key, kind), (occurred_at, about))| Told {
        key,
        kind,
        occurred_at,
        about,
    }))
}

/// What tells a list's page tokens from those of other states.
fn name_of(state: Option<NoticeState>) -> String {
    format!("notices {state:?}")
}

type List = (Option<NoticeState>, Option<Keyset>, PageSize);

fn list(request: &common::ListNoticesRequest) -> Result<List, Fault> {
    let common::ListNoticesRequest {
        state,
        page_size,
        page_token,
    } = request;
    let mut door = Door::new();
    let state = match common::NoticeState::try_from(*state) {
        Ok(common::NoticeState::Unspecified) => Ok(None),
        Ok(common::NoticeState::Queued) => Ok(Some(NoticeState::Queued)),
        Ok(common::NoticeState::GivenUp) => Ok(Some(NoticeState::GivenUp)),
        Err(_) => Err("It is not known."),
    };
    let state = door.check("state", state);
    let size = door.check("page_size", PageSize::parse(*page_size));
    // A token belongs to its state; where that is at fault, it cannot be judged.
    let after = match state {
        Some(state) if !page_token.is_empty() => {
            let after = Keyset::from_token(page_token, &name_of(state));
            door.check("page_token", after.map(Some))
        }
        Some(_) | None => Some(None),
    };
    let parsed = state.zip(after).zip(size);
    door.pass(parsed.map(|((state, after), size)| (state, after, size)))
}

fn message(open: OpenNotice) -> common::Notice {
    let OpenNotice {
        notice,
        state,
        next_attempt_at,
        settled_at,
        error,
    } = open;
    let Notice {
        id,
        kind,
        occurred_at,
        data,
        created_at: _,
        attempt_count,
    } = notice;
    let (state, next_attempt_at) = match state {
        NoticeState::Queued => (common::NoticeState::Queued, Some(next_attempt_at)),
        NoticeState::GivenUp => (common::NoticeState::GivenUp, None),
    };
    common::Notice {
        id: id.to_string(),
        r#type: kind.as_str().to_owned(),
        occur_time: Some(proto_time::to_proto(occurred_at)),
        state: state.into(),
        attempt_count: i32::try_from(attempt_count).unwrap_or(i32::MAX),
        next_attempt_time: next_attempt_at.map(proto_time::to_proto),
        end_time: settled_at.map(proto_time::to_proto),
        error_message: error.unwrap_or_default(),
        data_json: data.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_record(r#type: &str) -> proto::NoticeToRecord {
        proto::NoticeToRecord {
            key: format!("{type}/1"),
            r#type: r#type.to_owned(),
            organization_id: uuid::Uuid::from_u128(1).to_string(),
            occur_time: Some(prost_types::Timestamp::default()),
            data_json: "{}".to_owned(),
        }
    }

    #[test]
    fn what_a_newer_release_tells_of_is_left_out_alone() {
        let notices = ["report.held", "report.lost", "finding.opened"].map(to_record);
        let read = batch(proto::RecordNoticesRequest {
            notices: notices.into(),
        });
        let keys: Vec<_> = read.unwrap().into_iter().map(|told| told.key).collect();
        let expected = ["report.held/1", "finding.opened/1"];
        assert_eq!(keys, expected.map(|key| NoticeKey::parse(key).unwrap()));
        let many = vec![to_record("report.held"); NOTICES_MAX + 1];
        let fault = batch(proto::RecordNoticesRequest { notices: many }).unwrap_err();
        assert_eq!(fault.violations[0].field, "notices");
    }

    #[test]
    fn every_field_at_fault_of_a_list_is_told() {
        let request = common::ListNoticesRequest {
            state: 99,
            page_size: -1,
            page_token: "x".to_owned(),
        };
        let fields = list(&request).unwrap_err().violations;
        let fields: Vec<_> = fields.into_iter().map(|it| it.field).collect();
        assert_eq!(fields, ["state", "page_size"]);
    }
}
