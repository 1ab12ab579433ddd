//! RecordNotices: what another service knows of, for the operator's own channel. Where no channel is
//! configured nothing is stored, so that nothing piles up here or there.

use std::collections::HashMap;

use billing_kit::Fault;

use super::Organizations;
use crate::{
    domain::notice::{Notice, Told},
    store::{notices, organizations},
};

/// The most notices of a request.
pub(crate) const NOTICES_MAX: usize = 1_000;

/// Stores notices, each once by its key, with the names that its organizations have.
pub(crate) async fn record_notices(app: &Organizations, told: Vec<Told>) -> Result<(), Fault> {
    if app.channel.is_none() || told.is_empty() {
        return Ok(());
    }
    let mut ids: Vec<_> = told
        .iter()
        .flat_map(|told| told.about.organization_ids())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let found = organizations::get_many(&app.db, &ids).await?;
    let names: HashMap<_, _> = found.iter().map(|it| (it.id, it.name.as_str())).collect();
    let now = app.clock.now();
    let notices: Vec<_> = told
        .into_iter()
        .map(|told| {
            let notice = Notice {
                id: app.ids.next(),
                kind: told.kind,
                occurred_at: told.occurred_at,
                data: told.about.data(&names),
                created_at: now,
                attempt_count: 0,
            };
            (told.key, notice)
        })
        .collect();
    notices::insert_told(&app.db, &notices, now).await
}
