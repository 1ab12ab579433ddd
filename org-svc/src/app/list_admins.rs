//! Lists the admins of billing.

use std::collections::HashMap;

use billing_kit::Fault;
use chrono::{DateTime, Utc};

use super::Admins;
use crate::{
    domain::account::{User, UserId},
    store::admins,
};

/// An admin; without a user where Better Auth has deleted the account since.
#[derive(Debug)]
pub(crate) struct ListedAdmin {
    pub(crate) user_id: UserId,
    pub(crate) user: Option<User>,
    pub(crate) since: DateTime<Utc>,
}

/// All admins, the longest-serving first.
pub(crate) async fn list_admins(app: &Admins) -> Result<Vec<ListedAdmin>, Fault> {
    let tables = app.known_tables().await?;
    let mut users: HashMap<String, User> = tables
        .users(&app.db)
        .await?
        .into_iter()
        .map(|user| (user.id.0.clone(), user))
        .collect();
    Ok(admins::list(&app.db)
        .await?
        .into_iter()
        .map(|(user_id, since)| ListedAdmin {
            user: users.remove(&user_id.0),
            user_id,
            since,
        })
        .collect())
}
