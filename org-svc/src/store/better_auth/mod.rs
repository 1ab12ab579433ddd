//! Better Auth's tables: `user`, `session` and `account`, shared with a running Better Auth.
//!
//! They exist in several variants. [`Tables`] is the proof that the variant was looked at and is one
//! that the statements of this folder fit: there is no other way to them. A variant that is to be
//! supported is added here.
//!
//! Times may be `timestamp` or `timestamptz` of any precision: every connection of ours runs in UTC,
//! so that a cast to `timestamptz` and an assignment from one mean the same instant in both.

mod accounts;
mod sessions;
mod users;

use billing_kit::Fault;
use billing_kit_db::db_fault;
use sea_orm::{ConnectionTrait, FromQueryResult};

use super::statement;

/// Better Auth's tables, in a variant that we can read and write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tables {
    /// Versions 1.7.0 to 1.7.2 had a column `issuer` in `account` that must be written.
    account_issuer: bool,
}

/// Why there are no [`Tables`].
#[derive(Debug)]
pub(crate) enum DetectError {
    /// A variant that we cannot use: a sentence that names it, with the fix.
    Unsupported(String),
    /// The database did not answer.
    Database(Fault),
}

impl From<DetectError> for Fault {
    fn from(error: DetectError) -> Self {
        match error {
            DetectError::Unsupported(problem) => Self::internal(problem),
            DetectError::Database(fault) => fault,
        }
    }
}

const COLUMNS: &str = r#"
    SELECT c.relname::text AS tab, a.attname::text AS col,
           format_type(a.atttypid, a.atttypmod) AS type_name,
           a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS required
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
    WHERE c.oid IN (to_regclass('"user"'), to_regclass('session'), to_regclass('account'))
      AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY c.relname, a.attnum"#;

#[derive(Debug, FromQueryResult)]
struct Column {
    tab: String,
    col: String,
    type_name: String,
    required: bool,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Id,
    Text,
    Flag,
    Time,
}

/// What the statements of this folder read and write.
const EXPECTED: [(&str, &[(&str, Kind)]); 3] = [
    (
        "user",
        &[
            ("id", Kind::Id),
            ("name", Kind::Text),
            ("email", Kind::Text),
            ("emailVerified", Kind::Flag),
            ("image", Kind::Text),
            ("createdAt", Kind::Time),
            ("updatedAt", Kind::Time),
        ],
    ),
    (
        "session",
        &[
            ("id", Kind::Id),
            ("expiresAt", Kind::Time),
            ("token", Kind::Text),
            ("createdAt", Kind::Time),
            ("updatedAt", Kind::Time),
            ("ipAddress", Kind::Text),
            ("userAgent", Kind::Text),
            ("userId", Kind::Id),
        ],
    ),
    (
        "account",
        &[
            ("id", Kind::Id),
            ("accountId", Kind::Text),
            ("providerId", Kind::Text),
            ("userId", Kind::Id),
            ("password", Kind::Text),
            ("createdAt", Kind::Time),
            ("updatedAt", Kind::Time),
        ],
    ),
];

impl Tables {
    /// Looks which variant is there.
    pub(crate) async fn detect(db: &impl ConnectionTrait) -> Result<Self, DetectError> {
        let columns = Column::find_by_statement(statement(COLUMNS, []))
            .all(db)
            .await
            .map_err(|error| DetectError::Database(db_fault(error)))?;
        Self::recognise(&columns).map_err(DetectError::Unsupported)
    }

    fn recognise(columns: &[Column]) -> Result<Self, String> {
        for (tab, expected) in EXPECTED {
            let present: Vec<_> = columns.iter().filter(|column| column.tab == tab).collect();
            if present.is_empty() {
                return Err(format!(
                    "Better Auth's table \"{tab}\" is not there. Run the migrations first: migrations up"
                ));
            }
            for (name, kind) in expected {
                let column = present
                    .iter()
                    .find(|column| column.col == *name)
                    .ok_or_else(|| missing(tab, name, &present))?;
                check_type(column, *kind)?;
            }
            for column in present.iter().filter(|column| column.required) {
                let known = expected.iter().any(|(name, _)| column.col == *name);
                if !known && !is_account_issuer(column) {
                    return Err(format!(
                        "Better Auth's table \"{tab}\" has a required column \"{}\" that org-svc does not know. Make it nullable or give it a default.",
                        column.col
                    ));
                }
            }
        }
        Ok(Self {
            account_issuer: columns.iter().any(is_account_issuer),
        })
    }
}

