//! ListNotices: what the operator's own channel was not told yet, or not at all.

use billing_kit::Fault;

use super::Organizations;
use crate::{
    domain::{
        keyset::Keyset,
        notice::{NoticeState, OpenNotice},
        page::PageSize,
    },
    store::notices,
};

/// A page of notices, the latest first, and where the next begins; `None` after the last.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) notices: Vec<OpenNotice>,
    pub(crate) next: Option<Keyset>,
}

/// Lists the notices that are not sent, of one state or of both.
pub(crate) async fn list_notices(
    app: &Organizations,
    state: Option<NoticeState>,
    after: Option<Keyset>,
    size: PageSize,
) -> Result<Page, Fault> {
    let (notices, more) = notices::list_open(&app.db, state, after, size).await?;
    let next = notices.last().filter(|_| more).map(|last| Keyset {
        at: last.notice.created_at,
        id: last.notice.id,
    });
    Ok(Page { notices, next })
}
