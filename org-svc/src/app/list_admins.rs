//! Lists the admins of billing.

use billing_kit::Fault;

use super::Admins;
use crate::{
    domain::account::User,
    store::admins::{self, ListedAdmin},
};

/// All admins, the longest-serving first; each with its user, but where Better Auth has deleted the
/// account since.
pub(crate) async fn list_admins(app: &Admins) -> Result<Vec<(ListedAdmin, Option<User>)>, Fault> {
    let tables = app.known_tables().await?;
    let mut listed = Vec::new();
    for admin in admins::list(&app.db).await? {
        let user = tables.user(&app.db, &admin.user_id).await?;
        listed.push((admin, user));
    }
    Ok(listed)
}
