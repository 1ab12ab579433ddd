//! Which variant of Better Auth's tables is there, and the statements in its words.
//!
//! The statements of this folder are written in the names of Better Auth's own migration
//! (`"userId"`), and with three made-up types: `$1::user_id` for the id of a user, `$9::new_id` for
//! the id of the new row, which may be the database's to make. [`Layout::sql`] puts in what the
//! deployment has.

use sea_orm::FromQueryResult;

/// A column as PostgreSQL describes it.
#[derive(Debug, Clone, FromQueryResult)]
pub(super) struct Column {
    pub(super) tab: String,
    pub(super) col: String,
    pub(super) type_name: String,
    /// Not null, and nothing fills it in.
    pub(super) required: bool,
    /// Whether something fills it in.
    pub(super) filled: bool,
}

/// One of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    User,
    Session,
    Account,
    RateLimit,
}

impl Table {
    const ALL: [Self; 4] = [Self::User, Self::Session, Self::Account, Self::RateLimit];

    fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Session => "session",
            Self::Account => "account",
            Self::RateLimit => "rateLimit",
        }
    }

    /// The columns that the statements read and write.
    fn columns(self) -> &'static [(&'static str, Kind)] {
        match self {
            Self::User => &[
                ("id", Kind::Id),
                ("name", Kind::Text),
                ("email", Kind::Text),
                ("emailVerified", Kind::Flag),
                ("image", Kind::Text),
                ("createdAt", Kind::Time),
                ("updatedAt", Kind::Time),
            ],
            Self::Session => &[
                ("id", Kind::Id),
                ("expiresAt", Kind::Time),
                ("token", Kind::Text),
                ("createdAt", Kind::Time),
                ("updatedAt", Kind::Time),
                ("ipAddress", Kind::Text),
                ("userAgent", Kind::Text),
                ("userId", Kind::UserId),
            ],
            Self::Account => &[
                ("id", Kind::Id),
                ("accountId", Kind::Text),
                ("providerId", Kind::Text),
                ("userId", Kind::UserId),
                ("password", Kind::Text),
                ("createdAt", Kind::Time),
                ("updatedAt", Kind::Time),
            ],
            Self::RateLimit => &[
                ("id", Kind::Id),
                ("key", Kind::Text),
                ("count", Kind::Number),
                ("lastRequest", Kind::Number),
            ],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Id,
    UserId,
    Text,
    Flag,
    Time,
    Number,
}

/// How columns are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// `userId`: Better Auth's own migration, and Prisma's schema.
    Camel,
    /// `user_id`: Drizzle's schema.
    Snake,
}

impl Names {
    fn of(self, name: &str) -> String {
        match self {
            Self::Camel => name.to_owned(),
            Self::Snake => snake(name),
        }
    }
}

/// What ids are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdKind {
    /// 32 random characters.
    Text,
    /// `generateId: "uuid"`.
    Uuid,
    /// `generateId: "serial"`: the database counts.
    Serial,
}

impl IdKind {
    /// Parameters are texts; this makes an id of one.
    fn cast(self) -> &'static str {
        match self {
            Self::Text => "::text",
            Self::Uuid => "::text::uuid",
            Self::Serial => "::text::bigint",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    names: Names,
    id: IdKind,
}

/// The variant that a database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    user: Shape,
    session: Shape,
    account: Shape,
    rate_limit: Shape,
    /// Versions 1.7.0 to 1.7.2 had a column `issuer` in `account` that must be written.
    pub(super) account_issuer: bool,
}

impl Layout {
    /// Recognises the variant.
    ///
    /// # Errors
    /// One that the statements do not fit: a sentence that names it, with the fix.
    pub(super) fn recognise(columns: &[Column]) -> Result<Self, String> {
        let [user, session, account, rate_limit] = Table::ALL.map(|table| shape(table, columns));
        let layout = Self {
            user: user?,
            session: session?,
            account: account?,
            rate_limit: rate_limit?,
            account_issuer: columns.iter().any(is_account_issuer),
        };
        layout.check_user_ids(columns)?;
        Ok(layout)
    }

    /// What points to a user has the type of a user's id.
    fn check_user_ids(&self, columns: &[Column]) -> Result<(), String> {
        for (table, shape) in [
            (Table::Session, self.session),
            (Table::Account, self.account),
        ] {
            let name = shape.names.of("userId");
            let column = columns
                .iter()
                .find(|column| column.tab == table.name() && column.col == name);
            let kind = column.and_then(|column| id_kind(&column.type_name));
            if kind != Some(self.user.id) {
                return Err(format!(
                    "Better Auth's column \"{}\".\"{name}\" is not of the type of \"user\".\"id\". Give it that type.",
                    table.name()
                ));
            }
        }
        Ok(())
    }

    /// What the ids of a table are made of.
    pub(super) fn id_kind(&self, table: Table) -> IdKind {
        self.shape(table).id
    }