fn is_account_issuer(column: &Column) -> bool {
    column.tab == "account" && column.col == "issuer"
}

fn missing(tab: &str, name: &str, present: &[&Column]) -> String {
    let snake: String = name
        .chars()
        .flat_map(|c| {
            let underscore = c.is_ascii_uppercase().then_some('_');
            underscore.into_iter().chain(c.to_lowercase())
        })
        .collect();
    if snake != name && present.iter().any(|column| column.col == snake) {
        format!(
            "Better Auth's table \"{tab}\" has the column names of Drizzle's snake_case variant (\"{snake}\" for \"{name}\"), which org-svc does not support yet."
        )
    } else {
        format!(
            "Better Auth's table \"{tab}\" has no column \"{name}\": a variant with renamed columns, which org-svc does not support yet."
        )
    }
}

fn check_type(column: &Column, kind: Kind) -> Result<(), String> {
    let Column {
        tab,
        col,
        type_name,
        required: _,
    } = column;
    let is_text = type_name == "text" || type_name.starts_with("character varying");
    let (fits, variant) = match kind {
        Kind::Id => (
            is_text,
            match type_name.as_str() {
                "uuid" => "the variant generateId \"uuid\"",
                "integer" | "bigint" => "the variant generateId \"serial\"",
                _ => "a variant with ids of another type",
            },
        ),
        Kind::Text => (is_text, "a variant with a column of another type"),
        Kind::Flag => (
            type_name == "boolean",
            "a variant with a column of another type",
        ),
        Kind::Time => (
            type_name.starts_with("timestamp"),
            "a variant with times of another type",
        ),
    };
    if fits {
        Ok(())
    } else {
        Err(format!(
            "Better Auth's column \"{tab}\".\"{col}\" is of type {type_name}: {variant}, which org-svc does not support yet."
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(change: impl Fn(&mut Column)) -> Vec<Column> {
        EXPECTED
            .iter()
            .flat_map(|(tab, expected)| expected.iter().map(move |column| (tab, column)))
            .map(|(tab, (col, kind))| {
                let mut column = Column {
                    tab: (*tab).to_owned(),
                    col: (*col).to_owned(),
                    type_name: match kind {
                        Kind::Id | Kind::Text => "text",
                        Kind::Flag => "boolean",
                        Kind::Time => "timestamp with time zone",
                    }
                    .to_owned(),
                    required: true,
                };
                change(&mut column);
                column
            })
            .collect()
    }

    #[test]
    fn times_with_and_without_a_zone_are_fine() {
        assert!(Tables::recognise(&columns(|_| {})).is_ok());
        let older = columns(|column| {
            if column.type_name.starts_with("timestamp") {
                column.type_name = "timestamp(3) without time zone".to_owned();
            }
        });
        assert!(Tables::recognise(&older).is_ok());
    }

    #[test]
    fn a_variant_that_does_not_fit_is_named() {
        let uuid = columns(|column| {
            if column.col == "id" {
                column.type_name = "uuid".to_owned();
            }
        });
        let snake = columns(|column| {
            if column.col == "expiresAt" {
                column.col = "expires_at".to_owned();
            }
        });
        let gone: Vec<_> = columns(|_| {})
            .into_iter()
            .filter(|column| column.tab != "account")
            .collect();
        for (variant, word) in [
            (uuid, "uuid"),
            (snake, "snake_case"),
            (gone, "migrations up"),
        ] {
            let told = Tables::recognise(&variant).unwrap_err();
            assert!(told.contains(word), "{told}");
        }
    }

    #[test]
    fn a_required_column_is_written_or_refused() {
        let with = |tab: &str, col: &str| {
            let mut columns = columns(|_| {});
            columns.push(Column {
                tab: tab.to_owned(),
                col: col.to_owned(),
                type_name: "text".to_owned(),
                required: true,
            });
            Tables::recognise(&columns)
        };
        assert_eq!(
            with("account", "issuer"),
            Ok(Tables {
                account_issuer: true
            })
        );
        assert!(with("session", "tenant").unwrap_err().contains("tenant"));
    }
}
