//! `organizations.search_form`: name, URL and e-mail in the normal form in which a search compares them.
//!
//! A new row has it from the beginning. A trigger empties it where what it is made of changes, and the
//! rows of an older release have none: these are filled here, some at a time.

use billing_kit::{Fault, text::search_form};
use billing_kit_db::db_fault;
use sea_orm::{ConnectionTrait, DatabaseConnection, FromQueryResult, TransactionTrait};
use uuid::Uuid;

use super::statement;

/// The normal form of an organization's texts, each on a line of its own.
pub(super) fn of(name: &str, instance_url: &str, email: &str) -> String {
    [name, instance_url, email].map(search_form).join("\n")
}

/// Another replica's rows are left to it.
const FORMLESS: &str = r"
    SELECT id, name, instance_url, admin_email FROM organizations
    WHERE search_form IS NULL ORDER BY id LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED";
const FILL: &str = r"
    UPDATE organizations AS o SET search_form = form.text
    FROM unnest($1::uuid[], $2::text[]) AS form (id, text) WHERE o.id = form.id";

/// Fills the form of at most so many rows that have none; answers of how many.
pub(crate) async fn fill(db: &DatabaseConnection, limit: i64) -> Result<usize, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
        name: String,
        instance_url: Option<String>,
        admin_email: Option<String>,
    }
    let transaction = db.begin().await.map_err(db_fault)?;
    let rows = Row::find_by_statement(statement(FORMLESS, [limit.into()]))
        .all(&transaction)
        .await
        .map_err(db_fault)?;
    if !rows.is_empty() {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let forms = rows
            .iter()
            .map(|row| of(&row.name, &text(&row.instance_url), &text(&row.admin_email)));
        let forms: Vec<String> = forms.collect();
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        transaction
            .execute_raw(statement(FILL, [ids.into(), forms.into()]))
            .await
            .map_err(db_fault)?;
    }
    transaction.commit().await.map_err(db_fault)?;
    Ok(rows.len())
}
