//! What the queries of the stores have in common.
//!
//! A store states the mapping of a table once, as an entity, and beside it the scopes of its queries: a
//! trait over [`Scoped`] whose methods say which rows ("waiting", "of organization") and chain.

use sea_orm::{
    ColumnTrait, DbBackend, DeleteMany, EntityTrait, ExprTrait, QueryFilter, Select, Statement,
    UpdateMany, Value,
    sea_query::{Expr, extension::postgres::PgFunc},
};

/// A query of one entity that scopes can narrow: it reads, updates or deletes.
pub trait Scoped<E: EntityTrait>: QueryFilter {}

impl<E: EntityTrait> Scoped<E> for Select<E> {}
impl<E: EntityTrait> Scoped<E> for UpdateMany<E> {}
impl<E: EntityTrait> Scoped<E> for DeleteMany<E> {}

/// That a column has one of these values. One statement for every number of them, which `IN` is not.
pub fn is_any<V>(column: impl ColumnTrait, values: Vec<V>) -> Expr
where
    Vec<V>: Into<Expr>,
{
    column.into_expr().eq(PgFunc::any(values))
}

/// Columns as one value to compare, by an index of them: `row([a, b]).lt(row([x, y]))`.
pub fn row<const N: usize>(parts: [Expr; N]) -> Expr {
    Expr::tuple(parts)
}

/// The function `greatest`, which leaves out what is NULL.
pub fn greatest<const N: usize>(parts: [Expr; N]) -> Expr {
    sea_orm::sea_query::Func::greatest(parts).into()
}

/// The rows of a page and whether there is more behind it. The query asked for one more than the page
/// holds.
pub fn page<T>(mut rows: Vec<T>, size: usize) -> (Vec<T>, bool) {
    let more = rows.len() > size;
    rows.truncate(size);
    (rows, more)
}

/// One column of many items, for `unnest`.
pub fn column<T, C>(items: &[T], of: impl Fn(&T) -> C) -> Vec<C> {
    items.iter().map(of).collect()
}

/// A statement that is composed of fragments, with named parameters: `{name}` as in `raw_sql!`, which
/// takes nothing but one literal.
pub fn composed<const N: usize>(sql: &str, values: [(&str, Value); N]) -> Statement {
    let mut text = sql.to_owned();
    for (at, (name, _)) in values.iter().enumerate() {
        let number = at + 1;
        text = text.replace(&format!("{{{name}}}"), &format!("${number}"));
    }
    let values = values.map(|(_, value)| value);
    Statement::from_sql_and_values(DbBackend::Postgres, text, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_has_one_number_wherever_it_is_named() {
        let sql = "SELECT '{}' WHERE a = {id} AND b < {now} AND c > {now}";
        let statement = composed(sql, [("id", 1.into()), ("now", 2.into())]);
        assert_eq!(
            statement.sql,
            "SELECT '{}' WHERE a = $1 AND b < $2 AND c > $2"
        );
    }

    #[test]
    fn a_page_leaves_out_the_row_that_shows_that_there_is_more() {
        assert_eq!(page(vec![1, 2, 3], 2), (vec![1, 2], true));
        assert_eq!(page(vec![1, 2], 2), (vec![1, 2], false));
    }
}
