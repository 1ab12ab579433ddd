//! ListAuditEvents: who changed what, and who tried to sign in, the latest first.

use std::{cmp::Reverse, collections::HashMap};

use billing_kit::Fault;

use super::Admins;
use crate::{
    domain::{
        account::UserId,
        audit::{Actor, AuditFilter, Recorded},
        keyset::Keyset,
        page::PageSize,
    },
    store::{
        audit_events::{self, Picked},
        sign_in_failures,
    },
};

/// A page, each change with the e-mail address that its admin has now, and where the next page
/// begins; `None` after the last.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) events: Vec<(Recorded, Option<String>)>,
    pub(crate) next: Option<Keyset>,
}

/// Lists the changes that the filter picks, behind a position.
pub(crate) async fn list_audit_events(
    app: &Admins,
    filter: &AuditFilter,
    after: Option<Keyset>,
    size: PageSize,
) -> Result<Page, Fault> {
    let AuditFilter {
        organization_id,
        actor,
        action,
        since,
        until,
    } = filter;
    let tables = app.known_tables().await?;
    let admin_user_id = match actor {
        None => None,
        Some(Actor::Id(id)) => Some(id.clone()),
        Some(Actor::Email(email)) => match tables.user_by_email(&app.db, email).await? {
            Some(user) => Some(user.id),
            // Nobody has this address, so nobody of this address did anything.
            None => return Ok(Page::default()),
        },
    };
    let picked = Picked {
        organization_id: *organization_id,
        admin_user_id: admin_user_id.as_ref(),
        action: action.as_deref(),
        since: *since,
        until: *until,
    };
    let (mut found, mut more) = audit_events::list(&app.db, &picked, after, size).await?;
    found.extend(sign_in_failures::list(&app.db, &picked, after, size).await?);
    found.sort_unstable_by_key(|event| Reverse((event.occurred_at, event.id)));
    more |= found.len() > usize::from(size.get());
    found.truncate(size.get().into());
    let next = found.last().filter(|_| more).map(|last| Keyset {
        at: last.occurred_at,
        id: last.id,
    });
    let emails = emails_of(app, &found).await?;
    let events = found.into_iter().map(|event| {
        let email = event.admin_user_id.as_ref();
        let email = email.and_then(|id| emails.get(&id.0).cloned());
        (event, email)
    });
    Ok(Page {
        events: events.collect(),
        next,
    })
}

/// The addresses of the admins of a page: they are few.
async fn emails_of(app: &Admins, events: &[Recorded]) -> Result<HashMap<String, String>, Fault> {
    let tables = app.known_tables().await?;
    let mut ids: Vec<&UserId> = events
        .iter()
        .filter_map(|event| event.admin_user_id.as_ref())
        .collect();
    ids.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    ids.dedup();
    let mut emails = HashMap::with_capacity(ids.len());
    for id in ids {
        if let Some(user) = tables.user(&app.db, id).await? {
            emails.insert(id.0.clone(), user.email);
        }
    }
    Ok(emails)
}
