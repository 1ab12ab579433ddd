//! Lists what the operator's own channel was not told.

use billing_kit::Fault;
use billing_proto::org::v1::{self as org, ListNoticesRequest, ListNoticesResponse, NoticeState};

use super::{Admin, App, translate};
use crate::{domain::notice::Notice, upstream::internal_fault};

/// A page of notices, the latest first.
#[derive(Debug, Clone)]
pub(crate) struct NoticePage {
    /// The notices.
    pub notices: Vec<Notice>,
    /// Where the next page begins; `None` after the last.
    pub next_page_token: Option<String>,
}

impl App {
    /// Lists the notices that wait or were given up.
    ///
    /// # Errors
    /// A page token that is none; org-svc away.
    pub(crate) async fn list_notices(
        &self,
        admin: &Admin,
        state: NoticeState,
        page_size: i32,
        page_token: String,
    ) -> Result<NoticePage, Fault> {
        let request = admin.request(ListNoticesRequest {
            state: state.into(),
            page_size,
            page_token,
        });
        let mut notices = self.upstream.notices.clone();
        let listed = notices.list_notices(request).await;
        let ListNoticesResponse {
            notices,
            next_page_token,
        } = listed.map_err(internal_fault)?.into_inner();
        let notices = notices.into_iter().map(from_message);
        Ok(NoticePage {
            notices: notices.collect::<Result<_, _>>()?,
            next_page_token: translate::filled(next_page_token),
        })
    }
}

fn from_message(message: org::Notice) -> Result<Notice, Fault> {
    let state = message.state();
    let org::Notice {
        id,
        r#type,
        occur_time,
        state: _,
        attempt_count,
        next_attempt_time,
        end_time,
        error_message,
        data_json,
    } = message;
    Ok(Notice {
        id: translate::id(&id)?,
        kind: r#type,
        occurred_at: translate::time(occur_time, "occur_time")?,
        state,
        attempt_count,
        next_attempt_at: translate::optional_time(next_attempt_time),
        ended_at: translate::optional_time(end_time),
        error_message: translate::filled(error_message),
        data: data_json,
    })
}