    /// A statement on one table in the words of this variant.
    pub(super) fn sql(&self, table: Table, statement: &str) -> String {
        let shape = self.shape(table);
        let mut sql = String::with_capacity(statement.len());
        // Every second part stands between quotes: a name.
        for (at, part) in statement.split('"').enumerate() {
            if at % 2 == 0 {
                sql.push_str(part);
            } else {
                let is_table = part == table.name();
                let name = if is_table {
                    part.to_owned()
                } else {
                    shape.names.of(part)
                };
                sql.extend(["\"", &name, "\""]);
            }
        }
        let sql = sql.replace("::user_id", self.user.id.cast());
        match shape.id {
            IdKind::Text | IdKind::Uuid => sql.replace("::new_id", shape.id.cast()),
            IdKind::Serial => without_new_id(&sql),
        }
    }

    fn shape(&self, table: Table) -> Shape {
        match table {
            Table::User => self.user,
            Table::Session => self.session,
            Table::Account => self.account,
            Table::RateLimit => self.rate_limit,
        }
    }
}

/// `$9::new_id` is the database's to make.
fn without_new_id(sql: &str) -> String {
    match sql.split_once("::new_id") {
        Some((before, after)) => {
            let before = before.trim_end_matches(|c: char| c.is_ascii_digit());
            let before = before.strip_suffix('$').unwrap_or(before);
            format!("{before}DEFAULT{after}")
        }
        None => sql.to_owned(),
    }
}

fn shape(table: Table, columns: &[Column]) -> Result<Shape, String> {
    let tab = table.name();
    let present: Vec<_> = columns.iter().filter(|column| column.tab == tab).collect();
    if present.is_empty() {
        return Err(format!(
            "Better Auth's table \"{tab}\" is not there. Run the migrations first: migrations up"
        ));
    }
    let find = |name: &str| present.iter().find(|column| column.col == name).copied();
    let is_snake = table.columns().iter().any(|(name, _)| {
        let snake = snake(name);
        snake != *name && find(name).is_none() && find(&snake).is_some()
    });
    let names = if is_snake { Names::Snake } else { Names::Camel };
    let mut id = None;
    for (name, kind) in table.columns() {
        let name = names.of(name);
        let column = find(&name).ok_or_else(|| missing(tab, &name))?;
        check_type(column, *kind)?;
        if *kind == Kind::Id {
            id = Some(check_id(column)?);
        }
    }
    let is_known = |column: &Column| {
        let mut known = table.columns().iter();
        known.any(|(name, _)| column.col == names.of(name)) || is_account_issuer(column)
    };
    let unknown = present.iter().find(|c| c.required && !is_known(c));
    if let Some(column) = unknown {
        return Err(format!(
            "Better Auth's table \"{tab}\" has a required column \"{}\" that org-svc does not know. Make it nullable or give it a default.",
            column.col
        ));
    }
    Ok(Shape {
        names,
        id: id.unwrap_or(IdKind::Text),
    })
}

fn is_account_issuer(column: &Column) -> bool {
    column.tab == Table::Account.name() && column.col == "issuer"
}

fn missing(tab: &str, name: &str) -> String {
    format!(
        "Better Auth's table \"{tab}\" has no column \"{name}\": a variant with renamed columns. Put a view with Better Auth's own names in its place, as docs/OPERATIONS.md says under \"Renamed tables and columns\"."
    )
}

fn is_text(type_name: &str) -> bool {
    type_name == "text" || type_name.starts_with("character varying")
}

fn id_kind(type_name: &str) -> Option<IdKind> {
    match type_name {
        "uuid" => Some(IdKind::Uuid),
        "integer" | "bigint" => Some(IdKind::Serial),
        other => is_text(other).then_some(IdKind::Text),
    }
}

fn check_id(column: &Column) -> Result<IdKind, String> {
    match id_kind(&column.type_name) {
        Some(IdKind::Serial) if !column.filled => Err(format!(
            "Better Auth's column \"{}\".\"id\" is a number that nothing counts. Make it an identity: ALTER TABLE \"{0}\" ALTER \"id\" ADD GENERATED BY DEFAULT AS IDENTITY",
            column.tab
        )),
        Some(kind) => Ok(kind),
        None => Err(wrong_type(column, "text, uuid or an integer")),
    }
}

fn check_type(column: &Column, kind: Kind) -> Result<(), String> {
    let type_name = column.type_name.as_str();
    let (fits, wanted) = match kind {
        Kind::Id | Kind::UserId => (id_kind(type_name).is_some(), "text, uuid or an integer"),
        Kind::Text => (is_text(type_name), "text"),
        Kind::Flag => (type_name == "boolean", "boolean"),
        Kind::Time => (type_name.starts_with("timestamp"), "timestamptz"),
        Kind::Number => (matches!(type_name, "integer" | "bigint"), "bigint"),
    };
    if fits {
        Ok(())
    } else {
        Err(wrong_type(column, wanted))
    }
}

