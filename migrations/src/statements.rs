//! The statements of a file that runs outside a transaction.

use std::borrow::Cow;

/// The first line of a file that runs outside a transaction.
pub(crate) const OUTSIDE: &str = "-- outside a transaction";
/// The comment line before a statement that is repeated.
const UNTIL_NOTHING_IS_LEFT: &str = "-- until nothing is left";

/// One statement, with the comments before it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Statement<'a> {
    pub(crate) sql: Cow<'a, str>,
    /// Whether it is repeated until it changes no row.
    pub(crate) until_nothing_is_left: bool,
}

impl<'a> Statement<'a> {
    pub(crate) fn once(sql: &'a str) -> Self {
        Self {
            sql: Cow::Borrowed(sql),
            until_nothing_is_left: false,
        }
    }

    /// Its words without the comments before it.
    fn words(&self) -> impl Iterator<Item = &str> {
        let code = self.sql.lines().filter(|line| !is_comment(line));
        code.flat_map(str::split_whitespace)
    }

    pub(crate) fn is_concurrent(&self) -> bool {
        self.words().any(|word| word == "CONCURRENTLY")
    }

    /// The name of the index that it builds concurrently.
    pub(crate) fn concurrent_index(&self) -> Option<&str> {
        let mut words = self.words().filter(|word| *word != "UNIQUE");
        let begins = ["CREATE", "INDEX", "CONCURRENTLY", "IF", "NOT", "EXISTS"];
        begins
            .iter()
            .all(|begin| words.next() == Some(*begin))
            .then(|| words.next())?
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("--")
}

/// Splits a file at its semicolons; those in quotes, comments and dollar quotes end nothing.
pub(crate) fn split(file: &str) -> Vec<Statement<'_>> {
    let mut statements = Vec::new();
    let mut rest = file;
    while let Some((statement, after)) = rest.split_at_checked(end_of_statement(rest)) {
        let until_nothing_is_left = statement
            .lines()
            .any(|line| line.trim() == UNTIL_NOTHING_IS_LEFT);
        let statement = Statement {
            sql: Cow::Borrowed(statement.trim()),
            until_nothing_is_left,
        };
        if statement.words().next().is_some() {
            statements.push(statement);
        }
        if after.is_empty() {
            break;
        }
        rest = after;
    }
    statements
}

/// The statements for a transaction, in which nothing can work concurrently.
pub(crate) fn as_one_transaction(file: &str) -> Vec<Statement<'_>> {
    let mut statements = split(file);
    for statement in &mut statements {
        statement.sql = Cow::Owned(statement.sql.replace(" CONCURRENTLY", ""));
    }
    statements
}

/// How many bytes the first statement has, its semicolon included.
fn end_of_statement(text: &str) -> usize {
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(';') {
            return at + 1;
        }
        at += quoted(rest).unwrap_or_else(|| rest.chars().next().map_or(1, char::len_utf8));
    }
    text.len()
}

/// How many bytes the comment or quotation has that begins here.
fn quoted(text: &str) -> Option<usize> {
    let end = if text.starts_with("--") {
        "\n"
    } else if text.starts_with('\'') {
        "'"
    } else if text.starts_with('"') {
        "\""
    } else if text.starts_with('$') {
        let tag = text.get(1..)?.find('$')?;
        let tag = text.get(..tag + 2)?;
        let is_tag = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '$' | '_');
        tag.chars().all(is_tag).then_some(tag)?
    } else {
        return None;
    };
    let begin = end.len();
    let length = text.get(begin..)?.find(end);
    Some(length.map_or(text.len(), |length| begin + length + end.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_split_at_its_own_semicolons() {
        let file = "-- outside a transaction\n-- for; it's a comment\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS a_idx\n    ON a (b);\nDO $x$ BEGIN PERFORM ';'; END $x$;\n\n-- until nothing is left\nUPDATE a SET b = 'it''s; é' WHERE \"c;\" = $1;\n-- the end\n";
        let statements = split(file);
        let ends: Vec<&str> = statements
            .iter()
            .map(|statement| statement.sql.lines().next_back().unwrap())
            .collect();
        assert_eq!(
            ends,
            [
                "    ON a (b);",
                "DO $x$ BEGIN PERFORM ';'; END $x$;",
                "UPDATE a SET b = 'it''s; é' WHERE \"c;\" = $1;"
            ]
        );
        let repeated: Vec<bool> = statements
            .iter()
            .map(|statement| statement.until_nothing_is_left)
            .collect();
        assert_eq!(repeated, [false, false, true]);
        assert_eq!(statements[0].concurrent_index(), Some("a_idx"));
        assert_eq!(statements[1].concurrent_index(), None);
        let within = as_one_transaction(file);
        assert!(
            within[0]
                .sql
                .contains("CREATE UNIQUE INDEX IF NOT EXISTS a_idx")
        );
    }
}
