//! ListApiKeys: the keys of all admins, the newest first.

use billing_kit::Fault;

use super::Admins;
use crate::{
    domain::{api_key::ApiKey, keyset::Keyset, page::PageSize},
    store::api_keys,
};

/// A page of keys, and where the next one begins; `None` after the last.
pub(crate) async fn list_api_keys(
    app: &Admins,
    after: Option<Keyset>,
    size: PageSize,
) -> Result<(Vec<ApiKey>, Option<Keyset>), Fault> {
    let (keys, more) = api_keys::list(&app.db, after, size).await?;
    let next = keys.last().filter(|_| more).map(|last| Keyset {
        at: last.created_at,
        id: last.id.0,
    });
    Ok((keys, next))
}