fn wrong_type(column: &Column, wanted: &str) -> String {
    let Column {
        tab,
        col,
        type_name,
        required: _,
        filled: _,
    } = column;
    format!(
        "Better Auth's column \"{tab}\".\"{col}\" is of type {type_name}, which no version of Better Auth makes. Give it the type {wanted}."
    )
}

/// `expiresAt` is `expires_at`.
fn snake(name: &str) -> String {
    name.chars()
        .flat_map(|c| {
            let underscore = c.is_ascii_uppercase().then_some('_');
            underscore.into_iter().chain(c.to_lowercase())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(change: impl Fn(&mut Column)) -> Vec<Column> {
        Table::ALL
            .iter()
            .flat_map(|table| table.columns().iter().map(move |column| (table, column)))
            .map(|(table, (col, kind))| {
                let mut column = Column {
                    tab: table.name().to_owned(),
                    col: (*col).to_owned(),
                    type_name: match kind {
                        Kind::Id | Kind::UserId | Kind::Text => "text",
                        Kind::Flag => "boolean",
                        Kind::Time => "timestamp with time zone",
                        Kind::Number => "bigint",
                    }
                    .to_owned(),
                    required: true,
                    filled: false,
                };
                change(&mut column);
                column
            })
            .collect()
    }

    fn with_ids(type_name: &str, filled: bool) -> Vec<Column> {
        columns(|column| {
            if matches!(column.col.as_str(), "id" | "userId") {
                column.type_name = type_name.to_owned();
                column.filled = filled;
            }
        })
    }

    const INSERT: &str =
        r#"INSERT INTO "session" ("id", "userId") VALUES ($2::new_id, $1::user_id)"#;

    #[test]
    fn times_with_and_without_a_zone_are_fine() {
        let layout = Layout::recognise(&columns(|_| {})).unwrap();
        let older = columns(|column| {
            if column.type_name.starts_with("timestamp") {
                column.type_name = "timestamp(3) without time zone".to_owned();
            }
        });
        assert_eq!(Layout::recognise(&older), Ok(layout));
        assert_eq!(
            layout.sql(Table::Session, INSERT),
            r#"INSERT INTO "session" ("id", "userId") VALUES ($2::text, $1::text)"#
        );
    }

    #[test]
    fn statements_speak_the_variant() {
        let uuid = Layout::recognise(&with_ids("uuid", false)).unwrap();
        assert_eq!(
            uuid.sql(Table::Session, INSERT),
            r#"INSERT INTO "session" ("id", "userId") VALUES ($2::text::uuid, $1::text::uuid)"#
        );
        let serial = Layout::recognise(&with_ids("integer", true)).unwrap();
        assert_eq!(
            serial.sql(Table::Session, INSERT),
            r#"INSERT INTO "session" ("id", "userId") VALUES (DEFAULT, $1::text::bigint)"#
        );
        let snake_case = columns(|column| column.col = snake(&column.col));
        let snake_case = Layout::recognise(&snake_case).unwrap();
        assert_eq!(
            snake_case.sql(Table::Session, INSERT),
            r#"INSERT INTO "session" ("id", "user_id") VALUES ($2::text, $1::text)"#
        );
        let table = r#"SELECT "lastRequest" FROM "rateLimit""#;
        assert_eq!(
            snake_case.sql(Table::RateLimit, table),
            r#"SELECT "last_request" FROM "rateLimit""#
        );
    }

    #[test]
    fn a_variant_that_does_not_fit_is_named_with_its_fix() {
        let renamed = columns(|column| {
            if column.col == "expiresAt" {
                column.col = "valid_until".to_owned();
            }
        });
        let gone: Vec<_> = columns(|_| {})
            .into_iter()
            .filter(|column| column.tab != "account")
            .collect();
        let odd = columns(|column| {
            if column.col == "emailVerified" {
                column.type_name = "integer".to_owned();
            }
        });
        let mixed = columns(|column| {
            if column.tab == "user" && column.col == "id" {
                column.type_name = "uuid".to_owned();
            }
        });
        for (variant, word) in [
            (renamed, "Renamed tables"),
            (gone, "migrations up"),
            (odd, "the type boolean"),
            (mixed, "the type of \"user\".\"id\""),
            (with_ids("integer", false), "IDENTITY"),
            (with_ids("bytea", false), "text, uuid or an integer"),
        ] {
            let told = Layout::recognise(&variant).unwrap_err();
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
                filled: false,
            });
            Layout::recognise(&columns)
        };
        assert!(with("account", "issuer").unwrap().account_issuer);
        assert!(with("session", "tenant").unwrap_err().contains("tenant"));
    }
}
